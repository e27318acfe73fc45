//! Backups of this hub: taken by schedule or when asked, verified, pruned. What a snapshot is, and how it lies on a target, is
//! `ferry_backup`'s; here it is read from a hub that serves meanwhile.

mod anchor;
mod database_snapshot;
mod due;
mod failure;
mod hold;
mod hub_snapshot;
mod jobs;
mod kept_state;
mod log;
mod merge;
mod pause;
mod prune;
mod restore_database;
mod restore_if_empty;
mod schedule;
mod service;
mod verify;

pub(crate) use anchor::StartAnchors;
pub(crate) use hold::follow_anchors;
pub(crate) use jobs::JobInfo;
pub(crate) use kept_state::KeptState;
pub(crate) use log::ship_the_last;
pub(crate) use restore_database::{RestoreBy, RestorePlace, WantedRestore};
pub(crate) use restore_if_empty::restore_if_empty;
pub(crate) use schedule::{follow_log, follow_schedule};
pub(crate) use service::{BackupSummary, Backups, TargetStatus};
pub(crate) use verify::WantedVerify;
