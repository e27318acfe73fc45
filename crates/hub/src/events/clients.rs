//! What became of each client's pushes lately, and which connections are refused, for operators who look for stuck
//! clients (section 2.10). In memory and bounded: a client that is stuck comes again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_core::events::FirstEvent;
use ferry_protocol::events::{ErrorCode, RpcError};
use ferry_types::{DatabaseId, Model, UnixMillis};
use serde_json::{Value, json};

use crate::connections::StuckClient;

/// Clients and refused connections that a hub remembers, of all its stores together; beyond, the one that was silent
/// longest is forgotten, and those that get on before those that are stuck.
const CLIENTS_MAX: usize = 10_000;
/// So many of the clients that pushed last need not be told apart by when they did.
const NEWEST_UNORDERED: u64 = 1_000;
/// Longest text that is kept of a message, of an event's name, or of a storeId that can name no store, in bytes.
const TEXT_MAX_BYTES: usize = 512;

/// The newest pushes per client, and refused connections, of all stores of a hub.
#[derive(Default)]
pub(super) struct Clients {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    seen: HashMap<Arc<Key>, Seen>,
    /// By when they were seen: those that get on, and those that are stuck.
    ages: [BTreeMap<u64, Arc<Key>>; 2],
    clock: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    database: DatabaseId,
    store: Box<str>,
    who: Who,
}

/// Whose pushes, or whose connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Who {
    /// A client, by the id in its events.
    Client(Box<str>),
    /// Who was not let in, by credential and address: it could name no client.
    Connection(Box<str>),
}

struct Seen {
    age: u64,
    last_at: UnixMillis,
    last_result: &'static str,
    trouble: Option<Trouble>,
}

/// A batch that its client pushes again and again, or a connection that is tried again and again.
struct Trouble {
    first: Option<(i64, Box<str>)>,
    code: &'static str,
    message: Box<str>,
    tries: u64,
}

impl Seen {
    fn queue(&self) -> usize {
        usize::from(self.trouble.is_some())
    }
}

impl Clients {
    /// Notes how a push to `store` ended. A client that is told "server ahead" rebases and comes again: it is not stuck.
    pub(super) fn pushed(
        &self,
        (database, store): (DatabaseId, &str),
        first: FirstEvent,
        outcome: Option<&RpcError>,
        now: UnixMillis,
    ) {
        let key = Key { database, store: store.into(), who: Who::Client(first.client_id) };
        let stuck = outcome.filter(|error| !matches!(error, RpcError::ServerAhead { .. }));
        let trouble = stuck.map(|error| {
            let first = (first.seq_num, cut(&first.name));
            Trouble::new(Some(first), error.word(), &message(error))
        });
        self.lock().note(key, (now, outcome.map_or("ok", RpcError::word)), trouble);
    }

