//! The files of databases: told of, and moved to the trash when their database is deleted (ORG-08).

use std::sync::{Arc, OnceLock};

use ferry_types::{DatabaseId, Result, UnixMillis};

use crate::{
    control_db::ControlDb,
    directory::{columns::parsed, entries::DatabaseEntry},
    host::{DatabaseHost, DatabaseStats},
};

/// A deleted database whose files may not have reached the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedDatabase {
    /// Its id.
    pub id: DatabaseId,
    /// When it was deleted.
    pub deleted: UnixMillis,
}

/// What the control plane asks of whoever holds the open databases.
pub struct DatabaseStorage {
    db: Arc<ControlDb>,
    host: OnceLock<Arc<dyn DatabaseHost>>,
}

impl DatabaseStorage {
    pub(crate) fn new(db: Arc<ControlDb>) -> Self {
        Self { db, host: OnceLock::new() }
    }

    /// Names who holds the open databases. Only the first call counts.
    pub fn set_host(&self, host: Arc<impl DatabaseHost + 'static>) {
        if self.host.set(host).is_err() {
            tracing::error!("BUG: the control plane was given a second database host");
        }
    }

    /// State of a database.
    ///
    /// # Errors
    /// What the database itself answers.
    pub(crate) async fn stats(&self, id: DatabaseId) -> Result<DatabaseStats> {
        match self.host.get() {
            Some(host) => host.stats(id).await,
            None => Ok(DatabaseStats::default()),
        }
    }

    /// State of each of these databases, as a list shows it.
    pub async fn stats_of_each(&self, entries: &[DatabaseEntry]) -> Vec<DatabaseStats> {
        match self.host.get() {
            Some(host) => host.stats_of_each(entries.iter().map(|entry| entry.id).collect()).await,
            None => vec![DatabaseStats::default(); entries.len()],
        }
    }

    /// Deleted databases whose files may not have reached the trash.
    ///
    /// # Errors
    /// When `control.db` cannot be read.
    pub async fn deleted_databases(&self) -> Result<Vec<DeletedDatabase>> {
        self.db
            .read(|connection| {
                let sql = "SELECT id, deleted FROM databases WHERE deleted IS NOT NULL AND trashed IS NULL";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([])?;
                let mut deleted = Vec::new();
                while let Some(row) = rows.next()? {
                    deleted.push(DeletedDatabase { id: parsed(row, 0)?, deleted: UnixMillis(row.get(1)?) });
                }
                Ok(deleted)
            })
            .await
    }

    /// Moves the files of deleted databases to the trash, where a crash or failure came between (ORG-08). The
    /// hub calls it at start, once its databases can be closed.
    pub async fn finish_deletions(&self) {
        match self.deleted_databases().await {
            Ok(deleted) => {
                for database in deleted {
                    self.trash(database.id).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "deleted databases cannot be listed; the next sweep tries again");
            }
        }
    }

    /// Closes a deleted database, moves its files to the trash and notes that this is done. A failure is
    /// logged: the database is gone for its users all the same, and the sweep tries again.
    pub(crate) async fn trash(&self, id: DatabaseId) {
        let Some(host) = self.host.get() else { return };
        if let Err(error) = host.close_and_trash(id).await {
            tracing::error!(%error, database = %id, "moving a deleted database to the trash failed");
            return;
        }
        let now = self.db.now();
        let noted = self
            .db
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("UPDATE databases SET trashed = ?2 WHERE id = ?1")?
                    .execute(rusqlite::params![id.to_string(), now.0])?;
                Ok(())
            })
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, database = %id, "a trashed database is not noted as such; the sweep does it");
        }
    }
}
