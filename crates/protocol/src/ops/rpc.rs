//! JSON-RPC 2.0 of the spoke's socket, one object per line (section 2.8). The same results, with the log's head in front,
//! are the answers of the hub's `entity`, `entities`, `conflicts`, `resolve` and `append`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    code::OpCode,
    views::{ConflictsListParams, EntityGetParams, EntityListParams, ResolveParams, present_owned},
};

/// Longest line.
pub const RPC_LINE_MAX_BYTES: usize = 8 << 20;
/// How long `sync.now` waits, unless asked otherwise.
pub const SYNC_NOW_TIMEOUT_MS: u64 = 30_000;

/// Numbers of refusals (JSON-RPC 2.0, section 5.1).
pub mod rpc_code {
    /// The line is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON, but no request; arrays of requests, too.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are wrong.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Our fault.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// The call was understood and cannot be done; `data.code` says why.
    pub const APPLICATION: i64 = -32000;
}

/// Why a call that was understood cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpokeErrorCode {
    /// There is no such entity, op or conflict.
    NotFound,
    /// The entity is deleted.
    EntityDeleted,
    /// The conflict is closed already.
    ConflictClosed,
    /// What was asked for breaks a rule.
    Invalid,
    /// The spoke has no hub.
    NoHub,
    /// The hub does not answer.
    HubUnreachable,
    /// It took too long.
    Timeout,
}

impl SpokeErrorCode {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::EntityDeleted => "entity_deleted",
            Self::ConflictClosed => "conflict_closed",
            Self::Invalid => "invalid",
            Self::NoHub => "no_hub",
            Self::HubUnreachable => "hub_unreachable",
            Self::Timeout => "timeout",
        }
    }
}

/// A call that cannot be answered with a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcFault {
    /// One of [`rpc_code`].
    pub code: i64,
    /// For people.
    pub message: String,
    /// With [`rpc_code::APPLICATION`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RpcFaultData>,
}

/// What [`rpc_code::APPLICATION`] brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcFaultData {
    /// Why.
    pub code: SpokeErrorCode,
    /// More closely, of a hub that refused: `unauthenticated`, `permission_denied`, `not_found`, `hub_foreign`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RpcFault {
    /// A fault of the protocol itself.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// A call that was understood and cannot be done.
    #[must_use]
    pub fn refused(code: SpokeErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: rpc_code::APPLICATION,
            message: message.into(),
            data: Some(RpcFaultData { code, reason: None }),
        }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub enum SpokeCall {
    /// `health`.
    Health,
    /// `sync.now`.
    SyncNow(SyncNowParams),
    /// `sync.status`.
    SyncStatus,
    /// `op.append`.
    OpAppend(AppendParams),
    /// `entity.get`.
    EntityGet(EntityGetParams),
    /// `entity.list`.
    EntityList(EntityListParams),
    /// `conflicts.list`.
    ConflictsList(ConflictsListParams),
    /// `conflicts.resolve`.
    ConflictsResolve(ResolveParams),
}

impl SpokeCall {
    /// The method's name, and its parameters as JSON.
    #[must_use]
    pub fn parts(&self) -> (&'static str, String) {
        fn json(params: &impl Serialize) -> String {
            serde_json::to_string(params).expect("BUG: parameters are JSON")
        }
        match self {
            Self::Health => ("health", "{}".into()),
            Self::SyncNow(params) => ("sync.now", json(params)),
            Self::SyncStatus => ("sync.status", "{}".into()),
            Self::OpAppend(params) => ("op.append", json(params)),
            Self::EntityGet(params) => ("entity.get", json(params)),
            Self::EntityList(params) => ("entity.list", json(params)),
            Self::ConflictsList(params) => ("conflicts.list", json(params)),
            Self::ConflictsResolve(params) => ("conflicts.resolve", json(params)),
        }
    }

    fn of(method: &str, params: &str) -> Result<Self, RpcFault> {
        fn read<'a, T: Deserialize<'a>>(params: &'a str) -> Result<T, RpcFault> {
            serde_json::from_str(params)
                .map_err(|error| RpcFault::new(rpc_code::INVALID_PARAMS, format!("params: {error}")))
        }
        Ok(match method {
            "health" => Self::Health,
            "sync.now" => Self::SyncNow(read(params)?),
            "sync.status" => Self::SyncStatus,
            "op.append" => Self::OpAppend(read(params)?),
            "entity.get" => Self::EntityGet(read(params)?),
            "entity.list" => Self::EntityList(read(params)?),
            "conflicts.list" => Self::ConflictsList(read(params)?),
            "conflicts.resolve" => Self::ConflictsResolve(read(params)?),
            _ => {
                let message = "no such method: there are health, sync.now, sync.status, op.append, entity.get, \
                               entity.list, conflicts.list, conflicts.resolve";
                return Err(RpcFault::new(rpc_code::METHOD_NOT_FOUND, message));
            }
        })
    }
}

/// What a line asks for.
#[derive(Clone, Debug)]
pub struct RpcRequest {
    /// JSON of the id; `None`: nobody waits for an answer.
    pub id: Option<String>,
    /// The call, or why there is none.
    pub call: Result<SpokeCall, RpcFault>,
}

