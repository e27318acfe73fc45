//! Keeping results fresh: the task of a database that runs what is due, and the sockets of its sessions.

mod due;
mod socket;
mod task;

pub(super) use socket::upgrade;
pub(super) use task::start;
