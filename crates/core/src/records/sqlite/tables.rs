//! The tables of record sync. Each takes a page of every database: those that most never need are made at their first
//! row.

use super::SqliteRecords;
use crate::sql::Sql;

/// The tables that every database with records has.
pub(super) const TABLES: [&str; 5] = [RECORDS, BY_CTS, DEVICES, HISTORY, INTENTS];

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS _ferry_records(
owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
data TEXT NOT NULL, meta BLOB NOT NULL, space TEXT, updated INTEGER NOT NULL, deleted_at INTEGER,
created INTEGER NOT NULL, cts INTEGER NOT NULL, state INTEGER NOT NULL, history INTEGER,
PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID";
const BY_CTS: &str = "CREATE UNIQUE INDEX IF NOT EXISTS _ferry_records_by_cts ON _ferry_records(owner, cts)";
const DEVICES: &str = "CREATE TABLE IF NOT EXISTS _ferry_record_devices(
owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
delivered INTEGER NOT NULL, pass INTEGER NOT NULL, seen INTEGER NOT NULL,
PRIMARY KEY(owner, client, app, coll)) WITHOUT ROWID";
/// Entries are appended in the order of time, so that the oldest are found at the front. Those of a record hang together:
/// its row names the newest, and each entry the one before.
pub(super) const HISTORY: &str = "CREATE TABLE IF NOT EXISTS _ferry_record_history(
number INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
cts INTEGER NOT NULL, entry TEXT NOT NULL, previous INTEGER)";
const INTENTS: &str = "CREATE TABLE IF NOT EXISTS _ferry_record_intents(
ord INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, op TEXT NOT NULL,
id TEXT NOT NULL, fields TEXT)";

/// A table that is made at its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rare {
    /// Owners with purged tombstones, or whose devices began a new epoch.
    Horizons,
    /// Times that devices must be shown.
    Skew,
    /// Times that the hub chose.
    Stamps,
    /// Ids whose tombstones are gone.
    Purged,
    /// Lost writes.
    Conflicts,
    /// Times at which the hub was not running: no commit lies between `after` and `until` (REC-22).
    Gaps,
    /// Collections whose view is still to be made, made anew, or perhaps removed.
    ViewsDue,
    /// Records that wait for their insert, or did: the row of a record tells.
    Incomplete,
    /// Records that are deleted, or were: the row of a record tells.
    Tombstones,
    /// Runs of the hub, by their places among all, and the newest commit that each found when it began to write (OPR-36).
    Runs,
}

