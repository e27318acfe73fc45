//! What time, and the operator, do to records.

use ferry_protocol::records::UnixNanos;

use super::{RecordRow, RecordStore};

/// A record, named in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullKey {
    /// Whose it is.
    pub owner: String,
    /// The app.
    pub app: String,
    /// Collection.
    pub coll: String,
    /// Id in the collection.
    pub id: String,
}

/// A tombstone that may go, or whose record was revived or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The record.
    pub key: FullKey,
    /// The commit under which it waits to be purged.
    pub since: UnixNanos,
    /// The record, if it is deleted still.
    pub row: Option<RecordRow>,
}

/// Which tombstones may go: all commits are times.
#[derive(Clone, Copy, Debug)]
pub struct TombstonesDue {
    /// At least they are from before this.
    pub newest: UnixNanos,
    /// Those from before this go in any case.
    pub oldest: UnixNanos,
    /// The others go when every device has passed them that was heard of since.
    pub seen_since: UnixNanos,
    /// At most so many.
    pub limit: i64,
}

/// What is forgotten that is older than these times.
#[derive(Clone, Copy, Debug)]
pub struct Forget {
    /// Entries of the history, at most [`Self::history_limit`].
    pub history: UnixNanos,
    /// At most so many entries at once.
    pub history_limit: i64,
    /// Stamps.
    pub stamps: UnixNanos,
    /// Conflicts.
    pub conflicts: UnixNanos,
    /// Devices, by when they were last heard of, and times at which the hub did not run.
    pub devices: UnixNanos,
}

/// A write that SQL made to a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The record.
    pub key: FullKey,
    /// `insert`, `update` or `delete`.
    pub op: String,
    /// JSON object of what is written.
    pub fields: Option<String>,
}

/// Storage as maintenance needs it.
pub trait RecordMaintenance: RecordStore {
    /// Since when a record waits for its insert at the longest; it may have come meanwhile.
    ///
    /// # Errors
    /// What storage reports.
    fn oldest_incomplete(&self) -> Result<Option<UnixNanos>, Self::Error>;

    /// Records that have waited for their insert since `due`, the oldest first, at most `limit`; they wait no more.
    ///
    /// # Errors
    /// What storage reports.
    fn take_incomplete(&self, due: UnixNanos, limit: i64) -> Result<Vec<FullKey>, Self::Error>;

    /// Tombstones that may go.
    ///
    /// # Errors
    /// What storage reports.
    fn tombstones(&self, due: &TombstonesDue) -> Result<Vec<Tombstone>, Self::Error>;

    /// Forgets that a tombstone waits to be purged. Deleted at `end` by a writer, its record becomes a bare note of its
    /// id, its history goes, and the owner's horizon moves to the record's commit.
    ///
    /// # Errors
    /// What storage reports.
    fn purge(&self, tombstone: &Tombstone, end: Option<(UnixNanos, &str)>) -> Result<(), Self::Error>;

    /// Removes what is older.
    ///
    /// # Errors
    /// What storage reports.
    fn forget(&self, before: &Forget) -> Result<(), Self::Error>;

    /// Removes everything of an owner. True if there was something.
    ///
    /// # Errors
    /// What storage reports.
    fn remove_owner(&self, owner: &str) -> Result<bool, Self::Error>;

    /// Gives what is one owner's to another name, which nobody has.
    ///
    /// # Errors
    /// What storage reports.
    fn rename_owner(&self, owner: &str, name: &str) -> Result<(), Self::Error>;

    /// Removes what is kept of a device. True if there was something.
    ///
    /// # Errors
    /// What storage reports.
    fn remove_device(&self, owner: &str, client: &str) -> Result<bool, Self::Error>;

    /// The epoch of the store; `None` before the first one began.
    ///
    /// # Errors
    /// What storage reports.
    fn epoch(&self) -> Result<Option<String>, Self::Error>;

    /// Stores the epoch.
    ///
    /// # Errors
    /// What storage reports.
    fn set_epoch(&self, epoch: &str) -> Result<(), Self::Error>;

    /// Moves the horizon of every owner to `horizon`, or to its newest commit if that is later.
    ///
    /// # Errors
    /// What storage reports.
    fn raise_horizons(&self, horizon: UnixNanos) -> Result<(), Self::Error>;

    /// The newest commit of any owner, if there is one.
    ///
    /// # Errors
    /// What storage reports.
    fn newest_commit(&self) -> Result<Option<UnixNanos>, Self::Error>;

    /// Whether it is remembered that the hub was not running at some moment that ended at `until` or later.
    ///
    /// # Errors
    /// What storage reports.
    fn remembers_down(&self, until: UnixNanos) -> Result<bool, Self::Error>;

    /// Remembers that the hub was not running between these moments.
    ///
    /// # Errors
    /// What storage reports.
    fn add_down(&self, after: UnixNanos, until: UnixNanos) -> Result<(), Self::Error>;

    /// Remembers that `newest` was the newest commit when the run of the hub at `place` began to write. Only so many of the last
    /// runs are remembered.
    ///
    /// # Errors
    /// What storage reports.
    fn note_run(&self, place: u64, newest: UnixNanos) -> Result<(), Self::Error>;

    /// Forgets all runs: no position that one of them gave out counts any more.
    ///
    /// # Errors
    /// What storage reports.
    fn forget_runs(&self) -> Result<(), Self::Error>;

    /// What SQL wrote to views, in its order; it waits no more.
    ///
    /// # Errors
    /// What storage reports.
    fn take_intents(&self) -> Result<Vec<Intent>, Self::Error>;
}
