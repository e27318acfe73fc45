//! What the control plane asks of whoever holds the open databases.

use ferry_database::ModelStats;
use ferry_types::{DatabaseId, Seq, Tag, UnixMillis};
use futures_util::future::BoxFuture;

/// State of a database that only its actor knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Bytes on disk.
    pub size_bytes: u64,
    /// Newest committed sequence number; of a replica its version.
    pub seq: Seq,
    /// Of a replica: its version's name.
    pub tag: Option<Tag>,
    /// Long-lived connections now.
    pub connections: u32,
    /// Last write; `None`: none yet.
    pub last_activity: Option<UnixMillis>,
    /// One per sync model that holds something.
    pub models: Vec<ModelStats>,
}

/// Whoever holds the open databases.
pub trait DatabaseHost: Send + Sync {
    /// Ends the connections of a deleted database, finishes its accepted writes, and moves its files to the
    /// trash. A database without files is done at once; start-up calls it again for an interrupted move.
    fn close_and_trash(&self, id: DatabaseId) -> BoxFuture<'_, std::io::Result<()>>;

    /// State of a database; all zero while it has no files.
    fn stats(&self, id: DatabaseId) -> BoxFuture<'_, ferry_types::Result<DatabaseStats>>;

    /// State of each of these, without keeping one open that is closed; all zero of one that cannot be read.
    fn stats_of_each(&self, ids: Vec<DatabaseId>) -> BoxFuture<'_, Vec<DatabaseStats>>;
}
