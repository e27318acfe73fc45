//! The requests of this model (section 2.1): WebSocket, HTTP, preflight.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use ferry_protocol::events::{BadQuery, ConnectQuery, Transport};
use ferry_types::{
    Error, Reason,
    limits::{EVENTS_SENT_FRAME_MAX_BYTES, EVENTS_WRITE_BUFFER_BYTES, REFUSED_BODY_MAX_BYTES},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Body as _;

use super::{
    access::{self, ConnectRequest, NotAdmitted},
    cors, http as call, refusal, refused_socket, socket,
};
use crate::{
    config::AuthRefusal,
    http::{Handshake, HttpRequestId, NO_UPGRADE, SocketLimits},
    hub::Hub,
};

/// What browsers may offer beside `ferry.bearer.…`, so that the secret is not repeated in the answer.
const SUBPROTOCOL: &str = "ferry.events.v1";

/// Bytes that a socket reads at once; a longer frame grows its buffer while it arrives. Small, since most sockets
/// only listen.
const READ_BUFFER_BYTES: usize = 512;
/// Where a store of one database is reached.
const DATABASE_PREFIX: &str = "/v1/databases/";

/// Serves a request that belongs to this model.
pub(super) async fn serve(hub: Arc<Hub>, request: Request) -> Response {
    let headers: HeaderMap = request.headers().clone();
    if request.method() == Method::OPTIONS {
        return cors::preflight(&headers, &hub.config.events.cors_origins);
    }
    let (parts, body) = request.into_parts();
    let mut response = match parts.method {
        Method::GET => connect(&hub, parts).await,
        Method::POST => post(&hub, parts, body).await,
        _ => method_not_allowed(),
    };
    cors::allow(&mut response, &headers, &hub.config.events.cors_origins);
    response
}

fn method_not_allowed() -> Response {
    let error = Error::new(Reason::InvalidArgument, "use GET with an upgrade, or POST");
    let mut response = refusal::response_with(StatusCode::METHOD_NOT_ALLOWED, &error);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
    response
}

/// `{db}` of `/v1/databases/{db}/livestore`, percent-decoded by nobody: names and ids need none.
fn route(parts: &Parts) -> Option<&str> {
    parts.uri.path().strip_prefix(DATABASE_PREFIX)?.split('/').next()
}

/// `GET`: a WebSocket.
async fn connect(hub: &Arc<Hub>, mut parts: Parts) -> Response {
    let query = match ConnectQuery::parse(parts.uri.query().unwrap_or("")) {
        Ok(query) => query,
        Err(bad) => return bad_query(hub, &parts, &bad).await,
    };
    if query.transport == Transport::Http {
        let error = Error::new(Reason::InvalidArgument, "transport=http takes POST");
        return refusal::response_with(StatusCode::METHOD_NOT_ALLOWED, &error);
    }
    let Some(handshake) = Handshake::of(&mut parts, SUBPROTOCOL).await else {
        let error = Error::new(Reason::InvalidArgument, NO_UPGRADE);
        let mut response = refusal::response_with(StatusCode::UPGRADE_REQUIRED, &error);
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let config = &hub.config.events;
    let limits = SocketLimits {
        received_max_bytes: config.max_frame_bytes,
        read_buffer_bytes: READ_BUFFER_BYTES,
        gathered_max_bytes: EVENTS_WRITE_BUFFER_BYTES,
        sent_max_bytes: EVENTS_SENT_FRAME_MAX_BYTES + config.max_frame_bytes,
        stall_max: Duration::from_millis(config.limits.ack_ms),
    };
    let wanted = ConnectRequest { parts: &parts, route: route(&parts), query: &query };
    let entered = access::enter(hub, &wanted).await;
    // The hub waits for this token's end before it closes files.
    let (hub, tracked) = (Arc::clone(hub), hub.tasks.token());
    match entered {
        // A task of its own: the one of the handshake is larger, and would live as long.
        Ok(entry) => handshake.accept(limits, async move |socket| {
            tokio::spawn(async move {
                socket::run(hub, entry, socket).await;
                drop(tracked);
            });
        }),
        Err(NotAdmitted { error, .. })
            if config.auth_refusal == AuthRefusal::Fail && access::is_callers_fault(&error) =>
        {
            let error = refusal::rpc_error(&error);
            handshake.accept(limits, async move |socket| {
                refused_socket::run(hub, error, socket).await;
                drop(tracked);
            })
        }
        Err(NotAdmitted { error, .. }) => refusal::response(&error),
    }
}

/// The answer to a query that is none, noted where its `storeId` alone is wrong.
async fn bad_query(hub: &Hub, parts: &Parts, bad: &BadQuery) -> Response {
    let error = refusal::bad_query(bad);
    if let Ok(query) = ConnectQuery::parse_any(parts.uri.query().unwrap_or("")) {
        access::note_bad_store(hub, &ConnectRequest { parts, route: route(parts), query: &query }, &error)
            .await;
    }
    refusal::response(&error)
}

/// `POST`: calls over HTTP.
async fn post(hub: &Arc<Hub>, parts: Parts, body: Body) -> Response {
    let query = match ConnectQuery::parse(parts.uri.query().unwrap_or("")) {
        Ok(query) if query.transport == Transport::Http => query,
        Ok(_) => {
            return call::malformed(StatusCode::METHOD_NOT_ALLOWED, "transport=ws takes GET with an upgrade");
        }
        Err(bad) => {
            bad_query(hub, &parts, &bad).await;
            return call::malformed(StatusCode::BAD_REQUEST, bad.0);
        }
    };
    let wanted = ConnectRequest { parts: &parts, route: route(&parts), query: &query };
    // Who has no right is refused before anything is read; what is read then is little, and only names the calls that
    // are refused, which a client waits for by their ids.
    let entered = access::enter(hub, &wanted).await;
    let most = match &entered {
        Ok(_) => hub.config.events.max_frame_bytes,
        Err(_) => REFUSED_BODY_MAX_BYTES,
    };
    let body = match body.size_hint().lower() > most as u64 {
        true => None,
        false => axum::body::to_bytes(body, most).await.ok(),
    };
    let (entry, body) = match (entered, body) {
        (Ok(entry), Some(body)) => (entry, body),
        (Ok(_), None) => {
            let why = format!("a body may have at most {most} bytes");
            return call::malformed(StatusCode::PAYLOAD_TOO_LARGE, &why);
        }
        (Err(NotAdmitted { error, database }), body) => {
            let body = body.unwrap_or_default();
            let calls = call::calls(&body).unwrap_or_default();
            if let Some(database) = database {
                call::record_refused(hub, (database, &query.store_id), &calls, &error);
            }
            return call::refused(&error, &calls);
        }
    };
    let calls = match call::calls(&body) {
        Ok(calls) => calls,
        Err(why) => return call::malformed(StatusCode::BAD_REQUEST, why),
    };
    if let Err(spent) = entry.context.meter.charge(body.len()) {
        return call::refused(&spent, &calls);
    }
    let calls = calls.into_iter().map(str::to_owned).collect();
    let id = parts.extensions.get::<HttpRequestId>().cloned();
    call::answer(hub, entry, calls, id.unwrap_or_else(|| HttpRequestId(String::new()))).await
}
