//! Who is connected, on the wire (OPR-56).

use std::sync::Arc;

use ferry_control::{Access, NoteClosedConnection, SeeConnections};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, Result};

use crate::{
    connections::{ConnectionSummary, StuckClient},
    hub::Hub,
    rpc::Call,
};

/// Connections of a page, unless asked otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most connections of a page.
const PAGE_MAX: usize = 1000;
/// Most stuck clients that are told.
const STUCK_MAX: usize = 1000;

fn hub<'a>(call: &Call<'a>) -> Result<&'a Arc<Hub>, Error> {
    call.hub.ok_or_else(|| Error::new(Reason::NotYet, "this hub shows no connections"))
}

pub(super) async fn list_connections(
    call: &Call<'_>,
    request: wire::ListConnectionsRequest,
) -> Result<wire::ListConnectionsResponse, Error> {
    let caller = call.session(Access::Read)?;
    let (entry, user) =
        SeeConnections { caller: &caller, database: &request.database }.run(&call.control.db)?;
    let max = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(max) if max <= PAGE_MAX => max,
        _ => {
            let message = "page_size must be from 0 (meaning 100) to 1000";
            return Err(Error::new(Reason::InvalidArgument, message));
        }
    };
    let is_first = request.page_token.is_empty();
    let after = if is_first { Ok(0) } else { request.page_token.parse() };
    let after = after.map_err(|_| {
        let message = "page_token is not one of this list: repeat the request without it";
        Error::new(Reason::InvalidArgument, message)
    })?;
    let hub = hub(call)?;
    let (page, more) = hub.connections.page(entry.id, user, after, max, hub.clock.now());
    let mut stuck = Vec::new();
    if is_first && user.is_none() {
        stuck = hub.services.events.stuck(entry.id);
        stuck.extend(hub.stuck.of(entry.id));
        // The newest first: a client that is stuck comes again.
        stuck.sort_by_key(|client| std::cmp::Reverse(client.last));
        stuck.truncate(STUCK_MAX);
    }
    Ok(wire::ListConnectionsResponse {
        connections: page.into_iter().map(connection).collect(),
        total: u32::try_from(hub.connections.count(entry.id, user)).unwrap_or(u32::MAX),
        stuck: stuck.into_iter().map(stuck_client).collect(),
        next_page_token: more.map(|number| number.to_string()).unwrap_or_default(),
        ..Default::default()
    })
}

pub(super) async fn close_connection(
    call: &Call<'_>,
    request: wire::CloseConnectionRequest,
) -> Result<wire::CloseConnectionResponse, Error> {
    let caller = call.session(Access::Full)?;
    let not_found = || Error::new(Reason::NotFound, "no such connection: it may have ended, list them again");
    let found = hub(call)?.connections.find(&request.id).ok_or_else(not_found)?;
    // Of a database that he does not see nobody learns whether it has connections.
    SeeConnections { caller: &caller, database: &found.database().to_string() }
        .run(&call.control.db)
        .map_err(|_| not_found())?;
    NoteClosedConnection {
        caller: &caller,
        database: found.database(),
        connection: &request.id,
        whose: (&found.owner().principal, found.client()),
        origin: &call.origin,
    }
    .run(&call.control.db)
    .await?;
    found.close();
    Ok(wire::CloseConnectionResponse::default())
}

fn connection(summary: ConnectionSummary) -> wire::Connection {
    let position = summary.position;
    wire::Connection {
        id: summary.id,
        model: summary.model.as_str().to_owned(),
        transport: summary.transport.to_owned(),
        principal: summary.principal.as_ref().to_owned(),
        client: summary.client.into(),
        ip: summary.ip.to_string(),
        since_unix: summary.since.as_secs(),
        last_unix: summary.last.as_secs(),
        cursor: position.map_or(0, |position| position.cursor),
        behind: position.map_or(0, |position| position.head.saturating_sub(position.cursor)),
        bytes_in: summary.bytes_in,
        bytes_out: summary.bytes_out,
        state: summary.state.to_owned(),
        unit: position.map_or("", |position| position.unit).to_owned(),
        scope: summary.scope.into(),
        ..Default::default()
    }
}

fn stuck_client(stuck: StuckClient) -> wire::StuckClient {
    wire::StuckClient {
        model: stuck.model.as_str().to_owned(),
        client: stuck.client,
        scope: stuck.scope,
        first: stuck.first,
        code: stuck.code,
        message: stuck.message,
        advice: stuck.advice,
        tries: stuck.tries,
        last_unix: stuck.last.as_secs(),
        ..Default::default()
    }
}
