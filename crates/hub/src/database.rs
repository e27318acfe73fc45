//! Databases with the sync models of this hub.

pub use ferry_database::{Committed, FileLimits, FilePermit, Follower, InlineRuns, OpenFiles, seq_of};

use crate::models::for_each_model;

macro_rules! states {
    ($($name:ident: $model:ident, $config:ident, $state:ident, $service:ident;)+) => {
        ferry_database::models! { $($name: $model(crate::$name::$state),)+ }
    };
}
for_each_model!(states);

/// One database.
pub type Database = ferry_database::Database<Models>;
/// All databases of the hub.
pub type Databases = ferry_database::Databases<Models>;
/// A long-lived connection, counted while this lives.
pub type ConnectionGuard = ferry_database::ConnectionGuard<Models>;
