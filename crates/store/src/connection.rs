//! How Ferry opens SQLite files: always WAL with `synchronous=FULL`, so that a COMMIT that returned is on disk.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use crate::Result;

/// How long a connection waits for another process's lock. The hub holds its files alone; this covers a
/// person's `sqlite3` shell.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per reading connection.
const STATEMENT_CACHE: usize = 64;
/// The same of the writer, whose statements differ by event log: with fewer places than logs in use each append would be
/// parsed anew. A statement takes about 3 KB, and only what is used is kept.
const WRITER_STATEMENT_CACHE: usize = 512;

/// Opens `path` for writing, creating it, in WAL mode with durable commits. Checkpoints are the caller's.
///
/// # Errors
/// When SQLite cannot open or configure the file.
pub fn open_writer(path: &Path) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENT_CACHE);
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0;",
    )?;
    Ok(connection)
}

/// Opens an existing database for reading only.
///
/// # Errors
/// When the file is missing or SQLite cannot open it.
pub fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}
