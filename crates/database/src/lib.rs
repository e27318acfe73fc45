//! Databases: one writer each (the actor), readers beside it, what of them is open, and what the sync models keep.

pub mod actor;
mod blank;
mod capture;
mod changed;
mod checked;
mod database;
mod files;
mod first_group;
mod give_way;
mod inline;
mod min_seq;
mod model;
mod newest;
mod readers;
mod registry;
mod shared;
mod snapshot;
mod wakeup;

pub use actor::{Actor, Commit, Committed, ExclusiveWriter, WriterLease};
pub use capture::{Capture, CaptureSettings, Follower};
pub use changed::ChangedDatabases;
pub use checked::FileCheck;
pub use database::{ConnectionGuard, Database, Recheck, main_of};
pub use ferry_sqlite::meta::seq_of;
pub use files::{
    CONNECTION_DESCRIPTORS, DatabaseFiles, FileLimits, FilePermit, OpenFiles, SHARED_DESCRIPTORS,
};
pub use give_way::give_way;
pub use inline::InlineRuns;
pub use model::{ModelState, ModelStats, Models};
pub use registry::Databases;
pub use snapshot::SnapshotLease;
pub use wakeup::{Wakeup, next};

// For the macro `models!`.
#[doc(hidden)]
pub use ferry_sqlite::{NativeSql, Result as StorageResult};
#[doc(hidden)]
pub use ferry_types::Model;
