//! The sync engines. They decide; I/O, clock and randomness are the caller's.

pub mod backup;
mod empty_views;
pub mod events;
pub mod functions;
pub mod lineage;
pub mod ops;
pub mod pages;
pub mod records;
pub mod sql;
mod sql_text;
pub mod topic;
