//! Op-log sync (ops specification): the two endpoints of hephd's clients at the root, and Ferry's own interface under
//! `/v1/databases/{db}/ops`.
//!
//! What becomes of an op is decided in `ferry_core::ops`, inside the commit; here bodies come in, pages go out, streams
//! follow, and what is due is done on time.

mod access;
mod api;
mod counts;
mod error;
mod live;
mod local;
mod log;
mod maintenance;
mod metric;
mod path;
mod push;
mod release;
mod route;
mod schedule;
mod service;
mod shell;
mod shim;
mod state;
mod storage;
mod watermark;

pub(crate) use api::append_in;
pub use local::{LocalOps, LocalState, LocalWrite};
pub use service::OpsService;
pub use state::{OpsPublication, OpsState};
