//! Records in an SQLite database, through [`Sql`]: all SQL of records stands here.

mod collections;
mod devices;
mod history;
mod maintenance;
mod migrate;
mod notes;
mod owners;
mod queries;
mod rows;
mod tables;
pub(super) mod view_columns;
mod view_sql;
mod views;

use std::cell::Cell;

use ferry_protocol::records::UnixNanos;
use ferry_types::Seq;

use super::store::{
    Conflict, DeliveryCursor, Device, DeviceState, EachRow, Owner, PastWrite, Purged, RecordKey, RecordRow,
    RecordStore, RowOut, Skew, Stamp, Within,
};
use crate::sql::{Row, Sql, Value};

pub use view_columns::is_view_column;
pub use view_sql::{FieldType, OwnerWritten, ViewSql};

use tables::{Rare, TABLES};

/// Records in one SQLite connection, for as long as a transaction or a snapshot.
#[derive(Debug)]
pub struct SqliteRecords<'a, S> {
    sql: &'a S,
    /// The set of rare tables that are there, once it was read.
    rare: Cell<Option<i64>>,
    /// Views were left to be made.
    views_due: Cell<bool>,
}

impl<'a, S: Sql> SqliteRecords<'a, S> {
    /// The records of a database whose tables are there; see [`Self::create`].
    #[must_use]
    pub const fn new(sql: &'a S) -> Self {
        Self { sql, rare: Cell::new(None), views_due: Cell::new(false) }
    }

    /// The same, making the tables if they are missing.
    ///
    /// # Errors
    /// What storage reports.
    pub fn create(sql: &'a S) -> Result<Self, S::Error> {
        let store = Self::new(sql);
        store.make_tables()?;
        Ok(store)
    }

    /// Makes the tables if they are missing.
    ///
    /// # Errors
    /// What storage reports.
    pub fn make_tables(&self) -> Result<(), S::Error> {
        if self.has_version()? || self.exists()? {
            return Ok(());
        }
        for table in TABLES {
            self.sql.execute(table, &[])?;
        }
        self.note_version()
    }

    /// The newest commit of the database, of any model.
    ///
    /// # Errors
    /// What storage reports.
    pub fn seq(&self) -> Result<Seq, S::Error> {
        let seq = self.meta("seq", |row| Ok(row.integer(0)?))?;
        Ok(Seq(seq.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0)))
    }

    /// What `_ferry_meta` holds under a key.
    fn meta<T>(
        &self,
        key: &str,
        read: impl FnOnce(&dyn Row) -> Result<T, S::Error>,
    ) -> Result<Option<T>, S::Error> {
        self.sql.first("SELECT value FROM _ferry_meta WHERE key = ?1", &[key.into()], read)
    }

    fn set_meta(&self, key: &str, value: Value<'_>) -> Result<(), S::Error> {
        let values = [key.into(), value];
        self.sql.execute("INSERT OR REPLACE INTO _ferry_meta VALUES (?1, ?2)", &values).map(drop)
    }

    /// Whether the database has the tables.
    ///
    /// # Errors
    /// What storage reports.
    pub fn exists(&self) -> Result<bool, S::Error> {
        let text = "SELECT 1 FROM sqlite_schema WHERE name = '_ferry_records'";
        Ok(self.sql.first(text, &[], |_| Ok(()))?.is_some())
    }

    /// Whether views were left to be made, in commits of their own, by what this has written.
    #[must_use]
    pub const fn left_views(&self) -> bool {
        self.views_due.get()
    }

    /// Makes some of the views that are due, and removes some of those that nobody has records for, in the running
    /// transaction. Returns whether there may be more.
    ///
    /// # Errors
    /// What storage reports.
    pub fn make_views(&self) -> Result<bool, S::Error> {
        views::make_due(self)
    }
}

fn nanos(row: &dyn Row, column: usize) -> Result<UnixNanos, crate::sql::Damaged> {
    row.integer(column).map(UnixNanos)
}

