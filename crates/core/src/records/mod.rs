//! Record sync: fields of records, merged by their times, delivered by the order of commits (records
//! specification, section 3).

pub mod census;
mod delivery;
mod emit;
mod history;
pub mod import;
pub mod intents;
mod marks;
mod merge;
mod push;
pub mod query;
pub mod record;
pub mod restore;
pub mod sqlite;
mod store;
pub mod upkeep;

pub use ferry_protocol::records::UnixNanos;

pub use delivery::{
    Bounds, Changes, ChangesPage, Delta, Page, Pull, Stream, TablePage, Whom, changes, delta, pull,
    stream_page,
};
pub use marks::Note;
pub use push::{Caller, ChangeResult, Outcome, Pushed, Tables, WHOLE_DATA, push};
pub use store::{
    Conflict, Device, EachRow, HistoryOut, Mark, Owner, PastWrite, Purged, RecordKey, RecordStore, Row,
    RowOut, RowView, Side, Skew, Stamp, Within,
};

use crate::sql::Damaged;

/// How a client wants to be told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As mana-sync's clients, which know no writers: inserts, updates and deletes.
    Old,
    /// As Ferry's own: one entry per record, with the writer of each field.
    Ferry,
}

fn damaged(_: record::BadMeta) -> Damaged {
    Damaged { column: 0, expected: "a record whose meta fits its data" }
}
