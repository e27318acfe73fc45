//! Positions of event stores and of records as the hub remembers them outside their files (control.md, 4: `watermarks`).

use std::sync::Arc;

use ferry_core::events::Watermark;
use ferry_types::{DatabaseId, Model, Result};
use rusqlite::OptionalExtension as _;

use crate::control_db::ControlDb;

/// The positions in `control.db`.
pub struct Watermarks {
    db: Arc<ControlDb>,
}

impl Watermarks {
    pub(crate) const fn new(db: Arc<ControlDb>) -> Self {
        Self { db }
    }

    /// What is remembered of a model's store; `None`: it never was open here.
    ///
    /// # Errors
    /// When `control.db` cannot be read.
    pub async fn get(&self, database: DatabaseId, model: Model, store: &str) -> Result<Option<Watermark>> {
        let key = (database.to_string(), model.as_str(), store.to_owned());
        self.db.read(move |connection| {
            let sql =
                "SELECT identity, head FROM watermarks WHERE database_id = ?1 AND model = ?2 AND store = ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row([&key.0, key.1, &key.2], |row| {
                Ok(Watermark { backend_id: row.get::<_, String>(0)?.into(), head: row.get(1)? })
            });
            Ok(found.optional()?)
        })
        .await
    }

    /// Remembers these positions of one model.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn save(&self, model: Model, rows: Vec<(DatabaseId, String, Watermark)>) -> Result<()> {
        self.db
            .write(move |transaction| {
                // A database may have been deleted meanwhile.
                let sql = "INSERT OR REPLACE INTO watermarks(database_id, model, store, identity, head)
                       SELECT id, ?2, ?3, ?4, ?5 FROM databases WHERE id = ?1 AND deleted IS NULL";
                let mut statement = transaction.connection().prepare_cached(sql)?;
                for (id, store, mark) in &rows {
                    let values =
                        rusqlite::params![id.to_string(), model.as_str(), store, mark.backend_id, mark.head];
                    statement.execute(values)?;
                }
                Ok(())
            })
            .await
    }

    /// Forgets a store that was deleted on purpose.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn forget(&self, database: DatabaseId, store: &str) -> Result<()> {
        let key = (database.to_string(), Model::Events.as_str(), store.to_owned());
        self.db
            .write(move |transaction| {
                let sql = "DELETE FROM watermarks WHERE database_id = ?1 AND model = ?2 AND store = ?3";
                transaction.connection().prepare_cached(sql)?.execute([&key.0, key.1, &key.2])?;
                Ok(())
            })
            .await
    }
}