    /// Notes a connection to `store` that was not let in, by whose credential and address it was.
    pub(super) fn refused(
        &self,
        (database, store): (DatabaseId, &str),
        whose: &str,
        (code, message): (&'static str, &str),
        now: UnixMillis,
    ) {
        let key = Key { database, store: cut(store), who: Who::Connection(whose.into()) };
        self.lock().note(key, (now, code), Some(Trouble::new(None, code, message)));
    }

    /// Forgets that a connection was refused: it is let in.
    pub(super) fn admitted(&self, (database, store): (DatabaseId, &str), whose: &str) {
        let mut known = self.lock();
        // Mostly nobody is refused, and a connection need not be looked for.
        if !known.ages[1].is_empty() {
            known.remove(&Key { database, store: store.into(), who: Who::Connection(whose.into()) });
        }
    }

    /// Forgets the troubles of a store: its operator has done something about them.
    pub(super) fn forget(&self, database: DatabaseId, store: &str) {
        let mut known = self.lock();
        let gone: Vec<_> = known.ages[1]
            .values()
            .filter(|key| key.database == database && *key.store == *store)
            .cloned()
            .collect();
        gone.iter().for_each(|key| drop(known.remove(key)));
    }

    /// What is known of a database's clients, in order of store and client: those of one store, if `store` names it. A
    /// connection whose storeId can name none belongs to every list, as it has no other.
    pub(super) fn to_json(&self, database: DatabaseId, store: Option<&str>) -> (Vec<Value>, Vec<Value>) {
        let is_meant = |key: &Key| {
            let is_stores = store.is_none_or(|store| *key.store == *store);
            let is_nowhere = || ferry_protocol::events::check_store_id(&key.store).is_err();
            key.database == database && (is_stores || is_nowhere())
        };
        let known = self.lock();
        let mut found: Vec<_> = known.seen.iter().filter(|(key, _)| is_meant(key)).collect();
        found.sort_unstable_by_key(|(key, _)| *key);
        let (mut clients, mut refused) = (Vec::new(), Vec::new());
        for (key, seen) in found {
            let trouble = seen.trouble.as_ref().map(Trouble::to_json);
            match &key.who {
                Who::Client(id) => clients.push(json!({
                    "store": key.store,
                    "clientId": id,
                    "lastPushAt": seen.last_at.to_string(),
                    "lastResult": seen.last_result,
                    "blocked": trouble,
                })),
                Who::Connection(whose) => refused.push(json!({
                    "store": key.store,
                    "who": whose,
                    "lastTryAt": seen.last_at.to_string(),
                    "refused": trouble,
                })),
            }
        }
        (clients, refused)
    }

    /// Clients of a database that do not get on, and who is not let in.
    pub(super) fn stuck(&self, database: DatabaseId) -> Vec<StuckClient> {
        let known = self.lock();
        let troubled = known.ages[1].values().filter(|key| key.database == database);
        let stuck = troubled.filter_map(|key| {
            let seen = known.seen.get(key)?;
            let trouble = seen.trouble.as_ref()?;
            let (Who::Client(client) | Who::Connection(client)) = &key.who;
            let first = trouble.first.as_ref().map(|(number, name)| format!("{number} {name}"));
            Some(StuckClient {
                model: Model::Events,
                client: client.to_string(),
                scope: key.store.to_string(),
                first: first.unwrap_or_default(),
                code: trouble.code.to_owned(),
                message: trouble.message.to_string(),
                advice: advice(trouble.code).to_owned(),
                tries: trouble.tries,
                last: seen.last_at,
            })
        });
        stuck.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn note(&mut self, key: Key, (now, last_result): (UnixMillis, &'static str), trouble: Option<Trouble>) {
        // Nearly all pushes are of a client that gets on and was among the last: nothing has to be moved.
        let newest = self.clock;
        if trouble.is_none()
            && let Some(seen) = self.seen.get_mut(&key)
            && seen.trouble.is_none()
            && newest - seen.age < NEWEST_UNORDERED
        {
            (seen.last_at, seen.last_result) = (now, last_result);
            return;
        }
        let before = self.remove(&key).and_then(|seen| seen.trouble);
        if self.seen.len() >= CLIENTS_MAX {
            let oldest = self.ages.iter().find_map(|ages| ages.values().next().cloned());
            oldest.iter().for_each(|key| drop(self.remove(key)));
        }
        let trouble = trouble.map(|trouble| {
            let same = before.filter(|before| before.first == trouble.first && before.code == trouble.code);
            Trouble { tries: same.map_or(0, |before| before.tries) + trouble.tries, ..trouble }
        });
        self.clock += 1;
        let (key, seen) = (Arc::new(key), Seen { age: self.clock, last_at: now, last_result, trouble });
        self.ages[seen.queue()].insert(seen.age, Arc::clone(&key));
        self.seen.insert(key, seen);
    }

    fn remove(&mut self, key: &Key) -> Option<Seen> {
        let seen = self.seen.remove(key)?;
        self.ages[seen.queue()].remove(&seen.age);
        Some(seen)
    }
}

impl Trouble {
    /// The first try.
    fn new(first: Option<(i64, Box<str>)>, code: &'static str, message: &str) -> Self {
        Self { first, code, message: cut(message), tries: 1 }
    }

    fn to_json(&self) -> Value {
        let first = self.first.as_ref().map(|(number, name)| json!({"seqNum": number, "name": name}));
        json!({
            "firstEvent": first,
            "code": self.code,
            "tries": self.tries,
            "message": self.message,
            "advice": advice(self.code),
        })
    }
}

fn message(error: &RpcError) -> String {
    match error {
        RpcError::ServerAhead { head, .. } => format!("the newest event is {head}"),
        RpcError::BackendIdMismatch { expected, .. } => format!("the store's identity is {expected}"),
        RpcError::Unknown { message, .. } => message.to_string(),
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> Box<str> {
    match text.len() <= TEXT_MAX_BYTES {
        true => text.into(),
        false => format!("{}…", &text[..text.floor_char_boundary(TEXT_MAX_BYTES)]).into(),
    }
}

/// What an operator can do for a client that is refused so.
fn advice(code: &str) -> &'static str {
    const CODES: &[(ErrorCode, &str)] = &[
        (ErrorCode::Unauthorized, "hand the app a new credential"),
        (ErrorCode::Forbidden, "hand the app a credential with this right, or have it commit nothing here"),
        (ErrorCode::StoreNotFound, "create the store, or let the app name one that exists"),
        (ErrorCode::StoreMismatch, "the app must name one store in its URL and in its frames"),
        (
            ErrorCode::InvalidBatch,
            "raise the limit, or ship an app that makes no such event; until then the client waits",
        ),
        (ErrorCode::ClientAhead, AHEAD),
        (ErrorCode::CursorAhead, AHEAD),
        (ErrorCode::Rejected, "your onPush hook refuses it for ever: accept it, and compensate with append"),
        (ErrorCode::HookUnavailable, "bring the hook back: the client goes on by itself"),
        (ErrorCode::RateLimited, "the client goes on by itself; raise the rate if this happens often"),
        (ErrorCode::ByteBudget, "it goes on after midnight UTC, or with a token that may transfer more"),
        (ErrorCode::StoreHold, "decide whether events were lost: ferry events remint, or resume"),
        (ErrorCode::StorageFull, "free space on the hub's disk: the client tries again by itself"),
        (ErrorCode::Internal, "look into the hub's log: the client tries again by itself"),
    ];
    const AHEAD: &str = "the hub lacks events that this client holds: put them back (ferry events import --append) if another copy has them; \
         only if none has, ferry events remint, by which every client drops its copy and what it has not pushed";
    let found = CODES.iter().find(|(known, _)| known.as_str() == code);
    match found {
        Some((_, advice)) => advice,
        None if code == "backend_mismatch" => "nothing: the client wipes its copy and pulls again",
        None => "see the message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";

    fn first(client: &str, seq_num: i64) -> FirstEvent {
        FirstEvent { client_id: client.into(), seq_num, name: "n".into() }
    }

    fn database() -> DatabaseId {
        DATABASE.parse().unwrap()
    }

    fn push(clients: &Clients, store: &str, first: FirstEvent, outcome: Option<&RpcError>) {
        clients.pushed((database(), store), first, outcome, UnixMillis(0));
    }

    #[test]
    fn tries_of_one_batch_are_counted_until_it_passes() {
        let clients = Clients::default();
        let shown = || clients.to_json(database(), Some("s")).0[0].clone();
        let rejected = RpcError::new(ErrorCode::Rejected, "no");
        for _ in 0..3 {
            push(&clients, "s", first("a", 5), Some(&rejected));
        }
        let blocked = shown()["blocked"].clone();
        assert_eq!((&blocked["tries"], &blocked["code"]), (&json!(3), &json!("REJECTED")));
        assert_eq!((&blocked["firstEvent"]["seqNum"], &blocked["message"]), (&json!(5), &json!("no")));
        push(&clients, "s", first("a", 6), Some(&rejected));
        assert_eq!(shown()["blocked"]["tries"], 1);
        push(&clients, "s", first("a", 6), Some(&RpcError::ServerAhead { head: 9, provided: 5 }));
        assert_eq!((&shown()["blocked"], &shown()["lastResult"]), (&Value::Null, &json!("server_ahead")));
    }

    #[test]
    fn those_that_get_on_are_forgotten_before_those_that_are_stuck() {
        let clients = Clients::default();
        let rejected = RpcError::new(ErrorCode::Rejected, "no");
        push(&clients, "s", first("stuck", 1), Some(&rejected));
        for place in 0..CLIENTS_MAX + 5 {
            push(&clients, &format!("s{}", place % 2), first(&format!("c{place:05}"), 1), None);
        }
        let (all, _) = clients.to_json(database(), None);
        assert_eq!(all.len(), CLIENTS_MAX);
        assert_eq!(all[0]["clientId"], "stuck");
        assert!(all.iter().all(|client| client["clientId"] != "c00005" || client["store"] != "s1"));
        for place in 0..CLIENTS_MAX + 5 {
            clients.refused((database(), "s"), &format!("w{place:05}"), ("FORBIDDEN", "no"), UnixMillis(0));
        }
        let (all, refused) = clients.to_json(database(), None);
        assert_eq!((all.len(), refused.len()), (0, CLIENTS_MAX), "the longest silent go");
        clients.forget(database(), "s");
        assert_eq!(clients.to_json(database(), None), (vec![], vec![]));
    }

    // Verifies: EVT-50
    #[test]
    fn a_connection_that_names_no_store_is_in_every_list() {
        let clients = Clients::default();
        let long = "x".repeat(100_000);
        clients.refused((database(), &long), "ada", ("INVALID_ARGUMENT", "storeId must have"), UnixMillis(0));
        let (_, refused) = clients.to_json(database(), Some("app"));
        assert!(refused[0]["store"].as_str().unwrap().len() < TEXT_MAX_BYTES + 10);
        clients.refused((database(), "app"), "ada", ("STORE_HOLD", "held"), UnixMillis(0));
        clients.refused((database(), "app"), "ada", ("STORE_HOLD", "held"), UnixMillis(1));
        let (_, refused) = clients.to_json(database(), Some("app"));
        assert_eq!((refused.len(), &refused[0]["refused"]["tries"]), (2, &json!(2)));
        clients.admitted((database(), "app"), "ada");
        assert_eq!(clients.to_json(database(), Some("app")).1.len(), 1);
    }
}
