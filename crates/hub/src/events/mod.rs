//! Event sync for LiveStore's clients (events specification): the stores of a database, the way of a push, and the
//! WebSocket and HTTP transports.
//!
//! A connection is one task. What it says is decided by the machine in `ferry_core::events`; pushes and pages of
//! history run in tasks of their own, so that a Ping is answered while a commit is under way. A subscription is a
//! cursor into the log and a wake-up: nothing is queued per subscriber.

mod access;
mod ahead;
mod api;
mod clients;
mod commit;
mod cors;
mod hold;
mod hooks;
mod http;
mod maintenance;
mod metric;
mod open;
mod push;
mod refusal;
mod refused_socket;
mod route;
mod scope;
mod sent_upto;
mod service;
mod shell;
mod socket;
mod stats;
mod store;
mod stores;
mod watermarks;
mod wire;

pub(crate) use commit::{Outcome as AppendedOrNot, Wanted as WantedEvents, append_in};
pub use commit::{Publication, append};
pub(crate) use hooks::{Asking, CallFunctionHooks, FunctionHook, HookEnd, deliver as deliver_pushed};
pub use open::{new_backend_id, open_store};
pub use service::EventsService;
pub use store::Store;
pub use stores::EventsState;

use crate::monotonic::{now_ms, now_us};
