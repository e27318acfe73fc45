//! Backups of this hub: taken by schedule or when asked, verified, pruned. What a snapshot is, and how it lies on a target, is
//! `ferry_backup`'s; here it is read from a hub that serves meanwhile.

mod database_snapshot;
mod due;
mod failure;
mod hub_snapshot;
mod jobs;
mod log;
mod prune;
mod restore_database;
mod restore_if_empty;
mod schedule;
mod service;
mod verify;

pub(crate) use jobs::JobInfo;
pub(crate) use restore_database::{RestorePlace, WantedRestore};
pub(crate) use restore_if_empty::restore_if_empty;
pub(crate) use schedule::{follow_log, follow_schedule};
pub(crate) use service::{BackupSummary, Backups, TargetStatus};
pub(crate) use verify::WantedVerify;
