//! A read snapshot, lent to a caller that waits for other things between its reads.

use std::{path::Path, time::Duration};

use ferry_sqlite::{NativeSql, connection::open_reader, meta::seq_of};
use ferry_types::{Error, Seq, limits::LEASE_MAX_MS};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::{actor::too_old, readers::Reader};

/// A snapshot of a database: whatever is committed meanwhile, it shows the same. Dropping it ends it.
pub struct SnapshotLease {
    /// `None` once it is over.
    reader: Option<Reader>,
    /// With an open read transaction; `None` once that is over.
    connection: Option<Connection>,
    seq: Seq,
    begun: Instant,
}

impl SnapshotLease {
    /// One of the file at `path`, as it is now.
    pub(crate) fn begin(mut reader: Reader, path: &Path) -> ferry_sqlite::Result<Self> {
        let connection = match reader.take_connection() {
            Some(connection) => connection,
            None => open_reader(path)?,
        };
        let sql = NativeSql(&connection);
        sql.begin_snapshot()?;
        let seq = seq_of(&sql)?;
        Ok(Self { reader: Some(reader), connection: Some(connection), seq, begun: Instant::now() })
    }

    /// The newest commit that it shows.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Reads from it, on this thread. A panicking `work` ends it.
    ///
    /// # Errors
    /// That of `work`; `BUSY` if it has lasted too long, for it keeps the WAL from being emptied.
    pub fn run<T>(
        &mut self,
        work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T>,
    ) -> ferry_sqlite::Result<T> {
        if self.begun.elapsed() > Duration::from_millis(LEASE_MAX_MS) {
            self.end();
            return Err(too_old().into());
        }
        let connection = self.connection.take().ok_or_else(Error::internal)?;
        let result = work(&NativeSql(&connection));
        self.connection = Some(connection);
        result
    }

    fn end(&mut self) {
        if let Some(mut reader) = self.reader.take()
            && let Some(connection) = self.connection.take()
            && NativeSql(&connection).end_snapshot().is_ok()
        {
            reader.keep(connection);
        }
    }
}

impl Drop for SnapshotLease {
    fn drop(&mut self) {
        self.end();
    }
}
