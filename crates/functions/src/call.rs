//! One call of a function: what goes in, what it asks for, what comes out.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// How a function was declared (FUN-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionKind {
    /// A plain export: reads or writes, as it turns out.
    Auto,
    /// `query()`: never writes.
    Query,
    /// `mutation()`: works on the writer from its first statement on.
    Mutation,
    /// `action()`: each of its statements commits alone.
    Action,
}

/// A function that a program exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// How it was declared.
    pub kind: FunctionKind,
    /// `internal()`: not for callers over the wire.
    #[serde(default)]
    pub internal: bool,
}

/// What a call is made with.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// Name of the function.
    pub function: Arc<str>,
    /// Its arguments, JSON.
    pub args: Arc<str>,
    /// Headers of the request, names in lower case, without the API key (FUN-05).
    pub headers: Arc<[(String, String)]>,
    /// The caller's claims, a JSON object; `None`: anonymous.
    pub user: Option<Arc<str>>,
    /// Whose records the caller's own devices keep (`ctx.owner`).
    pub owner: Arc<str>,
    /// The database's secrets.
    pub env: Arc<BTreeMap<String, String>>,
    /// Id of the request.
    pub request_id: Arc<str>,
    /// Begins the texts of guards: `[EdgePod]` or `[Ferry]` (specification, 3.5).
    pub guard_prefix: &'static str,
    /// Whether `ctx.signJwt` is there.
    pub can_sign: bool,
    /// Whether callers are told of what else went wrong: messages and stacks of engine errors, as `ferry dev` does.
    pub is_dev: bool,
}

/// What one call may use (specification, 2.5).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunLimits {
    /// CPU of JavaScript and SQL together, milliseconds.
    pub cpu_ms: u64,
    /// Heap of the context, bytes.
    pub heap_bytes: usize,
    /// Stack of the context, bytes.
    pub stack_bytes: usize,
    /// Largest result, bytes of JSON.
    pub result_bytes: usize,
    /// Most `fetch` calls.
    pub fetches: u32,
    /// Calls that a context serves before it is dropped.
    pub calls_per_context: u32,
}

/// What a run did next.
#[derive(Debug)]
pub enum Step {
    /// It is over.
    Done(FunctionOutcome),
    /// It waits.
    Waiting {
        /// What it has asked for since the last step; each is answered once, in any order.
        asks: Vec<(u32, Ask)>,
        /// When its next timer is due, milliseconds of the clock that it was handed.
        due_ms: Option<u64>,
    },
}

/// What a function waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// `fetch`.
    Fetch(FetchRequest),
    /// The answer to this ask is not wanted any more (`AbortController`).
    Cancel(u32),
    /// `ctx.signJwt(claims, expiresIn)`: claims are JSON.
    Sign {
        /// A JSON object.
        claims: String,
        /// `<n>s|m|h|d`.
        expires_in: String,
    },
    /// `verifyJwt(token, env, {issuer, audience})` (FUN-55): by the database's JWT settings, or its own keys.
    Verify {
        /// The token.
        token: String,
        /// Who must have made it, if not whom the settings name.
        issuer: Option<String>,
        /// For whom it must be, likewise.
        audience: Option<String>,
    },
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AskAnswer {
    /// Of `fetch`; `Err`: the message that it rejects with.
    Fetch(Result<FetchResponse, String>),
    /// Of `signJwt`; `Err` as above.
    Sign(Result<String, String>),
    /// Of `verifyJwt`: the claims, a JSON object. `Err`: what it answers with, `Token expired` (FUN-51).
    Verify(Result<String, String>),
}

/// A request of `fetch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// The method, in capitals.
    pub method: String,
    /// The URL, absolute.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "serde_bytes")]
    pub body: Option<Vec<u8>>,
    /// What redirects mean: `follow`, `error`, `manual`.
    pub redirect: String,
}

/// An answer of `fetch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchResponse {
    /// The status.
    pub status: u16,
    /// Its text.
    pub status_text: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub url: String,
    /// Whether there were redirects.
    pub redirected: bool,
}

/// A run that is over.
#[derive(Debug, Serialize, Deserialize)]
pub struct FunctionOutcome {
    /// The result, JSON; `Ok(None)`: the function returned `undefined`.
    pub result: Result<Option<String>, CallFailure>,
    /// Where its code was when a limit or the database ended it, as the stack of an error; empty where that is not known.
    pub ended_at: String,
    /// What it logged.
    pub log: Vec<FunctionLogLine>,
    /// What the caller is warned of.
    pub warnings: Vec<String>,
    /// Names given to `ctx.subscribeTo` (FUN-28).
    pub subscribe_to: Vec<String>,
    /// Names given to `ctx.invalidate`.
    pub invalidate: Vec<String>,
    /// What its result may depend on beside the database and its arguments.
    pub used: Used,
    /// CPU that it took, microseconds.
    pub cpu_us: u64,
}

/// Why a run has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallFailure {
    /// An error that nobody caught.
    Thrown {
        /// Whose.
        class: ThrownClass,
        /// Its message.
        message: String,
        /// Where, in files, lines and columns of the source; may be empty.
        stack: String,
    },
    /// A limit was reached.
    Limit(Limit),
    /// The database ended it ([`crate::DbFailure::Abort`]).
    Aborted,
    /// The process that it ran in is gone.
    Died,
}

/// Whose an uncaught error is, which decides what callers are told (FUN-45).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThrownClass {
    /// The function's own: its message is the answer.
    Function,
    /// Of a constraint.
    Constraint,
    /// Of SQL, or a mistake of the code (`TypeError`, …): the message is for logs.
    Internal,
}

/// A limit that a run reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// CPU.
    Cpu,
    /// Heap.
    Memory,
    /// Stack.
    Stack,
    /// Size of the result.
    Result,
    /// Promises that never settle: it waits for nothing.
    NeverSettles,
}

/// What a run used that is no row of the database. Each makes its result less certain to be the same again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// `ctx.user`.
    pub user: bool,
    /// `ctx.headers`.
    pub headers: bool,
    /// The clock.
    pub clock: bool,
    /// Randomness.
    pub random: bool,
    /// `fetch`.
    pub fetch: bool,
    /// `ctx.signJwt`.
    pub sign: bool,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// `console.debug`.
    Debug,
    /// `console.log`, `console.info`.
    Info,
    /// `console.warn`.
    Warn,
    /// `console.error`.
    Error,
}

/// A line of `ctx.log` or `console`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionLogLine {
    /// How loud.
    pub level: LogLevel,
    /// What.
    pub text: String,
}
