//! Who is connected: the long-lived connections of every database, with what they have moved and how far they have come
//! (OPR-56). A connection is entered once and taken out once; whoever looks reads what it counts anyway.

mod stuck;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferry_control::ClientIp;
use ferry_types::{DatabaseId, Model, UnixMillis, UserId};
use http::{header, request::Parts};
use tokio_util::sync::CancellationToken;

pub(crate) use stuck::{PusherKey, StuckClient, StuckClients};

use crate::{
    database::{ConnectionGuard, Database},
    http::ConnectionProgress,
    monotonic::now_ms,
};

/// As much of what a client calls itself as is kept, bytes.
const CLIENT_MAX_BYTES: usize = 160;
/// How long something must have waited for a peer that takes nothing before it is said to stall.
const STALLED_AFTER_MS: u64 = 1_000;

/// The open connections of a hub.
pub struct LiveConnections {
    /// Tells ids of this run from those of another one.
    run: u64,
    newest: AtomicU64,
    open: Mutex<BTreeMap<(DatabaseId, u64), Arc<ConnectionEntry>>>,
}

/// What the head of a request tells of its connection. It holds nothing of the request.
pub(crate) struct ConnectionHead {
    client: Box<str>,
    scope: Box<str>,
    progress: ConnectionProgress,
}

impl ConnectionHead {
    /// That of the request with this head.
    pub(crate) fn of(parts: &Parts) -> Self {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            client: cut(agent.unwrap_or_default()),
            scope: Box::default(),
            progress: parts.extensions.get::<ConnectionProgress>().cloned().unwrap_or_default(),
        }
    }

    /// The same of a client that names the device, or itself.
    pub(crate) fn of_device(self, device: Option<&str>) -> Self {
        match device.filter(|device| !device.is_empty()) {
            None => self,
            Some(device) if self.client.is_empty() => Self { client: cut(device), ..self },
            Some(device) => Self { client: cut(&format!("{device} ({})", self.client)), ..self },
        }
    }

    /// The same of a connection that is about this part of its database.
    pub(crate) fn within(self, scope: &str) -> Self {
        Self { scope: cut(scope), ..self }
    }
}

fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(CLIENT_MAX_BYTES)].into()
}

/// Whose a connection is, and by which way.
pub(crate) struct ConnectionOwner {
    pub(crate) principal: Arc<str>,
    /// The user behind it; `None`: nobody who has an account here.
    pub(crate) user: Option<UserId>,
    pub(crate) ip: ClientIp,
}

/// How far a connection has come in what it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionPosition {
    /// The last that it was sent, or has passed.
    pub(crate) cursor: u64,
    /// The newest there is.
    pub(crate) head: u64,
    /// What both count.
    pub(crate) unit: &'static str,
}

type Follows = Box<dyn Fn() -> Option<ConnectionPosition> + Send + Sync>;

/// An open connection.
pub(crate) struct ConnectionEntry {
    key: (DatabaseId, u64),
    model: Model,
    transport: &'static str,
    owner: ConnectionOwner,
    client: Box<str>,
    scope: Box<str>,
    since: UnixMillis,
    progress: ConnectionProgress,
    /// What its TCP connection had moved before: received, sent.
    before: (u64, u64),
    follows: OnceLock<Follows>,
    /// Below that of its database.
    closed: CancellationToken,
}

/// What is shown of a connection.
pub(crate) struct ConnectionSummary {
    pub(crate) id: String,
    pub(crate) model: Model,
    pub(crate) transport: &'static str,
    pub(crate) principal: Arc<str>,
    pub(crate) client: Box<str>,
    pub(crate) scope: Box<str>,
    pub(crate) ip: ClientIp,
    pub(crate) since: UnixMillis,
    pub(crate) last: UnixMillis,
    pub(crate) position: Option<ConnectionPosition>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) state: &'static str,
    number: u64,
}

impl LiveConnections {
    /// Those of a hub that starts now: none.
    pub(crate) fn new(started: UnixMillis) -> Self {
        let run = u64::try_from(started.0).unwrap_or_default();
        Self { run, newest: AtomicU64::new(0), open: Mutex::default() }
    }

