//! What became of each client's pushes lately, for operators who look for stuck clients (section 2.10). In memory:
//! a client that is stuck pushes again.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferry_protocol::events::{Event, RpcError};
use serde_json::{Value, json};

/// Clients remembered per store; beyond, the one that was silent longest is forgotten.
const CLIENTS_MAX: usize = 1_000;

/// See the module.
#[derive(Default)]
pub(super) struct Clients {
    seen: Mutex<HashMap<Box<str>, Seen>>,
    cursors_ahead: AtomicU64,
}

struct Seen {
    last_push_at: Box<str>,
    last_result: &'static str,
    blocked: Option<Blocked>,
}

/// A batch that its client pushes again and again.
struct Blocked {
    first: Label,
    code: &'static str,
    tries: u64,
}

/// Who pushes, and what comes first in the batch: all that is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    client_id: Box<str>,
    seq_num: i64,
    name: Box<str>,
}

impl Label {
    /// The label of a batch; an empty one has none.
    pub(super) fn of(batch: &[Event]) -> Option<Self> {
        let first = batch.first()?;
        Some(Self { client_id: first.client_id.clone(), seq_num: first.seq_num, name: first.name.clone() })
    }
}

impl Clients {
    /// Notes how a push ended. A client that is told "server ahead" rebases and comes again: it is not stuck.
    pub(super) fn record(&self, label: Label, outcome: Option<&RpcError>, now: &str) {
        let mut seen = self.lock();
        if seen.len() >= CLIENTS_MAX && !seen.contains_key(&label.client_id) {
            let oldest = seen.iter().min_by(|a, b| a.1.last_push_at.cmp(&b.1.last_push_at));
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                seen.remove(&oldest);
            }
        }
        let blocking = outcome.filter(|error| !matches!(error, RpcError::ServerAhead { .. }));
        let before = seen.remove(&label.client_id).and_then(|seen| seen.blocked);
        let client_id = label.client_id.clone();
        let blocked = blocking.map(|error| {
            let tries = before.filter(|blocked| blocked.first == label).map_or(0, |blocked| blocked.tries);
            Blocked { first: label, code: error.word(), tries: tries + 1 }
        });
        let last_result = outcome.map_or("ok", RpcError::word);
        seen.insert(client_id, Seen { last_push_at: now.into(), last_result, blocked });
    }

    /// Notes a Pull that named an event which is not here (EVT-25).
    pub(super) fn cursor_ahead(&self) {
        self.cursors_ahead.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it, by client id.
    pub(super) fn to_json(&self) -> Value {
        let seen = self.lock();
        let mut ids: Vec<_> = seen.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| *id);
        let clients: Vec<Value> = ids
            .into_iter()
            .map(|(id, seen)| {
                let blocked = seen.blocked.as_ref().map(|blocked| {
                    let first = json!({"seqNum": blocked.first.seq_num, "name": blocked.first.name});
                    json!({"firstEvent": first, "code": blocked.code, "tries": blocked.tries})
                });
                json!({
                    "clientId": id,
                    "lastPushAt": seen.last_push_at,
                    "lastResult": seen.last_result,
                    "blocked": blocked,
                })
            })
            .collect();
        json!({"clients": clients, "cursorsAhead": self.cursors_ahead.load(Ordering::Relaxed)})
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ferry_protocol::events::ErrorCode;

    use super::*;

    fn label(client: &str, seq_num: i64) -> Label {
        Label { client_id: client.into(), seq_num, name: "n".into() }
    }

    #[test]
    fn tries_of_one_batch_are_counted_until_it_passes() {
        let clients = Clients::default();
        let rejected = RpcError::new(ErrorCode::Rejected, "no");
        for _ in 0..3 {
            clients.record(label("a", 5), Some(&rejected), "1");
        }
        let blocked = clients.to_json()["clients"][0]["blocked"].clone();
        assert_eq!(
            (&blocked["tries"], &blocked["code"], &blocked["firstEvent"]["seqNum"]),
            (&json!(3), &json!("REJECTED"), &json!(5))
        );
        clients.record(label("a", 6), Some(&rejected), "2");
        assert_eq!(clients.to_json()["clients"][0]["blocked"]["tries"], 1);
        clients.record(label("a", 6), Some(&RpcError::ServerAhead { head: 9, provided: 5 }), "3");
        let client = clients.to_json()["clients"][0].clone();
        assert_eq!((&client["blocked"], &client["lastResult"]), (&Value::Null, &json!("server_ahead")));
    }

    #[test]
    fn the_longest_silent_client_is_forgotten() {
        let clients = Clients::default();
        for place in 0..=CLIENTS_MAX {
            clients.record(label(&format!("c{place:04}"), 1), None, &format!("{place:04}"));
        }
        let all = clients.to_json();
        assert_eq!(all["clients"].as_array().unwrap().len(), CLIENTS_MAX);
        assert_eq!(all["clients"][0]["clientId"], "c0001");
    }
}
