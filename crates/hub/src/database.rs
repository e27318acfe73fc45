//! Databases with the sync models of this hub.

pub use ferry_database::{Committed, FileLimits, FilePermit, InlineRuns, OpenFiles, seq_of};

pub use crate::models::Effect;
use crate::models::Models;

/// One database.
pub type Database = ferry_database::Database<Models>;
/// All databases of the hub.
pub type Databases = ferry_database::Databases<Models>;
/// A long-lived connection, counted while this lives.
pub type ConnectionGuard = ferry_database::ConnectionGuard<Models>;
