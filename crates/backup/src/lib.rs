//! Backups on a target: taken, listed, verified, restored, pruned (operate specification, 2.5, 3.1, 3.2). All of it blocks:
//! callers run it on threads that may wait. What a snapshot is made of is decided by `ferry_core::backup`.

mod access;
mod address;
mod anchor;
mod catalog;
mod create;
mod error;
mod folder;
mod history;
mod identity;
mod image;
mod interval;
mod key;
mod known_targets;
mod log;
mod merge;
mod newest;
mod packs;
mod probe;
mod progress;
mod prune;
mod replay;
mod repository;
mod restore;
mod restore_database;
mod restore_hub;
mod s3;
mod sealed_target;
mod sealer;
mod stamp;
mod target;
mod target_identity;
#[cfg(test)]
mod tests;
mod verdict;
mod verify;

pub use access::{S3Access, S3Credentials, TargetAccess, open_target};
pub use address::{TargetAddress, look_at_folder};
pub use anchor::AnchoredTarget;
pub use create::{NewSnapshot, SnapshotWriter, empty_spool};
pub use error::{Error, Result};
pub use folder::Folder;
pub use identity::DatabaseFileIdentity;
pub use image::{ImageReader, TakenImage};
pub use interval::{
    IntervalWriter, NewInterval, ReadPages, SpooledInterval, empty_log_spool, find_lost_interval,
    note_log_head,
};
pub use key::BackupKey;
pub use log::moment;
pub use merge::{LogMergeReport, merge_log};
pub use newest::{DamagedSnapshot, HubPlan, NewestSnapshot};
pub use probe::{TargetCheck, TargetCheckOutcome, check_target};
pub use progress::JobProgress;
pub use prune::{PruneReport, prune};
pub use replay::LogReplay;
pub use repository::{ListedSnapshot, Repository};
pub use restore::restore_file;
pub use restore_database::{FoundDatabase, RestoredDatabase, WantedDatabase};
pub use restore_hub::{HubRestore, RestoreReport, RestoredCredentials, restore_hub};
pub use stamp::{
    NewIdentity, RestoreStamp, StampedDatabase, lineage_of, newest_commit, stamp_copy, stamp_database,
};
pub use target::{BackupTarget, ObjectInfo, ObjectTag, TargetLock};
pub use target_identity::TargetIdentity;
pub use verdict::{SnapshotVerdict, verdicts};
pub use verify::{VerifiedDatabase, VerifyMode, verify};
