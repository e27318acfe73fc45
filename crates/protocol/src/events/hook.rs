//! Bodies of hooks and the verdicts that answer them (section 2.11).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Event,
    encode::{number, string},
    inbound::{LogCursor, present},
    view::{BadBody, write_event},
};

/// The hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Before a batch is committed.
    OnPush,
    /// Before a Pull, a page of the view or a stream begins.
    OnPull,
    /// After a commit.
    OnPushed,
}

impl Hook {
    /// The word in bodies, metrics and storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnPush => "onPush",
            Self::OnPull => "onPull",
            Self::OnPushed => "onPushed",
        }
    }
}

/// Who asks for what, as a hook learns it. Never a payload or a token (EVT-54).
#[derive(Clone, Copy, Debug)]
pub struct HookContext<'a> {
    /// Id of the database.
    pub database: &'a str,
    /// The store.
    pub store: &'a str,
    /// Who asks.
    pub principal: &'a str,
    /// `ws`, `http`, `v1` or `sse`.
    pub transport: &'a str,
    /// The store's identity.
    pub backend_id: &'a str,
}

impl HookContext<'_> {
    fn open(&self, hook: Hook) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"hook\":");
        string(&mut out, hook.as_str());
        for (key, value) in [
            (",\"database\":", self.database),
            (",\"store\":", self.store),
            (",\"principal\":", self.principal),
            (",\"transport\":", self.transport),
            (",\"backendId\":", self.backend_id),
        ] {
            out.push_str(key);
            string(&mut out, value);
        }
        out
    }

    /// Body of `onPush`.
    #[must_use]
    pub fn push(&self, batch: &[Event]) -> String {
        let mut out = self.open(Hook::OnPush);
        out.push_str(",\"batch\":[");
        for (index, event) in batch.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_event(&mut out, event);
        }
        out.push_str("]}");
        out
    }

    /// Body of `onPull`: `cursor` is what the client names, or null.
    #[must_use]
    pub fn pull(&self, cursor: Option<&LogCursor>, live: bool) -> String {
        let mut out = self.open(Hook::OnPull);
        out.push_str(",\"cursor\":");
        match cursor {
            None => out.push_str("null"),
            Some(cursor) => {
                out.push_str("{\"backendId\":");
                string(&mut out, &cursor.backend_id);
                out.push_str(",\"eventSequenceNumber\":");
                number(&mut out, cursor.seq_num);
                out.push('}');
            }
        }
        out.push_str(",\"live\":");
        out.push_str(if live { "true" } else { "false" });
        out.push('}');
        out
    }
}

/// Body of `onPushed`; `events` are committed events, joined by commas. A store keeps its id and its identity when it
/// moves, so only the database tells two copies of it apart.
#[must_use]
pub fn pushed_body(database: &str, store: &str, backend_id: &str, events: &str) -> String {
    let mut out = String::with_capacity(events.len() + 192);
    out.push_str("{\"hook\":\"onPushed\",\"database\":");
    string(&mut out, database);
    out.push_str(",\"store\":");
    string(&mut out, store);
    out.push_str(",\"backendId\":");
    string(&mut out, backend_id);
    out.push_str(",\"events\":[");
    out.push_str(events);
    out.push_str("]}");
    out
}

/// An event that a hook adds behind a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEvent {
    /// Name of its type.
    pub name: Box<str>,
    /// JSON text, or absent.
    pub args: Option<Box<str>>,
}

/// What a hook answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, with these events behind the batch.
    Accept(Vec<HookEvent>),
    /// No, and why.
    Reject(String),
}

#[derive(Deserialize)]
struct RawVerdict<'a> {
    #[serde(borrow)]
    verdict: Cow<'a, str>,
    #[serde(borrow, default)]
    append: Option<Vec<RawHookEvent<'a>>>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawHookEvent<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    args: Option<&'a RawValue>,
}

impl Verdict {
    /// Reads the body of a hook's answer.
    ///
    /// # Errors
    /// When it is no verdict.
    pub fn decode(text: &str) -> Result<Self, BadBody> {
        let raw: RawVerdict<'_> = serde_json::from_str(text)
            .map_err(|error| BadBody(format!("no verdict: cannot be read at column {}", error.column())))?;
        match &*raw.verdict {
            "accept" => Ok(Self::Accept(
                raw.append
                    .unwrap_or_default()
                    .into_iter()
                    .map(|event| HookEvent {
                        name: event.name.into(),
                        args: event.args.map(|raw| raw.get().into()),
                    })
                    .collect(),
            )),
            "reject" => Ok(Self::Reject(raw.message.unwrap_or_default().into_owned())),
            other => Err(BadBody(format!("verdict: expected accept or reject, not {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    // Verifies: EVT-54
    #[test]
    fn bodies_are_what_is_documented_and_nothing_else() {
        let asked = HookContext {
            database: "db_1",
            store: "a\"b",
            principal: "u_1",
            transport: "ws",
            backend_id: "id",
        };
        let event = Event {
            seq_num: 2,
            parent_seq_num: 1,
            name: "n".into(),
            args: Some("{\n}".into()),
            client_id: "c".into(),
            session_id: "s".into(),
        };
        let push: Value = serde_json::from_str(&asked.push(&[event.clone(), event])).unwrap();
        let shown = json!({"seqNum": 2, "parentSeqNum": 1, "name": "n", "args": {}, "clientId": "c", "sessionId": "s"});
        let expected = json!({"hook": "onPush", "database": "db_1", "store": "a\"b", "principal": "u_1",
            "transport": "ws", "backendId": "id", "batch": [shown, shown]});
        assert_eq!(push, expected);
        let cursor = LogCursor { backend_id: "id".into(), seq_num: 7 };
        let pull: Value = serde_json::from_str(&asked.pull(Some(&cursor), true)).unwrap();
        assert_eq!(pull["cursor"], json!({"backendId": "id", "eventSequenceNumber": 7}));
        assert_eq!((&pull["live"], &pull["batch"]), (&json!(true), &Value::Null));
        let pushed: Value = serde_json::from_str(&pushed_body("db_1", "s", "id", "{\"seqNum\":1}")).unwrap();
        assert_eq!(
            pushed,
            json!({"hook": "onPushed", "database": "db_1", "store": "s", "backendId": "id",
                   "events": [{"seqNum": 1}]})
        );
    }

    #[test]
    fn every_answer_of_a_hook_is_decoded() {
        let accept = |events| Ok(Verdict::Accept(events));
        assert_eq!(Verdict::decode(r#"{"verdict":"accept"}"#), accept(vec![]));
        assert_eq!(
            Verdict::decode(r#"{"verdict":"accept","append":[{"name":"n","args":{"a":1.50}},{"name":"m"}]}"#),
            accept(vec![
                HookEvent { name: "n".into(), args: Some("{\"a\":1.50}".into()) },
                HookEvent { name: "m".into(), args: None }
            ])
        );
        let rejected = Verdict::decode(r#"{"verdict":"reject","message":"no"}"#);
        assert_eq!(rejected, Ok(Verdict::Reject("no".into())));
        for bad in ["", "[]", "{}", r#"{"verdict":"maybe"}"#, r#"{"verdict":"accept","append":[{}]}"#] {
            assert!(Verdict::decode(bad).is_err(), "{bad}");
        }
    }
}
