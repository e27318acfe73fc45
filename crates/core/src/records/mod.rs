//! Record sync: fields of records, merged by their times, delivered by the order of commits (records
//! specification, section 3).

mod cursors;
mod delivery;
mod emit;
mod history;
pub mod import;
pub mod intents;
pub mod live;
pub mod maintenance;
mod merge;
mod push;
pub mod query;
pub mod record;
pub mod restore;
pub mod sqlite;
mod store;

pub use ferry_protocol::records::UnixNanos;

pub use cursors::Note;
pub use delivery::{
    Changes, ChangesPage, Delta, Page, PageBounds, PullRequest, Stream, TablePage, Whom, changes, delta,
    exchange, pull, stream_page,
};
pub use push::{ChangeOutcome, ChangeResult, PushCaller, PushReport, ReachedTables, WHOLE_DATA, apply, push};
pub use store::{
    CollectionKey, CollectionShown, Conflict, DeletedShown, DeliveryCursor, Device, DeviceShown, DeviceState,
    EachRow, Entries, Forget, FullKey, Intent, ListOrder, Listed, Numbered, Owner, OwnerShown, PastWrite,
    Purged, RecordKey, RecordMaintenance, RecordQueries, RecordRow, RecordStore, RowOut, RowView, Side, Skew,
    Stamp, Tombstone, TombstonesDue, Totals, Within,
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
