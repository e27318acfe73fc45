//! What the interface for people and programs reads beside delivery.

use ferry_protocol::records::UnixNanos;

use super::{CollectionKey, Conflict, DeliveryCursor, EachRow, RecordStore};

/// An owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerShown {
    /// Its name.
    pub owner: String,
    /// Apps that it has records of.
    pub apps: i64,
    /// Live records.
    pub records: i64,
    /// The newest commit.
    pub last_commit: UnixNanos,
}

/// What all records of a database come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Live records.
    pub records: i64,
    /// Bytes of their fields and of what is known of them, tombstones included.
    pub bytes: i64,
    /// The newest commit; the epoch while there is none.
    pub last_commit: UnixNanos,
}

/// A collection of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionShown {
    /// The app.
    pub app: String,
    /// The collection.
    pub coll: String,
    /// Live records.
    pub records: i64,
    /// Deleted ones that are still known.
    pub deleted: i64,
}

/// A device in a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceShown {
    /// Its client id.
    pub client: String,
    /// The app; empty: all.
    pub app: String,
    /// Collection; empty: all.
    pub coll: String,
    /// How far it is.
    pub cursor: DeliveryCursor,
}

/// A conflict with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its id.
    pub number: i64,
    /// When it was found.
    pub found: UnixNanos,
    /// `open` or `resolved`.
    pub state: String,
    /// What it is.
    pub conflict: Conflict,
}

/// In which order records are listed.
#[derive(Clone, Copy, Debug)]
pub enum ListOrder<'a> {
    /// By id, behind this one.
    Ids(&'a str),
    /// What was taken in last first, before this commit.
    Newest(UnixNanos),
}

/// Which records of a list are shown by whether they are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletedShown {
    /// Those that live.
    #[default]
    No,
    /// All.
    Too,
    /// Those that are deleted.
    Only,
}

/// Which records of a collection a list shows.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// In which order, and behind which record.
    pub order: ListOrder<'a>,
    /// Whether deleted ones are among them.
    pub deleted: DeletedShown,
    /// Fields and their values: a text as it is, everything else as its JSON.
    pub wanted: &'a [(String, String)],
    /// Instead of live ones those that wait for their insert (REC-07).
    pub incomplete: bool,
}

/// Entries of a history with their commits.
pub type Entries = Vec<(UnixNanos, String)>;

/// Reads beside delivery.
pub trait RecordQueries: RecordStore {
    /// Hands over records of a collection in the order that is asked for.
    ///
    /// # Errors
    /// What storage or `each` reports.
    fn list(
        &self,
        of: CollectionKey<'_>,
        listed: &Listed<'_>,
        each: &mut EachRow<'_, Self::Error>,
    ) -> Result<(), Self::Error>;

    /// Hands over all complete records of an owner, deleted ones too, by app, collection and id.
    ///
    /// # Errors
    /// What storage or `each` reports.
    fn all(&self, owner: &str, each: &mut EachRow<'_, Self::Error>) -> Result<(), Self::Error>;

    /// Entries of a record's history, newest first: JSON arrays of what each commit accepted.
    ///
    /// # Errors
    /// What storage reports.
    fn history(&self, of: CollectionKey<'_>, id: &str, limit: usize) -> Result<Entries, Self::Error>;

    /// Conflicts of an owner, oldest first, behind the number `after`.
    ///
    /// # Errors
    /// What storage reports.
    fn conflicts(
        &self,
        owner: &str,
        state: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Numbered>, Self::Error>;

    /// One conflict of an owner.
    ///
    /// # Errors
    /// What storage reports.
    fn conflict(&self, owner: &str, number: i64) -> Result<Option<Numbered>, Self::Error>;

    /// Marks a conflict as resolved.
    ///
    /// # Errors
    /// What storage reports.
    fn close_conflict(&self, owner: &str, number: i64) -> Result<(), Self::Error>;

    /// The devices of an owner.
    ///
    /// # Errors
    /// What storage reports.
    fn devices(&self, owner: &str) -> Result<Vec<DeviceShown>, Self::Error>;

    /// Owners behind the name `after`, in the order of names.
    ///
    /// # Errors
    /// What storage reports.
    fn owners(&self, after: &str, limit: usize) -> Result<Vec<OwnerShown>, Self::Error>;

    /// Names of owners, in their order.
    ///
    /// # Errors
    /// What storage reports.
    fn owner_names(&self, limit: usize) -> Result<Vec<String>, Self::Error>;

    /// Whether there is such an owner.
    ///
    /// # Errors
    /// What storage reports.
    fn has_owner(&self, owner: &str) -> Result<bool, Self::Error>;

    /// Whether an owner's name begins so.
    ///
    /// # Errors
    /// What storage reports.
    fn has_owner_like(&self, prefix: &str) -> Result<bool, Self::Error>;

    /// The sums over all owners.
    ///
    /// # Errors
    /// What storage reports.
    fn totals(&self) -> Result<Totals, Self::Error>;

    /// The collections of an owner, of one app if named, by app and name.
    ///
    /// # Errors
    /// What storage reports.
    fn collections(&self, owner: &str, app: Option<&str>) -> Result<Vec<CollectionShown>, Self::Error>;
}
