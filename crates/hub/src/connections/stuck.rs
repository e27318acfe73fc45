//! Clients whose writes are refused again and again, for whoever looks why a device does not get on (OPR-56). In memory and
//! bounded: a client that is stuck comes again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferry_types::{Code, DatabaseId, Error, Model, Reason, UnixMillis};

/// Clients that a hub remembers, of all its databases together; beyond, the one that was silent longest is forgotten.
const CLIENTS_MAX: usize = 4_096;
/// Longest text that is kept, bytes.
const TEXT_MAX_BYTES: usize = 512;

/// A client that does not get on, and the batch that it comes again with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StuckClient {
    pub(crate) model: Model,
    /// What the client calls itself, or else whose it is.
    pub(crate) client: String,
    /// The store or the app that it writes to.
    pub(crate) scope: String,
    /// The first of its batch, as far as it could be read.
    pub(crate) first: String,
    pub(crate) code: String,
    pub(crate) message: String,
    /// What an operator can do about it.
    pub(crate) advice: String,
    pub(crate) tries: u64,
    pub(crate) last: UnixMillis,
}

/// Who pushes, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PusherKey {
    pub(crate) database: DatabaseId,
    pub(crate) model: Model,
    pub(crate) scope: Box<str>,
    pub(crate) client: Box<str>,
    /// Whether the push was let in; one that was not named no scope yet.
    pub(crate) is_let_in: bool,
}

/// The clients of a hub whose last push was refused.
#[derive(Default)]
pub struct StuckClients {
    /// How many are known, so that whoever gets on takes no lock while nobody is.
    count: AtomicUsize,
    known: Mutex<KnownStuck>,
}

#[derive(Default)]
struct KnownStuck {
    by_pusher: HashMap<Arc<PusherKey>, (u64, StuckClient)>,
    by_age: BTreeMap<u64, Arc<PusherKey>>,
    clock: u64,
}

impl StuckClients {
    /// Notes how a push ended: `Err` is why it was refused. `first` names the first of its batch, and is asked only then.
    pub(crate) fn pushed(
        &self,
        outcome: Result<(), &Error>,
        pusher: impl FnOnce() -> PusherKey,
        first: impl FnOnce() -> String,
        now: UnixMillis,
    ) {
        if outcome.is_ok() && self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (pusher, mut known) = (pusher(), self.lock());
        match outcome {
            Ok(()) => drop(known.remove(&pusher)),
            Err(error) => known.note(pusher, &first(), error, now),
        }
        self.count.store(known.by_pusher.len(), Ordering::Relaxed);
    }

    /// Those of a database, in order of model and client.
    pub(crate) fn of(&self, database: DatabaseId) -> Vec<StuckClient> {
        let known = self.lock();
        let of_it = known.by_pusher.iter().filter(|(pusher, _)| pusher.database == database);
        let mut found: Vec<_> = of_it.map(|(_, (_, stuck))| stuck.clone()).collect();
        found.sort_unstable_by(|one, other| {
            let order =
                |stuck: &StuckClient| (stuck.model.as_str(), stuck.client.clone(), stuck.scope.clone());
            order(one).cmp(&order(other))
        });
        found
    }

    fn lock(&self) -> MutexGuard<'_, KnownStuck> {
        // Nothing panics while it holds the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownStuck {
    fn note(&mut self, pusher: PusherKey, first: &str, error: &Error, now: UnixMillis) {
        let before = self.remove(&pusher);
        if self.by_pusher.len() >= CLIENTS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_pusher.remove(&oldest);
        }
        let (first, code) = (cut(first), error.reason.as_str());
        let same = before.filter(|before| before.first == first && before.code == code);
        let stuck = StuckClient {
            model: pusher.model,
            client: cut(&pusher.client),
            scope: cut(&pusher.scope),
            first,
            code: code.to_owned(),
            message: cut(&error.message),
            advice: advice(error).to_owned(),
            tries: same.map_or(0, |before| before.tries) + 1,
            last: now,
        };
        self.clock += 1;
        let pusher = Arc::new(pusher);
        self.by_age.insert(self.clock, Arc::clone(&pusher));
        self.by_pusher.insert(pusher, (self.clock, stuck));
    }

    fn remove(&mut self, pusher: &PusherKey) -> Option<StuckClient> {
        let (age, stuck) = self.by_pusher.remove(pusher)?;
        self.by_age.remove(&age);
        Some(stuck)
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> String {
    match text.len() <= TEXT_MAX_BYTES {
        true => text.to_owned(),
        false => format!("{}…", &text[..text.floor_char_boundary(TEXT_MAX_BYTES)]),
    }
}

/// What an operator can do for a client that is refused so.
fn advice(error: &Error) -> &'static str {
    match (error.reason, error.code()) {
        (Reason::ByteBudget, _) => "it goes on after midnight UTC, or with a token that may transfer more",
        (Reason::TooLarge, _) => "ship an app that sends less at once; until then the client waits",
        (_, Code::Unauthenticated) => "hand the app a new credential",
        (_, Code::PermissionDenied) => {
            "hand the app a credential with this right, or have it write nothing here"
        }
        (_, Code::InvalidArgument) => "ship an app that makes no such change; until then the client waits",
        (_, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => {
            "the client goes on by itself; look into the hub's log if it does not"
        }
        (_, Code::Internal) => "look into the hub's log: the client tries again by itself",
        _ => "see the message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";

    fn pusher(client: &str) -> PusherKey {
        let database = DATABASE.parse().unwrap();
        PusherKey {
            database,
            model: Model::Records,
            scope: "app".into(),
            client: client.into(),
            is_let_in: true,
        }
    }

    fn push(clients: &StuckClients, client: &str, first: &str, refused: Option<Reason>) {
        let error = refused.map(|reason| Error::new(reason, "no"));
        let outcome = error.as_ref().map_or(Ok(()), Err);
        clients.pushed(outcome, || pusher(client), || first.to_owned(), UnixMillis(7));
    }

    // Verifies: OPR-56
    #[test]
    fn tries_of_one_batch_are_counted_until_it_passes() {
        let clients = StuckClients::default();
        let all = || clients.of(DATABASE.parse().unwrap());
        push(&clients, "a", "notes/1", None);
        assert_eq!(all(), []);
        for _ in 0..3 {
            push(&clients, "a", "notes/1", Some(Reason::TooLarge));
        }
        push(&clients, "b", "notes/9", Some(Reason::InvalidArgument));
        let [a, b] = &all()[..] else { panic!("{:?}", all()) };
        assert_eq!((&*a.client, &*a.first, a.tries, a.last), ("a", "notes/1", 3, UnixMillis(7)));
        assert_eq!((&*b.client, &*b.code, b.tries), ("b", "INVALID_ARGUMENT", 1));
        push(&clients, "a", "notes/2", Some(Reason::TooLarge));
        assert_eq!(all()[0].tries, 1, "it is another batch");
        push(&clients, "a", "notes/2", None);
        push(&clients, "b", "notes/9", None);
        assert_eq!(all(), []);
        assert_eq!(clients.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_was_silent_longest_is_forgotten() {
        let clients = StuckClients::default();
        for number in 0..=CLIENTS_MAX {
            push(&clients, &format!("c{number}"), &"x".repeat(10_000), Some(Reason::TooLarge));
        }
        let all = clients.of(DATABASE.parse().unwrap());
        assert_eq!(all.len(), CLIENTS_MAX);
        assert!(all.iter().all(|stuck| stuck.client != "c0" && stuck.first.len() < TEXT_MAX_BYTES + 4));
    }
}
