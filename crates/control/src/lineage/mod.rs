//! What `control.db` knows of the hub's runs and of the breaks in what clients have seen (operate specification, 3.3).

mod book;
mod list;
mod read;

pub use book::{DatabaseBreak, KnownLineage, LineageBook, NewRun};
pub use list::{LineageStep, ListLineageSteps};
pub use read::{BreakRow, LineageRows, read_lineage};

/// In place of a database: a break of all.
const HUB: &str = "hub";
/// Under which model the positions of whole databases stand among the watermarks.
const DATABASE: &str = "database";
