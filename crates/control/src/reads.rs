//! ControlReaders of `control.db`: a bounded number of read-only connections beside the writer. Lists, names, watermarks and
//! budgets are read here, so that no read waits for a group, nor a group for a read.
//!
//! A reader begins after the answer to any write that its caller has seen, and an answer leaves after the COMMIT: it finds
//! what the caller wrote.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ferry_sqlite::connection;
use ferry_types::{Error, Result};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Read-only connections of `control.db` at once; a further read waits for one.
const READERS_MAX: u32 = 4;

/// The read-only connections.
pub(crate) struct ControlReaders {
    path: PathBuf,
    /// Who may read now. Closed when the hub stops.
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl ControlReaders {
    /// ControlReaders of the file at `path`; none is opened before it is needed.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, turns: Arc::new(Semaphore::new(READERS_MAX as usize)), idle: Arc::default() }
    }

    /// Runs `work` on a connection that sees every answered write. A panicking `work` loses its connection and nothing
    /// else.
    ///
    /// # Errors
    /// What `work` says; `SHUTTING_DOWN` once the readers are closed.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| stopping())?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let read = tokio::task::spawn_blocking(move || read(&path, &idle, work, permit));
        let outcome = read.await.map_err(|error| {
            tracing::error!(%error, "reading control.db panicked");
            Error::internal()
        })?;
        outcome.map_err(ferry_sqlite::Error::into_refusal)
    }

    /// Waits for those who read, and closes all connections.
    pub(crate) async fn close(&self) {
        let all = self.turns.acquire_many(READERS_MAX).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
        drop(all);
    }
}

fn read<T>(
    path: &Path,
    idle: &Mutex<Vec<Connection>>,
    work: impl FnOnce(&Connection) -> ferry_sqlite::Result<T>,
    permit: OwnedSemaphorePermit,
) -> ferry_sqlite::Result<T> {
    let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let connection = match known {
        Some(connection) => connection,
        None => connection::open_reader(path)?,
    };
    let outcome = work(&connection);
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    // Whoever waits for all turns finds the connection.
    drop(permit);
    outcome
}

/// What the hub answers while it stops.
pub(crate) fn stopping() -> Error {
    let refusal =
        Error::new(ferry_types::Reason::ShuttingDown, "the hub is stopping: try again in a few seconds");
    refusal.retry_after_ms(2000)
}
