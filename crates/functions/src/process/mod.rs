//! Functions in processes of their own: a context lives in a child process of the same program, and what its functions ask
//! of the database comes back over a socket. What brings such a process down ends the call that it served, and nothing else
//! (FUN-19).
//!
//! The hub's end trusts nothing that a child says: messages are bounded, statements go the way of all statements, CPU is
//! looked at from outside. Both ends are of one program, so messages have no versions.

mod bounds;
mod channel;
mod context;
mod messages;
mod processes;
mod worker;
mod worker_db;

pub(crate) use context::{ProcessCall, ProcessContext};
pub(crate) use processes::HoldsProcesses;
pub use processes::{Processes, WORKER_ARGUMENT};
pub use worker::run_worker;
