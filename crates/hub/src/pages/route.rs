//! The upgrade of `/sync`, and its refusals as plain text.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use ferry_auth::AuthContext;
use ferry_protocol::pages::{DIRECTION_HEADER, SNAPSHOT_HEADER};
use ferry_sqlite::pages::ReadConsistency;
use ferry_types::{
    Error, Model, Reason, Result,
    limits::{EDGEREPLICA_FRAME_MAX_BYTES, EDGEREPLICA_UNSENT_MAX_BYTES, TRANSFER_STALL_MAX_MS},
};
use http::{HeaderValue, request::Parts};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    pull::PullEngine,
    push::PushEngine,
    session::{Engine, SessionRun},
    socket::PageSocket,
};
use crate::{
    connections::{ConnectionHead, OpenConnection},
    entry::{self, Carriers, Needs, Policy, RequestContext},
    http::{BoundedSocket, Handshake, NO_UPGRADE, SocketLimits, retry_after, status_of},
    hub::Hub,
    rights::{PAGES_SYNC_PULL, PAGES_SYNC_PUSH},
};

/// What browsers may offer beside `ferry.bearer.…`, so that the secret is not repeated in the answer.
const SUBPROTOCOL: &str = "ferry.pages.v1";

/// How long a client that is turned away for want of a place should wait.
const FULL_RETRY_MS: u64 = 5_000;

const LIMITS: SocketLimits = SocketLimits {
    // A larger frame than this is not even received; one above the limit is answered in words.
    received_max_bytes: 2 * EDGEREPLICA_FRAME_MAX_BYTES,
    read_buffer_bytes: READ_BUFFER_BYTES,
    gathered_max_bytes: EDGEREPLICA_UNSENT_MAX_BYTES / 4,
    sent_max_bytes: EDGEREPLICA_FRAME_MAX_BYTES,
    stall_max: Duration::from_millis(TRANSFER_STALL_MAX_MS),
};
const READ_BUFFER_BYTES: usize = 128 << 10;

/// What a token lets its session do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Push,
    Pull,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

/// What EdgeReplica's wire asks. A database of the wrong kind is told of in an error frame, once its client can read one.
const POLICY: Policy<'_> = Policy {
    carriers: Carriers::BearerHeader,
    path: None,
    tenant: None,
    needs: Needs::Any(&[PAGES_SYNC_PULL, PAGES_SYNC_PUSH]),
    commits: &[PAGES_SYNC_PUSH],
    condition: &|auth| direction(auth).map(drop),
    creates: None,
    kind: None,
};

/// Everything that a session is let in with.
struct Entry {
    hub: Arc<Hub>,
    context: RequestContext,
    direction: Direction,
    /// How the client reads its file, as it says.
    origin: ReadConsistency,
    _place: OwnedSemaphorePermit,
    connection: OpenConnection,
}

/// `GET /sync`: one push or pull over EdgeReplica's wire, as the token says.
pub(super) async fn sync(hub: Arc<Hub>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Some(handshake) = Handshake::of(&mut parts, SUBPROTOCOL).await else {
        return text(&Error::new(Reason::InvalidArgument, NO_UPGRADE));
    };
    let entry = match enter(&hub, &parts).await {
        Ok(entry) => entry,
        Err(error) => return text(&error),
    };
    // The hub waits for this token's end before it closes files.
    let tracked = hub.tasks.token();
    let direction = HeaderValue::from_static(entry.direction.as_str());
    let mut response = handshake.acknowledging_at_once().accept(LIMITS, async move |socket| {
        run(entry, socket).await;
        drop(tracked);
    });
    response.headers_mut().insert(DIRECTION_HEADER, direction);
    response
}

async fn enter(hub: &Arc<Hub>, parts: &Parts) -> Result<Entry> {
    let context = entry::enter(hub, parts, &POLICY).await?;
    let database = &context.database;
    let place = database.models().pages.socket().ok_or_else(|| {
        Error::new(Reason::Busy, "too many clients sync this database right now: try again in a few seconds")
            .retry_after_ms(FULL_RETRY_MS)
    })?;
    Ok(Entry {
        hub: Arc::clone(hub),
        direction: direction(&context.auth)?,
        origin: if parts.headers.contains_key(SNAPSHOT_HEADER) {
            ReadConsistency::Snapshot
        } else {
            ReadConsistency::Unknown
        },
        _place: place,
        connection: context.connect(hub, ConnectionHead::of(parts), (Model::Pages, "ws")),
        context,
    })
}

/// The token alone names the direction. One that allows both could overwrite what its holder meant to fetch.
fn direction(auth: &AuthContext) -> Result<Direction> {
    let may_push = PAGES_SYNC_PUSH.check(auth).is_ok();
    match PAGES_SYNC_PULL.check(auth) {
        Ok(()) if may_push => {
            let message = "this token allows both push and pull: issue one for a single direction";
            Err(Error::new(Reason::PermissionDenied, message))
        }
        Ok(()) => Ok(Direction::Pull),
        Err(_) if may_push => Ok(Direction::Push),
        Err(error) => Err(error),
    }
}

async fn run(entry: Entry, socket: BoundedSocket) {
    let Entry { hub, context, direction, origin, _place, connection } = entry;
    let rights = context.watch(&hub);
    let RequestContext { database, meter, requester, .. } = context;
    let mut socket = PageSocket::new(socket, meter);
    let word = direction.as_str();
    metrics::counter!("ferry_pages_sessions_total", "direction" => word).increment(1);
    let engine: Result<Box<dyn Engine>> = match direction {
        Direction::Push => {
            PushEngine::open(&hub, &database, origin).await.map(|engine| Box::new(engine) as _)
        }
        Direction::Pull => PullEngine::open(&hub, &database).await.map(|engine| Box::new(engine) as _),
    };
    let ended = match engine {
        Ok(engine) => {
            // Whoever says how it reads its file is Ferry's own client.
            let hears_phases = origin == ReadConsistency::Snapshot;
            let closed = connection.closed();
            let session =
                SessionRun { hub: &hub, database: &database, closed, rights, requester, hears_phases };
            session.run(engine, &mut socket).await
        }
        Err(error) => Err(super::refusal(error).into()),
    };
    match &ended {
        Ok(()) => tracing::debug!(database = %database.id(), word, "session complete"),
        Err(end) => tracing::info!(database = %database.id(), word, %end, "session ended"),
    }
    socket.finish(ended).await;
}

/// A refusal before the upgrade.
fn text(error: &Error) -> Response {
    let mut response = (status_of(error.reason), error.message.clone().into_owned()).into_response();
    retry_after(&mut response, error.retry_after_ms);
    response
}