#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// A member that is there, `null` included.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl RpcRequest {
    /// Reads a line. What is wrong is answered under the id if there is one that can be read, else under `null`.
    #[must_use]
    pub fn read(line: &[u8]) -> Self {
        let fault = |id: Option<String>, code, message: &str| Self {
            id: Some(id.unwrap_or_else(|| "null".into())),
            call: Err(RpcFault::new(code, message)),
        };
        let Ok(whole) = serde_json::from_slice::<&RawValue>(line) else {
            return fault(None, rpc_code::PARSE_ERROR, "the line is not JSON");
        };
        let form = "a request is {\"jsonrpc\":\"2.0\",\"id\",\"method\",\"params\":{…}}, one per line";
        let parsed: Option<RawRequest<'_>> =
            whole.get().starts_with('{').then(|| serde_json::from_str(whole.get()).ok()).flatten();
        let Some(raw) = parsed else { return fault(None, rpc_code::INVALID_REQUEST, form) };
        let id = raw.id.map(|id| id.get().to_owned());
        if id.as_ref().is_some_and(|id| {
            !(id.starts_with(['"', '-']) || id == "null" || id.as_bytes()[0].is_ascii_digit())
        }) {
            return fault(None, rpc_code::INVALID_REQUEST, "id must be a string or a number");
        }
        let method = raw.method.and_then(|method| super::json_text(method.get()));
        let (Some("\"2.0\""), Some(method)) = (raw.jsonrpc.map(RawValue::get), method) else {
            return fault(id, rpc_code::INVALID_REQUEST, form);
        };
        let params = raw.params.map_or("{}", RawValue::get);
        let call = if params.starts_with('{') {
            SpokeCall::of(&method, params)
        } else {
            Err(RpcFault::new(rpc_code::INVALID_PARAMS, "params must be an object"))
        };
        Self { id, call }
    }

    /// The line of a call, without its line break.
    #[must_use]
    pub fn line(id: u64, call: &SpokeCall) -> String {
        let (method, params) = call.parts();
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}")
    }
}

/// The line of an answer, without its line break; `id` is JSON.
#[must_use]
pub fn rpc_answer<T: Serialize>(id: &str, outcome: &Result<T, RpcFault>) -> String {
    let (key, json) = match outcome {
        Ok(result) => ("result", serde_json::to_string(result)),
        Err(fault) => ("error", serde_json::to_string(fault)),
    };
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{key}\":{}}}", json.expect("BUG: an answer is JSON"))
}

/// An answer as a client reads it.
#[derive(Debug, Deserialize)]
pub struct RpcAnswer {
    /// Of which request.
    #[serde(default)]
    pub id: Option<u64>,
    /// What came of it.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// Or why nothing did.
    #[serde(default)]
    pub error: Option<RpcFault>,
}

/// Result of `health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always true.
    pub ok: bool,
    /// Ferry's version.
    pub version: String,
    /// `local`, `server` or `spoke`.
    pub mode: String,
    /// The store's origin.
    pub origin: String,
    /// The daemon's process id.
    pub pid: u32,
}

/// Parameters of `sync.now`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncNowParams {
    /// How long to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The hub whose log is taken although it shares nothing with the own one (OPS-34).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_hub: Option<String>,
}

/// Result of `sync.now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncCounts {
    /// Ops that came.
    pub pulled: u64,
    /// Of these, new ones.
    pub applied: u64,
    /// Ops that the hub took.
    pub pushed: u64,
    /// Ops that the hub set aside.
    pub quarantined: u64,
    /// Ops that the hub refused.
    pub rejected: u64,
}

/// Result of `sync.status`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncStatus {
    /// `local`, `server` or `spoke`.
    pub mode: String,
    /// Where the hub is.
    pub hub_url: Option<String>,
    /// Whose log it is.
    pub hub_id: Option<String>,
    /// Its epoch.
    pub epoch: Option<String>,
    /// The last op number seen.
    pub cursor: u64,
    /// Ops that the hub has not answered for.
    pub pending: u64,
    /// When the last exchange began.
    pub last_attempt_ms: Option<i64>,
    /// When one last succeeded.
    pub last_success_ms: Option<i64>,
    /// Why the last one did not.
    pub last_error: Option<String>,
    /// Whether the hub refuses the credential.
    pub auth_failed: bool,
    /// When the next one is due.
    pub next_attempt_ms: Option<i64>,
    /// The hub's clock less the own one.
    pub clock_offset_ms: i64,
    /// Open conflicts.
    pub conflicts: u64,
    /// Ops that the hub would not take.
    pub problems: Vec<OpProblem>,
}

/// An op that the hub would not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpProblem {
    /// Its id.
    pub id: String,
    /// Why.
    pub code: OpCode,
}

/// Parameters of `op.append`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppendParams {
    /// What is to be written, in order.
    pub ops: Vec<OpDraft>,
}

/// An op of which the writer fills in id, clock, origin and what it has seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpDraft {
    /// What it does.
    pub kind: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Which field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// JSON.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present_owned")]
    pub value: Option<Box<RawValue>>,
    /// Edits of a text, in order: at, how many to delete, what to insert; in UTF-16 units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splice: Option<Vec<(u32, u32, String)>>,
    /// An id of the caller's choice: repeated, it gives the first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}
