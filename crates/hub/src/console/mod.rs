//! Members look into a database: its tables, and what a statement of theirs finds, on one snapshot and within limits
//! (OPR-57). Who may, the control plane says.

mod cells;
mod noted;
mod query;
mod turns;
mod watch;

use std::sync::Arc;

use ferry_sqlite::console::{TableInfo, TablesAfter, tables_after};
use ferry_types::{DatabaseId, Result, UserId};

use crate::{config::ConsoleConfig, database::Databases, monotonic};

use noted::NotedStatements;
pub(crate) use query::WantedQuery;
use turns::QueryTurns;

/// What members see of databases.
pub(crate) struct Console {
    databases: Arc<Databases>,
    config: ConsoleConfig,
    turns: QueryTurns,
    noted: NotedStatements,
}

impl Console {
    /// That of these databases.
    pub(crate) fn new(databases: &Arc<Databases>, config: ConsoleConfig) -> Self {
        Self {
            databases: Arc::clone(databases),
            config,
            turns: QueryTurns::default(),
            noted: NotedStatements::default(),
        }
    }

    /// Whether the audit trail is to be told of this statement.
    pub(crate) fn is_to_be_noted(&self, user: UserId, id: DatabaseId, sql: &str) -> bool {
        self.noted.is_new(user, id, sql, monotonic::now_ms())
    }

    /// At most `max` tables and views whose names contain `part`.
    ///
    /// # Errors
    /// What storage reports.
    pub(crate) async fn tables(
        &self,
        id: DatabaseId,
        after: TablesAfter,
        part: String,
        max: usize,
    ) -> Result<Vec<TableInfo>> {
        let database = self.databases.get(id)?;
        if !database.has_file().await {
            return Ok(Vec::new());
        }
        database.read(move |sql| tables_after(sql.0, &after, &part, max)).await
    }
}
