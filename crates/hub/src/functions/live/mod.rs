//! Keeping results fresh: the task of a database that runs what is due, and the sockets of its sessions.

mod mailbox;
mod socket;
mod task;

use ferry_functions::FunctionKind;

pub(super) use mailbox::Mailbox;
pub(super) use socket::upgrade;
pub(super) use task::look_after;

use super::rpc::LiveCaller;

/// What it takes to make a result again.
pub(super) struct Rerun {
    pub(super) caller: LiveCaller,
    pub(super) kind: FunctionKind,
}
