//! TypeScript functions: compiled, run in QuickJS under limits, with what they may use of the hub handed in. Nothing here
//! does I/O but `process`, which talks to child processes: a running call asks its [`FunctionDb`] for rows, and its caller
//! for everything that takes time.

mod call;
mod compile;
mod cpu;
mod db;
mod embedded;
mod function_call;
mod instance;
mod json;
mod load_error;
mod modules;
mod native;
mod pool;
mod positions;
mod process;
mod program;
mod rejections;
mod run;
mod state;
mod thrown;

pub use call::{
    Ask, AskAnswer, CallFailure, CallRequest, FetchRequest, FetchResponse, FunctionInfo, FunctionKind,
    FunctionLogLine, FunctionOutcome, Limit, LogLevel, RunLimits, Step, ThrownClass, Used,
};
pub use compile::{Compiled, Diagnostic, ProjectFiles, compile};
pub use cpu::CpuMeter;
pub use db::{DbFailure, Executed, FunctionDb, ModelCall, RowSink, SavepointStep, SqlFailure};
pub use embedded::Modules;
pub use function_call::{FunctionCall, Instance};
pub use load_error::{LoadError, LoadErrorKind};
pub use modules::MODULES;
pub use pool::{Pool, TakeError};
pub use positions::SourcePosition;
pub use process::{Processes, WORKER_ARGUMENT, run_worker};
pub use program::{Program, ProgramSource};

#[cfg(test)]
mod tests;
