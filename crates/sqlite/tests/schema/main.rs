//! Schemas of functions on real SQLite: from one to the next, with rows in them.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]
#![allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]

mod chains;
mod database;
mod files;
mod random;
mod stories;
