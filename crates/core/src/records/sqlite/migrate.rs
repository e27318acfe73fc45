//! Tables that an earlier program made, brought up to date. The statements here are those of its tables, whatever this
//! program's are called.

use std::ops::ControlFlow;

use super::{Rare, SqliteRecords, view_columns};
use crate::sql::{Sql, Value};

/// What the tables of this program are. Those of the first one had no number.
const VERSION: i64 = 3;
/// Key of that number in `_ferry_meta`.
const VERSION_KEY: &str = "records_schema";

/// Tables of version 1 with an owner's rows.
const OWNED_1: [&str; 9] = [
    "_ferry_records",
    "_ferry_record_owners",
    "_ferry_record_devices",
    "_ferry_record_skew",
    "_ferry_record_stamps",
    "_ferry_record_purged",
    "_ferry_record_history",
    "_ferry_record_conflicts",
    "_ferry_record_intents",
];

/// From version 2: the history loses its index, and each entry leads to the one before.
const CHAINS: [&str; 5] = [
    "ALTER TABLE _ferry_records ADD COLUMN history INTEGER",
    "ALTER TABLE _ferry_record_history ADD COLUMN previous INTEGER",
    "UPDATE _ferry_record_history AS h SET previous = (
       SELECT p.number FROM _ferry_record_history AS p INDEXED BY _ferry_record_history_of
       WHERE p.owner = h.owner AND p.app = h.app AND p.coll = h.coll AND p.id = h.id AND p.cts < h.cts
       ORDER BY p.cts DESC LIMIT 1)",
    "UPDATE _ferry_records AS r SET history = (
       SELECT h.number FROM _ferry_record_history AS h INDEXED BY _ferry_record_history_of
       WHERE h.owner = r.owner AND h.app = r.app AND h.coll = r.coll AND h.id = r.id
       ORDER BY h.cts DESC LIMIT 1)",
    "DROP INDEX _ferry_record_history_of",
];

/// The owner's newest commit is that of its records, unless something else says more.
const HORIZONS: &str = "INSERT INTO _ferry_record_horizons
     SELECT owner, CASE WHEN last_cts > newest THEN max(last_cts, horizon) ELSE horizon END, generation
     FROM (SELECT owner, last_cts, horizon, generation, max(horizon, ifnull((
       SELECT max(cts) FROM _ferry_records AS r WHERE r.owner = o.owner), 0)) AS newest
       FROM _ferry_record_owners AS o)
     WHERE horizon > 0 OR generation > 0 OR last_cts > newest";

impl<S: Sql> SqliteRecords<'_, S> {
    /// Whether the tables are those of an earlier program.
    ///
    /// # Errors
    /// What storage reports.
    pub fn is_outdated(&self) -> Result<bool, S::Error> {
        Ok(self.version()? < VERSION)
    }

    fn version(&self) -> Result<i64, S::Error> {
        Ok(self.meta(VERSION_KEY, |row| Ok(row.integer(0)?))?.unwrap_or(1))
    }

    /// Whether tables were made that have a number.
    pub(super) fn has_version(&self) -> Result<bool, S::Error> {
        Ok(self.meta(VERSION_KEY, |_| Ok(()))?.is_some())
    }

    /// Notes that the tables are those of this program.
    pub(super) fn note_version(&self) -> Result<(), S::Error> {
        self.set_meta(VERSION_KEY, VERSION.into())
    }

    /// Brings the tables up to date, in the running transaction. `new_name` tells what an owner of version 1 is called now:
    /// owners of different kinds shared their names (REC-34).
    ///
    /// # Errors
    /// What storage reports.
    pub fn migrate(&self, new_name: impl Fn(&str) -> String) -> Result<(), S::Error> {
        let version = self.version()?;
        if version < 2 {
            self.migrate_1_to_2(new_name)?;
        }
        if version < 3 {
            self.migrate_2_to_3()?;
        }
        self.note_version()
    }

    fn migrate_1_to_2(&self, new_name: impl Fn(&str) -> String) -> Result<(), S::Error> {
        let add = "ALTER TABLE _ferry_record_owners ADD COLUMN generation INTEGER NOT NULL DEFAULT 0";
        self.sql.execute(add, &[])?;
        let mut owners = self.owners_1()?;
        // New names are longer: one that is also an old one has to be free by then.
        owners.sort_by_key(|owner| std::cmp::Reverse(owner.len()));
        for owner in owners {
            let name = new_name(&owner);
            if name != owner {
                for table in OWNED_1 {
                    let values: [Value<'_>; 2] = [(&*owner).into(), (&*name).into()];
                    self.sql.execute(&format!("UPDATE {table} SET owner = ?2 WHERE owner = ?1"), &values)?;
                }
            }
        }
        // The views are made anew, a few at a time.
        self.make(Rare::ViewsDue)?;
        self.sql.execute(
            "INSERT OR IGNORE INTO _ferry_record_views_due SELECT app, coll, 0 FROM _ferry_record_collections",
            &[],
        )?;
        Ok(())
    }

    fn owners_1(&self) -> Result<Vec<String>, S::Error> {
        let mut owners = Vec::new();
        let all = OWNED_1.map(|table| format!("SELECT owner FROM {table}")).join(" UNION ");
        self.sql.query(&all, &[], &mut |row| {
            owners.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(owners)
    }

    fn migrate_2_to_3(&self) -> Result<(), S::Error> {
        // All of them were there; those that are rare today but not those that are new.
        for table in [Rare::Skew, Rare::Stamps, Rare::Purged, Rare::Conflicts, Rare::Gaps, Rare::ViewsDue] {
            self.make(table)?;
        }
        for statement in CHAINS {
            self.sql.execute(statement, &[])?;
        }
        for (table, fill, index) in [
            (
                Rare::Incomplete,
                "INSERT INTO _ferry_record_incomplete SELECT created, owner, app, coll, id FROM _ferry_records
                 WHERE state = 1",
                "DROP INDEX _ferry_records_incomplete",
            ),
            (
                Rare::Tombstones,
                "INSERT INTO _ferry_record_tombstones SELECT cts, owner, app, coll, id FROM _ferry_records
                 WHERE deleted_at IS NOT NULL",
                "DROP INDEX _ferry_records_deleted",
            ),
            (Rare::Horizons, HORIZONS, "DROP TABLE _ferry_record_owners"),
        ] {
            self.make(table)?;
            self.sql.execute(fill, &[])?;
            self.sql.execute(index, &[])?;
        }
        let mut collections = Vec::new();
        let all = "SELECT app, coll, columns FROM _ferry_record_collections";
        self.sql.query(all, &[], &mut |row| {
            let columns = view_columns::ViewColumns::read(row.text(2)?);
            collections.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), columns));
            Ok(ControlFlow::Continue(()))
        })?;
        for (app, coll, columns) in &collections {
            view_columns::set_columns(self, app, coll, columns)?;
        }
        self.sql.execute("DROP TABLE _ferry_record_collections", &[])?;
        Ok(())
    }
}
