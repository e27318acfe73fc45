//! Read-only connections of one database, opened on demand and kept for the next reader.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ferry_types::limits::READERS_PER_DATABASE;
use rusqlite::Connection;

/// The idle read-only connections of one file.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` on a connection. A panicking `work` loses its connection and nothing else.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&Connection) -> ferry_store::Result<T>,
    ) -> ferry_store::Result<T> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => ferry_store::connection::open_reader(&self.path)?,
        };
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
