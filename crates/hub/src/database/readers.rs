//! Read-only connections of one database, opened on demand and kept for the next reader.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use ferry_types::limits::READERS_PER_DATABASE;
use rusqlite::Connection;

/// The idle read-only connections of one file.
#[derive(Default)]
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Runs `work` on a connection to the file at `path`, always the same. A panicking `work` loses its connection and nothing else.
    pub(super) fn run<T>(
        &self,
        path: &Path,
        work: impl FnOnce(&Connection) -> ferry_store::Result<T>,
    ) -> ferry_store::Result<T> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => ferry_store::connection::open_reader(path)?,
        };
        self.run_on(connection, work)
    }

    /// The same, if a connection is open and free.
    pub(super) fn run_if_open<T>(
        &self,
        work: impl FnOnce(&Connection) -> ferry_store::Result<T>,
    ) -> Option<ferry_store::Result<T>> {
        let connection = self.lock().pop()?;
        Some(self.run_on(connection, work))
    }

    fn run_on<T>(
        &self,
        connection: Connection,
        work: impl FnOnce(&Connection) -> ferry_store::Result<T>,
    ) -> ferry_store::Result<T> {
        let result = work(&connection);
        let mut idle = self.lock();
        if idle.len() < READERS_PER_DATABASE && connection.is_autocommit() {
            idle.push(connection);
        }
        result
    }

    pub(super) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