    /// Enters a connection to `database` until what is returned is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        database: &Arc<Database>,
        owner: ConnectionOwner,
        head: ConnectionHead,
        (model, transport): (Model, &'static str),
        now: UnixMillis,
    ) -> OpenConnection {
        let key = (database.id(), self.newest.fetch_add(1, Ordering::Relaxed) + 1);
        let ConnectionHead { client, scope, progress } = head;
        let entry = Arc::new(ConnectionEntry {
            key,
            model,
            transport,
            owner,
            client,
            scope,
            since: now,
            before: (progress.received_bytes(), progress.sent_bytes()),
            progress,
            follows: OnceLock::new(),
            closed: database.closed().child_token(),
        });
        self.lock().insert(key, Arc::clone(&entry));
        entry.count(1.0);
        OpenConnection { entry, connections: Arc::clone(self), _counted: database.connect() }
    }

    /// Up to `max` connections of a database behind the one with the number `after`, those of `user` alone if somebody is
    /// named; and the number behind which there are more.
    pub(crate) fn page(
        &self,
        database: DatabaseId,
        user: Option<UserId>,
        after: u64,
        max: usize,
        now: UnixMillis,
    ) -> (Vec<ConnectionSummary>, Option<u64>) {
        let is_meant = |entry: &&Arc<ConnectionEntry>| user.is_none() || entry.owner.user == user;
        let found: Vec<_> = {
            let open = self.lock();
            let behind = open.range((database, after.saturating_add(1))..=(database, u64::MAX));
            behind.map(|(_, entry)| entry).filter(is_meant).take(max + 1).cloned().collect()
        };
        let shown: Vec<_> = found.iter().take(max).map(|entry| self.summary(entry, now)).collect();
        let more = (found.len() > max).then(|| shown.last().map(|last| last.number)).flatten();
        (shown, more)
    }

    /// How many there are, by the same rule.
    pub(crate) fn count(&self, database: DatabaseId, user: Option<UserId>) -> usize {
        let open = self.lock();
        let all = open.range((database, 0)..=(database, u64::MAX));
        all.filter(|(_, entry)| user.is_none() || entry.owner.user == user).count()
    }

