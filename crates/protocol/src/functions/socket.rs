//! Frames of `/ws` (functions specification, 2.3). All are text.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a client says. Borrowed from the frame.
#[derive(Debug)]
pub enum ClientFrame<'a> {
    /// `ping`.
    Ping,
    /// The token to be known by from now on.
    Auth {
        /// The token.
        token: String,
    },
    /// A result to be kept fresh.
    Subscribe {
        /// The client's name for it.
        id: String,
        /// Name of the function.
        function: String,
        /// Its arguments, JSON.
        args: &'a str,
        /// Hash of the result that the client holds.
        known: Option<String>,
    },
    /// It need not be kept fresh any more.
    Unsubscribe {
        /// The client's name for it.
        id: String,
    },
    /// Something else; of Ferry's dialect it is answered, of EdgePod's it ends the socket.
    Unknown,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: String,
    token: Option<String>,
    id: Option<String>,
    #[serde(rename = "fn")]
    function: Option<String>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    known: Option<String>,
}

impl<'a> ClientFrame<'a> {
    /// What a frame says.
    #[must_use]
    pub fn decode(text: &'a str) -> Self {
        if text == "ping" {
            return Self::Ping;
        }
        let Ok(frame) = serde_json::from_str::<Frame<'a>>(text) else { return Self::Unknown };
        match (frame.kind.as_str(), frame.id, frame.function, frame.token) {
            ("auth", _, _, Some(token)) => Self::Auth { token },
            ("sub", Some(id), Some(function), _) => {
                let args = frame.args.map_or("{}", RawValue::get);
                Self::Subscribe { id, function, args, known: frame.known }
            }
            ("unsub", Some(id), ..) => Self::Unsubscribe { id },
            _ => Self::Unknown,
        }
    }
}

/// What the hub says.
#[derive(Clone, Copy, Debug)]
pub enum ServerFrame<'a> {
    /// Tables changed; `seq` for Ferry's clients.
    Invalidate {
        /// Their hashes.
        tables: &'a [String],
        /// The commit.
        seq: Option<u64>,
    },
    /// The token holds, until then (Unix seconds).
    AuthOk {
        /// `None`: without end.
        exp: Option<i64>,
    },
    /// The token does not hold.
    AuthFailed {
        /// Why.
        error: &'a str,
    },
    /// A result.
    Result {
        /// The client's name for it.
        id: &'a str,
        /// The commit that it shows.
        seq: u64,
        /// Its hash.
        hash: &'a str,
        /// The result, JSON; `None`: the function returned `undefined`.
        data: Option<&'a str>,
        /// The client holds it: it is not sent again.
        same: bool,
        /// Hashes of the tables that it depends on.
        tables: &'a [String],
    },
    /// A result that is too large, or one that the connection has no room for: it is to be fetched.
    Stale {
        /// The client's name for it.
        id: &'a str,
        /// The commit.
        seq: u64,
    },
    /// Something failed.
    Error {
        /// The subscription that it is about, if it is about one.
        id: Option<&'a str>,
        /// As of RPC.
        status: u16,
        /// Stable word.
        code: &'a str,
        /// For people.
        error: &'a str,
    },
    /// The functions are others now.
    Deployed {
        /// Id of the deployment.
        deployment: &'a str,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Encoded<'a> {
    Invalidate {
        action: &'static str,
        tables: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Auth {
        r#type: &'static str,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        exp: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
    Result {
        r#type: &'static str,
        id: &'a str,
        seq: u64,
        hash: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        same: Option<bool>,
        t: &'a [String],
    },
    Stale {
        r#type: &'static str,
        id: &'a str,
        seq: u64,
    },
    Error {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        status: u16,
        code: &'a str,
        error: &'a str,
    },
    Deployed {
        r#type: &'static str,
        deployment: &'a str,
    },
}

impl ServerFrame<'_> {
    /// The text of the frame. `data` is written as it is.
    #[must_use]
    pub fn encode(&self) -> String {
        let encoded = match *self {
            Self::Invalidate { tables, seq } => Encoded::Invalidate { action: "invalidate", tables, seq },
            Self::AuthOk { exp } => Encoded::Auth { r#type: "auth", ok: true, exp, error: None },
            Self::AuthFailed { error } => {
                Encoded::Auth { r#type: "auth", ok: false, exp: None, error: Some(error) }
            }
            Self::Result { id, seq, hash, same, tables, .. } => {
                Encoded::Result { r#type: "result", id, seq, hash, same: same.then_some(true), t: tables }
            }
            Self::Stale { id, seq } => Encoded::Stale { r#type: "stale", id, seq },
            Self::Error { id, status, code, error } => {
                Encoded::Error { r#type: "error", id, status, code, error }
            }
            Self::Deployed { deployment } => Encoded::Deployed { r#type: "deployed", deployment },
        };
        let mut text = serde_json::to_string(&encoded).expect("BUG: strings and numbers are JSON");
        if let Self::Result { data: Some(data), same: false, .. } = self {
            text.pop();
            text.reserve(data.len() + r#","data":}"#.len());
            text.push_str(r#","data":"#);
            text.push_str(data);
            text.push('}');
        }
        text
    }
}
