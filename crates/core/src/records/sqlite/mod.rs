//! Records in an SQLite database, through [`Sql`].

pub(super) mod collections;
mod devices;
pub mod migrate;
mod notes;
mod rows;
pub mod views;

use ferry_protocol::records::UnixNanos;

use super::store::{
    Conflict, Device, EachRow, HistoryOut, Mark, Owner, PastWrite, Purged, RecordKey, RecordStore, Row,
    RowOut, Skew, Stamp, Within,
};
use crate::sql::{Row as SqlRow, Sql};

/// Times at which the hub was not running: no commit lies between `after` and `until` (REC-22).
const GAPS: &str =
    "CREATE TABLE IF NOT EXISTS _ferry_record_gaps(until INTEGER PRIMARY KEY, after INTEGER NOT NULL)";

/// Collections whose view is still to be made, made anew, or perhaps removed.
const VIEWS_DUE: &str = "CREATE TABLE IF NOT EXISTS _ferry_record_views_due(
       app TEXT NOT NULL, coll TEXT NOT NULL, may_be_unused INTEGER NOT NULL, PRIMARY KEY(app, coll)) WITHOUT ROWID";

/// The tables of record sync, made when a database is first used for it.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS _ferry_records(
       owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       data TEXT NOT NULL, meta BLOB NOT NULL, space TEXT, updated INTEGER NOT NULL, deleted_at INTEGER,
       created INTEGER NOT NULL, cts INTEGER NOT NULL, state INTEGER NOT NULL,
       PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX IF NOT EXISTS _ferry_records_by_cts ON _ferry_records(owner, cts)",
    "CREATE INDEX IF NOT EXISTS _ferry_records_incomplete ON _ferry_records(created) WHERE state = 1",
    "CREATE INDEX IF NOT EXISTS _ferry_records_deleted ON _ferry_records(owner, cts)
       WHERE deleted_at IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS _ferry_record_owners(
       owner TEXT PRIMARY KEY, last_cts INTEGER NOT NULL, horizon INTEGER NOT NULL,
       generation INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _ferry_record_devices(
       owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
       delivered INTEGER NOT NULL, pass INTEGER NOT NULL, seen INTEGER NOT NULL,
       PRIMARY KEY(owner, client, app, coll)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _ferry_record_skew(
       owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       field TEXT NOT NULL, sent_at INTEGER NOT NULL,
       PRIMARY KEY(owner, client, app, coll, id, field)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _ferry_record_stamps(
       owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       field TEXT NOT NULL, digest INTEGER NOT NULL, sent INTEGER NOT NULL, at INTEGER NOT NULL,
       PRIMARY KEY(owner, client, app, coll, id, field, digest, sent)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _ferry_record_purged(
       owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       at INTEGER NOT NULL, writer TEXT NOT NULL, cts INTEGER NOT NULL,
       PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID",
    // Entries are appended in the order of time, so that the oldest are found at the front.
    "CREATE TABLE IF NOT EXISTS _ferry_record_history(
       number INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       cts INTEGER NOT NULL, entry TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS _ferry_record_history_of
       ON _ferry_record_history(owner, app, coll, id, cts)",
    "CREATE TABLE IF NOT EXISTS _ferry_record_conflicts(
       number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
       id TEXT NOT NULL, field TEXT NOT NULL, winner TEXT NOT NULL, winner_at INTEGER NOT NULL,
       winner_client TEXT NOT NULL, loser TEXT NOT NULL, loser_at INTEGER NOT NULL,
       loser_client TEXT NOT NULL, found INTEGER NOT NULL, state TEXT NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS _ferry_record_conflicts_open
       ON _ferry_record_conflicts(owner, app, coll, id, field) WHERE state = 'open'",
    "CREATE TABLE IF NOT EXISTS _ferry_record_intents(
       ord INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, op TEXT NOT NULL,
       id TEXT NOT NULL, fields TEXT)",
    GAPS,
    VIEWS_DUE,
    "CREATE TABLE IF NOT EXISTS _ferry_record_collections(
       app TEXT NOT NULL, coll TEXT NOT NULL, columns TEXT NOT NULL, PRIMARY KEY(app, coll)) WITHOUT ROWID",
];

/// Records in one SQLite connection.
#[derive(Clone, Copy, Debug)]
pub struct SqliteRecords<'a, S>(&'a S);

impl<'a, S: Sql> SqliteRecords<'a, S> {
    /// The records of a database whose tables are there; see [`Self::create`].
    #[must_use]
    pub const fn new(sql: &'a S) -> Self {
        Self(sql)
    }

    /// The same, making the tables if they are missing.
    ///
    /// # Errors
    /// What storage reports.
    pub fn create(sql: &'a S) -> Result<Self, S::Error> {
        if !Self::exist(sql)? {
            for table in TABLES {
                sql.execute(table, &[])?;
            }
            migrate::note(sql)?;
        }
        Ok(Self(sql))
    }

    /// Whether a database has the tables.
    ///
    /// # Errors
    /// What storage reports.
    pub fn exist(sql: &S) -> Result<bool, S::Error> {
        let found =
            sql.first("SELECT 1 FROM sqlite_schema WHERE name = '_ferry_record_collections'", &[], |_| {
                Ok(())
            })?;
        Ok(found.is_some())
    }
}

fn nanos(row: &dyn SqlRow, column: usize) -> Result<UnixNanos, crate::sql::Damaged> {
    row.integer(column).map(UnixNanos)
}

impl<S: Sql> RecordStore for SqliteRecords<'_, S> {
    type Error = S::Error;

    fn owner(&self, owner: &str) -> Result<Owner, S::Error> {
        let found = self.0.first(
            "SELECT last_cts, horizon, generation FROM _ferry_record_owners WHERE owner = ?1",
            &[owner.into()],
            |row| {
                Ok(Owner { last_cts: nanos(row, 0)?, horizon: nanos(row, 1)?, generation: row.integer(2)? })
            },
        )?;
        Ok(found.unwrap_or_default())
    }

    fn begin(&self, owner: &str) -> Result<Owner, S::Error> {
        // The database has one writer: the transaction keeps all others out.
        self.owner(owner)
    }

    fn finish(&self, owner: &str, state: Owner) -> Result<(), S::Error> {
        self.0.execute(
            "INSERT INTO _ferry_record_owners(owner, last_cts, horizon, generation) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(owner) DO UPDATE SET last_cts = excluded.last_cts, horizon = excluded.horizon,
               generation = excluded.generation",
            &[owner.into(), state.last_cts.0.into(), state.horizon.0.into(), state.generation.into()],
        )?;
        Ok(())
    }

    fn read(&self, owner: &str, app: &str, keys: &[RecordKey<'_>]) -> Result<Vec<Option<Row>>, S::Error> {
        rows::read(self.0, owner, app, keys)
    }

    fn write(&self, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), S::Error> {
        collections::admit(self.0, owner, app, rows)?;
        rows::write(self.0, owner, app, rows)?;
        views::observe(self.0, app, rows)
    }

    fn page(
        &self,
        owner: &str,
        within: Within<'_>,
        after: UnixNanos,
        limit: usize,
        each: &mut EachRow<'_, S::Error>,
    ) -> Result<(), S::Error> {
        rows::page(self.0, owner, within, after, limit, each)
    }

    fn marks(&self, owner: &str, client: &str, app: &str) -> Result<Vec<(String, Mark)>, S::Error> {
        devices::marks(self.0, owner, client, app)
    }

    fn set_mark(&self, owner: &str, device: Device<'_>, mark: Mark) -> Result<(), S::Error> {
        devices::set_mark(self.0, owner, device, mark)
    }

    fn forget_marks(&self, owner: &str, client: &str, app: &str) -> Result<(), S::Error> {
        self.0.execute(
            "DELETE FROM _ferry_record_devices WHERE owner = ?1 AND client = ?2 AND app = ?3",
            &[owner.into(), client.into(), app.into()],
        )?;
        Ok(())
    }

    fn has_skew(&self, owner: &str, device: Option<(&str, &str)>) -> Result<bool, S::Error> {
        devices::has_skew(self.0, owner, device)
    }

    fn skew(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
    ) -> Result<Vec<(String, UnixNanos)>, S::Error> {
        devices::skew(self.0, owner, client, app, key)
    }

    fn add_skew(&self, owner: &str, app: &str, skew: &[Skew]) -> Result<(), S::Error> {
        devices::add_skew(self.0, owner, app, skew)
    }

    fn was_down(&self, at: UnixNanos) -> Result<bool, S::Error> {
        let found = self.0.first(
            "SELECT 1 FROM _ferry_record_gaps WHERE until > ?1 AND after < ?1 LIMIT 1",
            &[at.0.into()],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn has_stamps(&self, owner: &str, client: &str, app: &str) -> Result<bool, S::Error> {
        devices::has_stamps(self.0, owner, client, app)
    }

    fn stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Stamp>, S::Error> {
        devices::stamps(self.0, owner, client, app, keys)
    }

    fn set_stamps(&self, owner: &str, client: &str, app: &str, stamps: &[Stamp]) -> Result<(), S::Error> {
        devices::set_stamps(self.0, owner, client, app, stamps)
    }

    fn forget_stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
        oldest: UnixNanos,
    ) -> Result<(), S::Error> {
        devices::forget_stamps(self.0, owner, client, app, key, oldest)
    }

    fn purged(
        &self,
        owner: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Option<Purged>>, S::Error> {
        notes::purged(self.0, owner, app, keys)
    }

    fn unpurge(&self, owner: &str, app: &str, keys: &[RecordKey<'_>]) -> Result<(), S::Error> {
        notes::unpurge(self.0, owner, app, keys)
    }

    fn add_history(&self, owner: &str, app: &str, entries: &[HistoryOut<'_>]) -> Result<(), S::Error> {
        notes::add_history(self.0, owner, app, entries)
    }

    fn were_merged(&self, owner: &str, app: &str, writes: &[PastWrite<'_>]) -> Result<Vec<bool>, S::Error> {
        notes::were_merged(self.0, owner, app, writes)
    }

    fn add_conflicts(&self, owner: &str, found: UnixNanos, conflicts: &[Conflict]) -> Result<(), S::Error> {
        notes::add_conflicts(self.0, owner, found, conflicts)
    }
}
