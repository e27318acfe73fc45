//! TypeScript functions: compiled, run in QuickJS under limits, with what they may use of the hub handed in. Nothing here
//! does I/O: a running call asks its [`FunctionDb`] for rows, and its caller for everything that takes time.

mod call;
mod db;

pub use call::{
    Answer, Ask, CallFailure, CallOutcome, CallRequest, FetchRequest, FetchResponse, FunctionInfo,
    FunctionKind, Limit, LogLevel, LogLine, RunLimits, Step, ThrownClass, Used,
};
pub use db::{DbFailure, Executed, FunctionDb, ModelCall, RowSink, SavepointStep, SqlFailure};
