//! Members look into a database: its tables, and what a statement of theirs finds, on one snapshot and within limits
//! (OPR-57). Who may, the control plane says.

mod cells;
mod noted;
mod query;
mod turns;
mod version_files;
mod watch;

use std::sync::Arc;

use ferry_sqlite::{
    console::{TableInfo, TablesAfter, tables_after, tables_of_file},
    pages::{PageSource as _, PinnedVersion},
};
use ferry_types::{DatabaseId, Error, Reason, Result, UserId};

use crate::{
    config::{Config, ConsoleConfig},
    database::Databases,
    monotonic,
};

use noted::NotedStatements;
pub(crate) use query::WantedQuery;
use turns::QueryTurns;
pub(crate) use version_files::check_size;
use version_files::{VersionFile, VersionFiles};
use watch::{StopSign, StopUnheard};

/// Descriptors of an older version that is read.
const VERSION_DESCRIPTORS: u32 = 2;

/// What members see of databases.
pub(crate) struct Console {
    databases: Arc<Databases>,
    config: ConsoleConfig,
    turns: QueryTurns,
    noted: NotedStatements,
    version_files: VersionFiles,
}

impl Console {
    /// That of these databases.
    pub(crate) fn new(databases: &Arc<Databases>, config: &Config) -> Self {
        Self {
            databases: Arc::clone(databases),
            config: config.console,
            turns: QueryTurns::of_statements(),
            noted: NotedStatements::default(),
            version_files: VersionFiles::new(&config.process.data_dir),
        }
    }

    /// Whether the audit trail is to be told of this statement.
    pub(crate) fn is_to_be_noted(&self, user: UserId, id: DatabaseId, sql: &str) -> bool {
        self.noted.is_new(user, id, sql, monotonic::now_ms())
    }

    /// Removes files of older versions that nobody asked for a while.
    pub(crate) fn sweep(&self) {
        let idle = self.version_files.take_idle(monotonic::now_ms());
        if !idle.is_empty() {
            drop(tokio::task::spawn_blocking(move || drop(idle)));
        }
    }

    /// Tells how many bytes such files have.
    pub(crate) fn set_gauges(&self) {
        metrics::gauge!("ferry_version_files_bytes").set(self.version_files.bytes() as f64);
    }

    /// At most `max` tables and views whose names contain `part`, as they are.
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

    /// The same, as they were at a version.
    ///
    /// # Errors
    /// A version that is too large; `BUSY`; what storage reports.
    pub(crate) async fn tables_at(
        &self,
        user: UserId,
        (id, version): (DatabaseId, PinnedVersion),
        after: TablesAfter,
        part: String,
        max: usize,
    ) -> Result<Vec<TableInfo>> {
        let file = self.version_file(user, id, version).await?;
        let turn = self.turns.take(user)?;
        let descriptors = self.databases.get(id)?.hold_files(VERSION_DESCRIPTORS).await?;
        let stop = StopSign::default();
        let _unheard = StopUnheard(stop.clone());
        let watch = stop.watch(self.config.query_seconds * 1_000_000);
        let found = tokio::task::spawn_blocking(move || {
            // Held to the end, also if nobody waits any more.
            let _held = (turn, descriptors);
            tables_of_file(file.path(), watch, &after, &part, max)
        });
        let found = found.await.map_err(|_| Error::internal())?.map_err(ferry_sqlite::Error::into_refusal)?;
        found.ok_or_else(|| {
            let message = "the list takes longer than a statement may (query_seconds), or too much memory: ask for fewer tables (page_size)";
            Error::new(Reason::Busy, message)
        })
    }

    async fn version_file(
        &self,
        user: UserId,
        id: DatabaseId,
        version: PinnedVersion,
    ) -> Result<Arc<VersionFile>> {
        if version.info().page_size.is_none() {
            let message = "at: nothing had been written to this database then";
            return Err(Error::new(Reason::FailedPrecondition, message));
        }
        self.version_files.file(user, id, version).await
    }
}
