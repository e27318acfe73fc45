//! Functions (functions specification): TypeScript of a database's developers, called over EdgePod's wire and Ferry's, live.
//!
//! `rpc` lets calls in, `call` runs them, `live` keeps results fresh; what JavaScript may do is decided in
//! `ferry_functions`, what of the database it may touch in `ferry_sqlite::tracked`, who is told in `ferry_core::functions`.

mod answer;
mod auth;
mod call;
mod deploy;
mod deployed;
mod hooks;
mod live;
mod live_result;
mod logs;
mod mailbox;
mod refusal;
mod replaced_file;
mod response;
mod route;
mod rpc;
mod service;
mod shell;
mod state;

pub(crate) use replaced_file::replace_file;
pub use service::{FunctionsService, threads_max};
pub use state::{FunctionsEffect, FunctionsState};