    /// The open connection with this id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<ConnectionEntry>> {
        let (run, number) = id.strip_prefix("c_")?.split_once('_')?;
        let number: u64 = number.parse().ok()?;
        if u64::from_str_radix(run, 16).ok()? != self.run {
            return None;
        }
        self.lock().values().find(|entry| entry.key.1 == number).cloned()
    }

    fn summary(&self, entry: &ConnectionEntry, now: UnixMillis) -> ConnectionSummary {
        let (number, at_ms) = (entry.key.1, now_ms());
        let ago_ms = i64::try_from(at_ms.saturating_sub(entry.progress.moved_ms())).unwrap_or_default();
        let position = entry.follows.get().and_then(|follows| follows());
        let is_stalled = entry.progress.stalled_ms(at_ms).is_some_and(|ms| ms >= STALLED_AFTER_MS);
        ConnectionSummary {
            id: format!("c_{:x}_{number}", self.run),
            model: entry.model,
            transport: entry.transport,
            principal: Arc::clone(&entry.owner.principal),
            client: entry.client.clone(),
            scope: entry.scope.clone(),
            ip: entry.owner.ip,
            since: entry.since,
            last: UnixMillis(now.0 - ago_ms).max(entry.since),
            position,
            bytes_in: entry.progress.received_bytes().saturating_sub(entry.before.0),
            bytes_out: entry.progress.sent_bytes().saturating_sub(entry.before.1),
            state: match position {
                _ if entry.closed.is_cancelled() => "closing",
                _ if is_stalled => "stalled",
                Some(ConnectionPosition { cursor, head, .. }) if cursor < head => "behind",
                _ => "open",
            },
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(DatabaseId, u64), Arc<ConnectionEntry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionEntry {
    /// The database that it is connected to.
    pub(crate) const fn database(&self) -> DatabaseId {
        self.key.0
    }

    /// Whose it is.
    pub(crate) const fn owner(&self) -> &ConnectionOwner {
        &self.owner
    }

    /// What its client calls itself.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// Adds to the metric of open sockets and streams; a request that is answered is none.
    fn count(&self, connections: f64) {
        if matches!(self.transport, "ws" | "sse") {
            metrics::gauge!("ferry_connections", "model" => self.model.as_str()).increment(connections);
        }
    }

    /// Asks it to end. Its client may come again.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

/// A connection for as long as it is open.
pub(crate) struct OpenConnection {
    entry: Arc<ConnectionEntry>,
    connections: Arc<LiveConnections>,
    _counted: ConnectionGuard,
}

impl OpenConnection {
    /// Cancelled when the connection is to end: an administrator closed it, the database is deleted, or the hub stops.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.entry.closed
    }

    /// How far it has come is told by `position`, which is asked when somebody looks; it may say nothing.
    pub(crate) fn follows(&self, position: impl Fn() -> Option<ConnectionPosition> + Send + Sync + 'static) {
        let _ = self.entry.follows.set(Box::new(position));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.entry.key);
        self.entry.count(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use super::*;
    use crate::{
        clock::SystemClock,
        database::{Databases, FileLimits, InlineRuns, OpenFiles},
    };

    #[test]
    fn what_a_client_calls_itself_is_cut() {
        let head = |client: &str| ConnectionHead {
            client: cut(client),
            scope: Box::default(),
            progress: ConnectionProgress::default(),
        };
        assert_eq!(&*head("curl/8").of_device(Some("phone-1")).client, "phone-1 (curl/8)");
        assert_eq!(&*head("").of_device(Some("phone-1")).client, "phone-1");
        assert_eq!(&*head("curl/8").of_device(Some("")).client, "curl/8");
        assert!(head(&"ä".repeat(1000)).of_device(Some("x")).client.len() <= CLIENT_MAX_BYTES);
    }

    fn id(last: u32) -> String {
        format!("3f2b9c1e-5d44-4a7b-8e11-{last:012x}")
    }

    // Verifies: OPR-56
    #[tokio::test]
    async fn ten_thousand_connections_are_paged_each_once_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = OpenFiles::new(FileLimits::of(None, 1_000, 1 << 30));
        let clock = Arc::new(SystemClock);
        let databases = Arc::new(Databases::new(
            dir.path(),
            files,
            Arc::new(InlineRuns::default()),
            clock,
            ferry_database::CaptureSettings::default(),
        ));
        let database = |last| databases.get(format!("db_{}", id(last)).parse().unwrap()).unwrap();
        let (here, elsewhere) = (database(1), database(2));
        let connections = Arc::new(LiveConnections::new(UnixMillis(77)));
        let user = |last| format!("u_{}", id(last)).parse::<UserId>().unwrap();
        let enter = |number: u32, database: &Arc<Database>| {
            let owner = ConnectionOwner {
                principal: "u".into(),
                user: (!number.is_multiple_of(10)).then(|| user(number % 10)),
                ip: Ipv4Addr::LOCALHOST.into(),
            };
            let head = ConnectionHead::of(&http::Request::get("/").body(()).unwrap().into_parts().0);
            connections.enter(database, owner, head, (Model::Events, "sse"), UnixMillis(1_000))
        };
        let open: Vec<_> = (0..10_000).map(|number| enter(number, &here)).collect();
        let other = enter(1, &elsewhere);
        let page = |user, after, max| connections.page(here.id(), user, after, max, UnixMillis(5_000));
        let (mut seen, mut after) = (BTreeSet::new(), 0);
        loop {
            let (rows, more) = page(None, after, 1_000);
            assert!(rows.iter().all(|row| seen.insert(row.id.clone()) && row.state == "open"));
            let Some(number) = more else { break };
            after = number;
        }
        assert_eq!((seen.len(), connections.count(here.id(), None)), (10_000, 10_000));
        let (own, more) = page(Some(user(3)), 0, 10_000);
        assert_eq!((own.len(), more, connections.count(here.id(), Some(user(3)))), (1_000, None, 1_000));
        assert_eq!(here.connections(), 10_000);

        open[5].follows(|| Some(ConnectionPosition { cursor: 7, head: 9, unit: "events" }));
        let found = connections.find(&own[0].id).unwrap();
        assert!(connections.find("c_4d_99999999").is_none() && connections.find("c_1_1").is_none());
        found.close();
        assert!(open[3].closed().is_cancelled() && !open[4].closed().is_cancelled());
        let states: Vec<_> = page(None, 0, 6).0.iter().map(|row| row.state).collect();
        assert_eq!(states, ["open", "open", "open", "closing", "open", "behind"]);
        here.closed().cancel();
        assert!(open[4].closed().is_cancelled() && !other.closed().is_cancelled());
        drop((open, other));
        assert_eq!((connections.lock().len(), here.connections()), (0, 0));
    }
}
