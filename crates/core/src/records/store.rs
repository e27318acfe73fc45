//! What the record engine asks of storage. Every method that touches several records takes them all at once, so
//! that a store at the end of a network needs one round trip for a batch.

use std::{borrow::Cow, ops::ControlFlow};

use ferry_protocol::records::UnixNanos;

use crate::sql::Damaged;

/// What is kept of an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The newest commit time given out.
    pub last_cts: UnixNanos,
    /// Commit time of the newest purged tombstone: an older cursor may have missed it (REC-40).
    pub horizon: UnixNanos,
    /// How often its devices have shown that the hub was put back to an older state (REC-22).
    pub generation: i64,
}

impl Owner {
    /// The commit time of the next changed record (REC-10): it rises even when the clock does not. It is a
    /// multiple of eight, which leaves cursors three bits: see `marks`.
    pub fn next_cts(&mut self, now: UnixNanos) -> UnixNanos {
        self.last_cts = super::marks::cts_at(now).max(UnixNanos(self.last_cts.0.saturating_add(8)));
        self.last_cts
    }
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
pub struct Row {
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
    pub row: Row,
    /// JSON of its space.
    pub space: Option<String>,
    /// Newest time of its fields.
    pub updated: UnixNanos,
    /// When it was deleted, if it is.
    pub deleted_at: Option<UnixNanos>,
    /// Whether a row of it is stored already.
    pub is_stored: bool,
    /// Names that the stored row does not have, as they stand between the quotes.
    pub new_keys: Vec<Cow<'a, str>>,
}

/// How far a device is in a collection (REC-13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
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
    /// Collection of the record.
    pub coll: String,
    /// Its id.
    pub id: String,
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

/// What is accepted of a record in one commit, for its history.
#[derive(Clone, Debug)]
pub struct HistoryOut<'a> {
    /// The record.
    pub key: RecordKey<'a>,
    /// The commit.
    pub cts: UnixNanos,
    /// JSON array.
    pub entry: String,
}

/// What a page hands its records to.
pub type EachRow<'a, E> = dyn FnMut(&RowView<'_>) -> Result<ControlFlow<()>, E> + 'a;

/// Storage of records. Times are those of [`UnixNanos`]; errors are what the store reports, and the engine's own
/// refusals travel in them too.
pub trait RecordStore {
    /// What storage reports.
    type Error: From<Damaged> + From<ferry_types::Error>;

    /// Reads what is kept of an owner; the default for one that wrote nothing.
    ///
    /// # Errors
    /// What storage reports.
    fn owner(&self, owner: &str) -> Result<Owner, Self::Error>;

    /// The same, and keeps other commits of this owner out until the transaction ends, so that the order of
    /// commits is the order of their commit times.
    ///
    /// # Errors
    /// What storage reports.
    fn begin(&self, owner: &str) -> Result<Owner, Self::Error>;

    /// Stores what [`Self::begin`] read and the commit changed.
    ///
    /// # Errors
    /// What storage reports.
    fn finish(&self, owner: &str, state: Owner) -> Result<(), Self::Error>;

    /// The rows of these records, place by place.
    ///
    /// # Errors
    /// What storage reports.
    fn read(&self, owner: &str, app: &str, keys: &[RecordKey<'_>]) -> Result<Vec<Option<Row>>, Self::Error>;

    /// Stores these records.
    ///
    /// # Errors
    /// What storage reports.
    fn write(&self, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), Self::Error>;

    /// Hands over the records of an owner with a commit time after `after`, in its order, at most `limit`;
    /// of one app or collection if named. Incomplete ones are among them.
    ///
    /// # Errors
    /// What storage or `each` reports.
    fn page(
        &self,
        owner: &str,
        within: Within<'_>,
        after: UnixNanos,
        limit: usize,
        each: &mut EachRow<'_, Self::Error>,
    ) -> Result<(), Self::Error>;

    /// How far a device is in each collection of an app; the empty name stands for all of them.
    ///
    /// # Errors
    /// What storage reports.
    fn marks(&self, owner: &str, client: &str, app: &str) -> Result<Vec<(String, Mark)>, Self::Error>;

    /// Stores one mark.
    ///
    /// # Errors
    /// What storage reports.
    fn set_mark(&self, owner: &str, device: Device<'_>, mark: Mark) -> Result<(), Self::Error>;

    /// Removes all marks of a device in an app.
    ///
    /// # Errors
    /// What storage reports.
    fn forget_marks(&self, owner: &str, client: &str, app: &str) -> Result<(), Self::Error>;

    /// Whether [`Self::skew`] may hold anything for this client in this app, or for any.
    ///
    /// # Errors
    /// What storage reports.
    fn has_skew(&self, owner: &str, device: Option<(&str, &str)>) -> Result<bool, Self::Error>;

    /// The fields of a record that a device must be shown with a later time.
    ///
    /// # Errors
    /// What storage reports.
    fn skew(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
    ) -> Result<Vec<(String, UnixNanos)>, Self::Error>;

    /// Stores times that devices must be shown; the later one of two stays.
    ///
    /// # Errors
    /// What storage reports.
    fn add_skew(&self, owner: &str, app: &str, skew: &[Skew]) -> Result<(), Self::Error>;

    /// Whether the hub was not running at this moment, so that no commit was made then.
    ///
    /// # Errors
    /// What storage reports.
    fn was_down(&self, at: UnixNanos) -> Result<bool, Self::Error>;

    /// Whether [`Self::stamps`] may hold anything for this device in this app.
    ///
    /// # Errors
    /// What storage reports.
    fn has_stamps(&self, owner: &str, client: &str, app: &str) -> Result<bool, Self::Error>;

    /// The stamps of a device for these records, in any order.
    ///
    /// # Errors
    /// What storage reports.
    fn stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Stamp>, Self::Error>;

    /// Stores stamps, in place of older ones of the same writes.
    ///
    /// # Errors
    /// What storage reports.
    fn set_stamps(&self, owner: &str, client: &str, app: &str, stamps: &[Stamp]) -> Result<(), Self::Error>;

    /// Forgets the stamps of a device for this record that are older than `oldest`.
    ///
    /// # Errors
    /// What storage reports.
    fn forget_stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
        oldest: UnixNanos,
    ) -> Result<(), Self::Error>;

    /// What is left of these records, if their tombstones were purged, place by place.
    ///
    /// # Errors
    /// What storage reports.
    fn purged(
        &self,
        owner: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Option<Purged>>, Self::Error>;

    /// Forgets that these records were purged: they live again.
    ///
    /// # Errors
    /// What storage reports.
    fn unpurge(&self, owner: &str, app: &str, keys: &[RecordKey<'_>]) -> Result<(), Self::Error>;

    /// Adds to the history.
    ///
    /// # Errors
    /// What storage reports.
    fn add_history(&self, owner: &str, app: &str, entries: &[HistoryOut<'_>]) -> Result<(), Self::Error>;

    /// Whether each of these writes stands in the history, place by place.
    ///
    /// # Errors
    /// What storage reports.
    fn were_merged(&self, owner: &str, app: &str, writes: &[PastWrite<'_>])
    -> Result<Vec<bool>, Self::Error>;

    /// Opens conflicts; of a field that has an open one, the losing value is replaced.
    ///
    /// # Errors
    /// What storage reports.
    fn add_conflicts(&self, owner: &str, found: UnixNanos, conflicts: &[Conflict])
    -> Result<(), Self::Error>;
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
