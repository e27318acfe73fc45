//! SQL of functions and of migrations, on connections that they share with the engines: told what it may do, and followed
//! in what it reads and writes.
//!
//! What a statement reads SQLite tells its authorizer when it prepares the statement (FUN-20), which rows it changes the
//! preupdate hook (FUN-21). Both are off while the engines' own statements run. No text of a user may name a table of the
//! engines: so a view or a trigger that does is theirs, and a read of it counts as one of the view (FUN-82).

mod attempt;
mod catalog;
mod changed;
mod conditions;
mod failure;
mod migration;
mod names;
mod reads;
mod run;
mod select;
mod text;
mod tracker;

pub use failure::{SqlLimit, StatementFailure};
pub use migration::run_migration;
pub use run::{SqlAccess, SqlLimits, StatementDone, TrackedRows, TrackedRun};
pub use tracker::FUNCTION_VALUE_MAX_BYTES;

pub(crate) use attempt::AccessAttempt;
pub(crate) use names::{may_run_pragma, shows_pages};
pub(crate) use tracker::Tracker;
