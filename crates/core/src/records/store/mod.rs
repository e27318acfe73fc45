//! What the record engine asks of storage, and what passes between the two. All SQL of records stands in the
//! implementations of these traits.

mod maintenance;
mod queries;
mod records;

use std::borrow::Cow;

use ferry_protocol::records::UnixNanos;

pub use maintenance::{Forget, FullKey, Intent, RecordMaintenance, Tombstone, TombstonesDue};
pub use queries::{
    CollectionShown, DeletedShown, DeviceShown, Entries, ListOrder, Listed, Numbered, OwnerShown,
    RecordQueries, Totals,
};
pub use records::{EachRow, RecordStore};

/// What is kept of an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The newest commit time given out: that of a record, or the horizon.
    pub last_cts: UnixNanos,
    /// Commit time of the newest purged tombstone: an older cursor may have missed it (REC-40).
    pub horizon: UnixNanos,
    /// How often its devices have shown that the hub was put back to an older state (REC-22).
    pub generation: i64,
}

/// Which record of an owner's app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey<'a> {
    /// Collection.
    pub coll: &'a str,
    /// Id in the collection.
    pub id: &'a str,
}

/// A stored record, taken out of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// Live values; see [`super::record`].
    pub data: String,
    /// See [`super::record`].
    pub meta: Vec<u8>,
    /// Commit that made it known; while it is incomplete, the one that stored it first.
    pub created: UnixNanos,
    /// Commit of its newest change.
    pub cts: UnixNanos,
    /// Whether its insert has not arrived yet (REC-07).
    pub incomplete: bool,
}

/// A stored record, as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    /// The app.
    pub app: &'a str,
    /// Collection.
    pub coll: &'a str,
    /// Id in the collection.
    pub id: &'a str,
    /// Live values.
    pub data: &'a str,
    /// See [`super::record`].
    pub meta: &'a [u8],
    /// Commit that made it known.
    pub created: UnixNanos,
    /// Commit of its newest change.
    pub cts: UnixNanos,
    /// Whether its insert has not arrived yet.
    pub incomplete: bool,
}

/// A record to be stored.
#[derive(Clone, Debug)]
pub struct RowOut<'a> {
    /// Which.
    pub key: RecordKey<'a>,
    /// Its content.
    pub row: RecordRow,
    /// JSON of its space.
    pub space: Option<String>,
    /// Newest time of its fields.
    pub updated: UnixNanos,
    /// When it was deleted, if it is.
    pub deleted_at: Option<UnixNanos>,
    /// Whether a row of it is stored already.
    pub is_stored: bool,
    /// Whether the stored row holds a tombstone.
    pub was_deleted: bool,
    /// Names that the stored row does not have, as they stand between the quotes.
    pub new_keys: Vec<Cow<'a, str>>,
    /// What is added to its history: a JSON array of what the commit accepted.
    pub entry: Option<String>,
}

/// How far a device is in a collection (REC-13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCursor {
    /// Everything up to here was delivered to it.
    pub delivered: UnixNanos,
    /// Newest horizon for which it was given a full pass.
    pub pass: UnixNanos,
    /// When it was last heard of.
    pub seen: UnixNanos,
}

/// A time that a device believes a field to have, later than the true one (REC-04).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The device.
    pub client: String,
    /// Collection of the record.
    pub coll: String,
    /// Its id.
    pub id: String,
    /// The field.
    pub field: String,
    /// What the device has to be shown at least.
    pub sent_at: UnixNanos,
}

/// A write whose time the hub chose, so that its retry gets the same one (REC-18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The field, or [`super::push::WHOLE_DATA`].
    pub field: String,
    /// What the device sent as time.
    pub sent: Option<UnixNanos>,
    /// Digest of what it wrote, if it sent no time.
    pub digest: i64,
    /// What the hub chose.
    pub at: UnixNanos,
}

/// What is left of a record whose tombstone was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// When it was deleted.
    pub at: UnixNanos,
    /// By whom.
    pub writer: String,
    /// Commit of the delete.
    pub cts: UnixNanos,
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// JSON.
    pub value: String,
    /// When it was written.
    pub at: UnixNanos,
    /// By whom.
    pub writer: String,
}

/// A write that lost against one whose writer had not seen it (REC-42), or came too late (REC-40).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The app.
    pub app: String,
    /// Collection of the record.
    pub coll: String,
    /// Its id.
    pub id: String,
    /// The field as it stands between the quotes; empty: the whole record, written under a purged id.
    pub field: String,
    /// What holds.
    pub winner: Side,
    /// What lost.
    pub loser: Side,
}

/// A write that may have been merged before.
#[derive(Clone, Debug)]
pub struct PastWrite<'a> {
    /// The record.
    pub key: RecordKey<'a>,
    /// How the history writes field, value and time.
    pub fragment: String,
    /// How it writes the client.
    pub client: String,
}

/// What is kept of an owner and of one of its devices in an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceState {
    /// The owner.
    pub owner: Owner,
    /// How far the device is in each collection; the empty name stands for all of them.
    pub cursors: Vec<(String, DeliveryCursor)>,
    /// Whether the hub may have chosen times for writes of the device.
    pub has_stamps: bool,
}

/// A collection of an owner's app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionKey<'a> {
    /// Owner of the records.
    pub owner: &'a str,
    /// The app.
    pub app: &'a str,
    /// Collection.
    pub coll: &'a str,
}

/// What a page covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within<'a> {
    /// Everything of the owner.
    All,
    /// One app.
    App(&'a str),
    /// One collection of an app.
    Collection(&'a str, &'a str),
}

/// A device in a collection of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Its client id.
    pub client: &'a str,
    /// The app.
    pub app: &'a str,
    /// Collection; empty: all of the app.
    pub coll: &'a str,
}
