//! Between snapshots: what changed is gathered in intervals and shipped to each target, so that a restore reaches a moment and
//! not only a snapshot (OPR-05, OPR-07, OPR-08). ARCHITECTURE.md, "Backups", tells why it is right.

mod control_pages;
mod gather;
mod ship;
mod state;
mod stop;

pub(super) use gather::follow_changes;
pub(super) use ship::follow_targets;
pub(super) use state::{HubLog, LagState};
pub(crate) use stop::ship_the_last;
