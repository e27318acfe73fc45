//! Read-only connections of one database, opened on demand and kept for the next reader.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_sqlite::NativeSql;
use ferry_types::{Result, limits::READERS_PER_DATABASE};
use rusqlite::Connection;

use crate::files::{CONNECTION_DESCRIPTORS, DatabaseFiles, FilePermit};

/// The read-only connections of one file.
#[derive(Default)]
pub(super) struct Readers(Mutex<State>);

#[derive(Default)]
struct State {
    idle: Vec<Open>,
    /// Of connections that were closed: SQLite closes their descriptors with the database's last connection only, and
    /// uses them again before that.
    spare: Vec<FilePermit>,
    in_use: usize,
}

struct Open {
    connection: Connection,
    permit: FilePermit,
}

/// A connection taken for one piece of work, or the right to open one.
pub(super) struct Reader {
    readers: Arc<Readers>,
    connection: Option<Connection>,
    /// Only empty while being dropped.
    permit: Option<FilePermit>,
}

impl Readers {
    /// A connection for one piece of work, as soon as there is room for it.
    ///
    /// # Errors
    /// `BUSY` when there was none for long.
    pub(super) async fn take(self: &Arc<Self>, files: &DatabaseFiles) -> Result<Reader> {
        if let Some(reader) = self.take_open() {
            return Ok(reader);
        }
        self.take_closed(files).await
    }

    /// The right to open a connection, which whoever takes it may keep or close.
    ///
    /// # Errors
    /// `BUSY` when there was none for long.
    pub(super) async fn take_closed(self: &Arc<Self>, files: &DatabaseFiles) -> Result<Reader> {
        let spare = self.lock().spare.pop();
        let permit = match spare {
            Some(permit) => permit,
            None => files.open(CONNECTION_DESCRIPTORS).await?,
        };
        Ok(self.begin(None, permit))
    }

    /// A connection that is open and free.
    pub(super) fn take_open(self: &Arc<Self>) -> Option<Reader> {
        let Open { connection, permit } = self.lock().idle.pop()?;
        Some(self.begin(Some(connection), permit))
    }

    fn begin(self: &Arc<Self>, connection: Option<Connection>, permit: FilePermit) -> Reader {
        self.lock().in_use += 1;
        Reader { readers: Arc::clone(self), connection, permit: Some(permit) }
    }

    /// Closes all connections, unless one is in use. True if none is open now.
    pub(super) fn close_if_idle(&self) -> bool {
        let (idle, spare) = {
            let mut state = self.lock();
            if state.in_use > 0 {
                return false;
            }
            (std::mem::take(&mut state.idle), std::mem::take(&mut state.spare))
        };
        drop(idle);
        drop(spare);
        true
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.lock().in_use > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Runs `work` on a snapshot of the file at `path`, always the same. A panicking `work` loses its connection and
    /// nothing else.
    pub(super) fn run<T>(
        mut self,
        path: &Path,
        work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T>,
    ) -> ferry_sqlite::Result<T> {
        let connection = match self.take_connection() {
            Some(connection) => connection,
            None => ferry_sqlite::connection::open_reader(path)?,
        };
        let result = NativeSql::snapshot(&connection, work);
        if connection.is_autocommit() {
            self.keep(connection);
        }
        result
    }

    /// Hands `work` a connection of its own to the file at `path`, which is closed afterwards, in whatever state it is.
    pub(super) fn run_apart<T>(
        self,
        path: &Path,
        work: impl FnOnce(Connection) -> ferry_sqlite::Result<T>,
    ) -> ferry_sqlite::Result<T> {
        // The right to it is given back behind it.
        let result = work(ferry_sqlite::connection::open_reader(path)?);
        drop(self);
        result
    }

    /// The connection, if one was open; whoever does not give it back loses it, and nothing else.
    pub(super) const fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// The connection is for the next reader.
    pub(super) fn keep(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let permit = self.permit.take().expect("BUG: a reader is dropped once");
        let surplus = {
            let mut state = self.readers.lock();
            state.in_use -= 1;
            match self.connection.take() {
                Some(connection) if state.idle.len() < READERS_PER_DATABASE => {
                    state.idle.push(Open { connection, permit });
                    None
                }
                surplus => {
                    state.spare.push(permit);
                    surplus
                }
            }
        };
        // Closing may wait for the disk.
        drop(surplus);
    }
}