impl Rare {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 10] = [
        Self::Horizons,
        Self::Skew,
        Self::Stamps,
        Self::Purged,
        Self::Conflicts,
        Self::Gaps,
        Self::ViewsDue,
        Self::Incomplete,
        Self::Tombstones,
        Self::Runs,
    ];

    /// Its bit in the set of those that are there; stored, so that it never changes.
    const fn bit(self) -> i64 {
        1 << self as i64
    }

    /// What makes it.
    pub(super) const fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Horizons => &["CREATE TABLE IF NOT EXISTS _ferry_record_horizons(
owner TEXT PRIMARY KEY, horizon INTEGER NOT NULL, generation INTEGER NOT NULL) WITHOUT ROWID"],
            Self::Skew => &["CREATE TABLE IF NOT EXISTS _ferry_record_skew(
owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
field TEXT NOT NULL, sent_at INTEGER NOT NULL,
PRIMARY KEY(owner, client, app, coll, id, field)) WITHOUT ROWID"],
            Self::Stamps => &["CREATE TABLE IF NOT EXISTS _ferry_record_stamps(
owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
field TEXT NOT NULL, digest INTEGER NOT NULL, sent INTEGER NOT NULL, at INTEGER NOT NULL,
PRIMARY KEY(owner, client, app, coll, id, field, digest, sent)) WITHOUT ROWID"],
            Self::Purged => &["CREATE TABLE IF NOT EXISTS _ferry_record_purged(
owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
at INTEGER NOT NULL, writer TEXT NOT NULL, cts INTEGER NOT NULL,
PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID"],
            Self::Conflicts => &[
                "CREATE TABLE IF NOT EXISTS _ferry_record_conflicts(
number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
id TEXT NOT NULL, field TEXT NOT NULL, winner TEXT NOT NULL, winner_at INTEGER NOT NULL,
winner_client TEXT NOT NULL, loser TEXT NOT NULL, loser_at INTEGER NOT NULL,
loser_client TEXT NOT NULL, found INTEGER NOT NULL, state TEXT NOT NULL)",
                "CREATE UNIQUE INDEX IF NOT EXISTS _ferry_record_conflicts_open
ON _ferry_record_conflicts(owner, app, coll, id, field) WHERE state = 'open'",
            ],
            Self::Gaps => &[
                "CREATE TABLE IF NOT EXISTS _ferry_record_gaps(until INTEGER PRIMARY KEY, after INTEGER NOT NULL)",
            ],
            Self::ViewsDue => {
                &["CREATE TABLE IF NOT EXISTS _ferry_record_views_due(
app TEXT NOT NULL, coll TEXT NOT NULL, may_be_unused INTEGER NOT NULL, PRIMARY KEY(app, coll)) WITHOUT ROWID"]
            }
            Self::Incomplete => &["CREATE TABLE IF NOT EXISTS _ferry_record_incomplete(
created INTEGER NOT NULL, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
PRIMARY KEY(created, owner, app, coll, id)) WITHOUT ROWID"],
            Self::Tombstones => &["CREATE TABLE IF NOT EXISTS _ferry_record_tombstones(
cts INTEGER NOT NULL, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
PRIMARY KEY(cts, owner, app, coll, id)) WITHOUT ROWID"],
            Self::Runs => &[
                "CREATE TABLE IF NOT EXISTS _ferry_record_runs(place INTEGER PRIMARY KEY, newest INTEGER NOT NULL)",
            ],
        }
    }

    /// Every table with an owner's rows but the history, and which one it is if it may be missing.
    pub(super) const OWNED: [(&'static str, Option<Self>); 9] = [
        ("_ferry_record_horizons", Some(Self::Horizons)),
        ("_ferry_record_devices", None),
        ("_ferry_record_skew", Some(Self::Skew)),
        ("_ferry_record_stamps", Some(Self::Stamps)),
        ("_ferry_record_purged", Some(Self::Purged)),
        ("_ferry_record_conflicts", Some(Self::Conflicts)),
        ("_ferry_record_incomplete", Some(Self::Incomplete)),
        ("_ferry_record_tombstones", Some(Self::Tombstones)),
        ("_ferry_records", None),
    ];
}

/// Key of the set of rare tables that are there, in `_ferry_meta`: looking a table up in the schema would take a walk
/// over all views.
const TABLES_KEY: &str = "records_tables";

/// SQL of that set, NULL where there is none yet.
macro_rules! rare_tables {
    () => {
        "(SELECT value FROM _ferry_meta WHERE key = 'records_tables')"
    };
}
pub(super) use rare_tables;

impl<S: Sql> SqliteRecords<'_, S> {
    /// Whether a rare table is there.
    pub(super) fn has(&self, table: Rare) -> Result<bool, S::Error> {
        Ok(self.rare_tables()? & table.bit() != 0)
    }

    fn rare_tables(&self) -> Result<i64, S::Error> {
        if let Some(known) = self.rare.get() {
            return Ok(known);
        }
        let found = self.sql.first(concat!("SELECT ", rare_tables!()), &[], |row| {
            Ok(row.optional_integer(0)?.unwrap_or(0))
        })?;
        let found = found.unwrap_or(0);
        self.rare.set(Some(found));
        Ok(found)
    }

    /// Makes a rare table if it is missing.
    pub(super) fn make(&self, table: Rare) -> Result<(), S::Error> {
        if self.has(table)? {
            return Ok(());
        }
        for statement in table.statements() {
            self.sql.execute(statement, &[])?;
        }
        let all = self.rare_tables()? | table.bit();
        self.set_meta(TABLES_KEY, all.into())?;
        self.rare.set(Some(all));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rare_table_has_a_bit_of_its_own() {
        let bits = Rare::ALL.iter().fold(0, |bits, table| bits | table.bit());
        assert_eq!(bits.count_ones() as usize, Rare::ALL.len());
    }
}