impl<S: Sql> RecordStore for SqliteRecords<'_, S> {
    type Error = S::Error;

    fn owner(&self, owner: &str) -> Result<Owner, S::Error> {
        owners::owner(self, owner)
    }

    fn begin(&self, owner: &str, client: &str, app: &str) -> Result<DeviceState, S::Error> {
        // The database has one writer: the transaction keeps all others out.
        devices::begin(self, owner, client, app)
    }

    fn set_horizon(&self, owner: &str, horizon: UnixNanos, generation: i64) -> Result<(), S::Error> {
        owners::set_horizon(self, owner, horizon, generation)
    }

    fn read(
        &self,
        owner: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Option<RecordRow>>, S::Error> {
        rows::read(self.sql, owner, app, keys)
    }

    fn write(&self, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), S::Error> {
        let touched = collections::touched(self.sql, owner, app, rows)?;
        collections::admit(self.sql, owner, app, &touched)?;
        rows::write(self.sql, owner, app, rows)?;
        rows::note_waiting(self, owner, app, rows)?;
        views::observe(self, app, rows, touched)
    }

    fn page(
        &self,
        owner: &str,
        within: Within<'_>,
        after: UnixNanos,
        limit: usize,
        each: &mut EachRow<'_, S::Error>,
    ) -> Result<(), S::Error> {
        rows::page(self.sql, owner, within, after, limit, each)
    }

    fn cursors(
        &self,
        owner: &str,
        client: &str,
        app: &str,
    ) -> Result<Vec<(String, DeliveryCursor)>, S::Error> {
        devices::cursors(self.sql, owner, client, app)
    }

    fn set_cursor(&self, owner: &str, device: Device<'_>, cursor: DeliveryCursor) -> Result<(), S::Error> {
        devices::set_cursor(self.sql, owner, device, cursor)
    }

    fn forget_cursors(&self, owner: &str, client: &str, app: &str) -> Result<(), S::Error> {
        let text = "DELETE FROM _ferry_record_devices WHERE owner = ?1 AND client = ?2 AND app = ?3";
        self.sql.execute(text, &[owner.into(), client.into(), app.into()]).map(drop)
    }

    fn has_skew(&self, owner: &str, device: Option<(&str, &str)>) -> Result<bool, S::Error> {
        devices::has_skew(self, owner, device)
    }

    fn skew(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
    ) -> Result<Vec<(String, UnixNanos)>, S::Error> {
        devices::skew(self, owner, client, app, key)
    }

    fn add_skew(&self, owner: &str, app: &str, skew: &[Skew]) -> Result<(), S::Error> {
        devices::add_skew(self, owner, app, skew)
    }

    fn was_down(&self, at: UnixNanos) -> Result<bool, S::Error> {
        if !self.has(Rare::Gaps)? {
            return Ok(false);
        }
        let text = "SELECT 1 FROM _ferry_record_gaps WHERE until > ?1 AND after < ?1 LIMIT 1";
        Ok(self.sql.first(text, &[at.0.into()], |_| Ok(()))?.is_some())
    }

    fn newest_behind_run(&self, place: u64) -> Result<Option<UnixNanos>, S::Error> {
        if !self.has(Rare::Runs)? {
            return Ok(None);
        }
        let text = "SELECT newest FROM _ferry_record_runs WHERE place > ?1 ORDER BY place LIMIT 1";
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        self.sql.first(text, &[place.into()], |row| Ok(UnixNanos(row.integer(0)?)))
    }

    fn stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<(usize, Stamp)>, S::Error> {
        devices::stamps(self, owner, client, app, keys)
    }

    fn set_stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        stamps: &[(RecordKey<'_>, Stamp)],
    ) -> Result<(), S::Error> {
        devices::set_stamps(self, owner, client, app, stamps)
    }

    fn forget_stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
        oldest: UnixNanos,
    ) -> Result<(), S::Error> {
        devices::forget_stamps(self, owner, client, app, key, oldest)
    }

    fn purged(
        &self,
        owner: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Option<Purged>>, S::Error> {
        notes::purged(self, owner, app, keys)
    }

    fn unpurge(&self, owner: &str, app: &str, keys: &[RecordKey<'_>]) -> Result<(), S::Error> {
        notes::unpurge(self, owner, app, keys)
    }

    fn were_merged(&self, owner: &str, app: &str, writes: &[PastWrite<'_>]) -> Result<Vec<bool>, S::Error> {
        history::were_merged(self.sql, owner, app, writes)
    }

    fn add_conflicts(&self, owner: &str, found: UnixNanos, conflicts: &[Conflict]) -> Result<(), S::Error> {
        notes::add_conflicts(self, owner, found, conflicts)
    }
}
