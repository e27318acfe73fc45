//! Runs and breaks of the hub that serves, and how far each database was when it was last told.

use std::{collections::HashMap, sync::Arc};

use ferry_core::lineage::{KnownFile, LineageAnswer, LineageVerdict, Sign};
use ferry_types::{DatabaseId, Result, RunId, Seq, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};

use super::{DATABASE, HUB};
use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    directory::columns::parsed,
    origin::Origin,
};

/// What a hub that serves must know of its files.
#[derive(Clone, Debug, Default)]
pub struct KnownLineage {
    /// All runs, by the commits of `control.db` that name them.
    runs: HashMap<RunId, u64>,
    /// The last break of all databases.
    hub_break: i64,
    /// The last break of each database that has had one of its own.
    breaks: HashMap<DatabaseId, i64>,
    /// How far each was.
    positions: HashMap<DatabaseId, (RunId, Seq)>,
}

impl KnownLineage {
    /// What is known of the file of `id`.
    #[must_use]
    pub fn of_file(&self, id: DatabaseId) -> KnownFile {
        let own = self.breaks.get(&id).copied().unwrap_or(0);
        let position = self.positions.get(&id).copied();
        KnownFile { break_number: own.max(self.hub_break), position }
    }

    /// The last break of any file.
    #[must_use]
    pub fn newest_break(&self) -> i64 {
        self.breaks.values().copied().fold(self.hub_break, i64::max)
    }

    /// The place of a run among those that are named.
    #[must_use]
    pub fn when(&self, run: RunId) -> Option<u64> {
        self.runs.get(&run).copied()
    }

    /// How far this database is.
    pub fn note_position(&mut self, id: DatabaseId, run: RunId, seq: Seq) {
        self.positions.insert(id, (run, seq));
    }

    /// Every file has to have this break.
    pub fn note_hub_break(&mut self, number: i64) {
        self.hub_break = self.hub_break.max(number);
    }

    /// Its file has to have this break.
    pub fn note_break(&mut self, id: DatabaseId, number: i64) {
        self.breaks.insert(id, number);
    }

    fn load(connection: &Connection) -> ferry_sqlite::Result<Self> {
        let mut known = Self::default();
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let mut runs = connection.prepare("SELECT run, first_seq FROM runs")?;
        let mut rows = runs.query([])?;
        while let Some(row) = rows.next()? {
            known.runs.insert(parsed(row, 0)?, number(row.get(1)?));
        }
        let mut breaks =
            connection.prepare("SELECT scope, max(n) FROM breaks WHERE applies GROUP BY scope")?;
        let mut rows = breaks.query([])?;
        while let Some(row) = rows.next()? {
            match row.get_ref(0)?.as_str() {
                Ok(HUB) => known.hub_break = row.get(1)?,
                _ => drop(known.breaks.insert(parsed(row, 0)?, row.get(1)?)),
            }
        }
        let mut positions =
            connection.prepare("SELECT database_id, identity, head FROM watermarks WHERE model = ?1")?;
        let mut rows = positions.query([DATABASE])?;
        while let Some(row) = rows.next()? {
            known.positions.insert(parsed(row, 0)?, (parsed(row, 1)?, Seq(number(row.get(2)?))));
        }
        Ok(known)
    }
}

/// A break of one database, as it is written down.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseBreak {
    /// Of which.
    pub id: DatabaseId,
    /// What showed it.
    pub reason: &'static str,
    /// The newest commit that was known of.
    pub known: Seq,
    /// The newest that the file has.
    pub found: Seq,
    /// Whether the file has still to be given it.
    pub applies: bool,
}

/// A run that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewRun {
    /// Its name.
    pub run: RunId,
    /// What was found of where the data comes from.
    pub verdict: LineageVerdict,
}

impl NewRun {
    /// Names the run in `control.db`, which nobody else has open, and writes down what its verdict says, in one transaction.
    /// Returns what is known then.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn name(self, connection: &Connection, now: UnixMillis) -> ferry_sqlite::Result<KnownLineage> {
        let Self { run, verdict } = self;
        connection
            .execute_batch("BEGIN IMMEDIATE; UPDATE _ferry_meta SET value = value + 1 WHERE key = 'seq'")?;
        let seq = ferry_sqlite::meta::seq_of(&ferry_sqlite::NativeSql(connection))?.0;
        let sign = verdict.sign().map_or("", |sign| sign.as_str());
        let detail = json!({ "run": run.to_string(), "sign": sign });
        match verdict.to_do() {
            Some(LineageAnswer::Restored) => {
                if !has_break_left(connection)? {
                    break_all(connection, (now.0, sign), seq)?;
                }
                audit(connection, now, "lineage.restored", detail)?;
            }
            Some(LineageAnswer::Moved) => audit(connection, now, "lineage.moved", detail)?,
            None => {}
        }
        let sql = "INSERT INTO runs(run, first_seq, at, after_break)
                   VALUES (?1, ?2, ?3, (SELECT coalesce(max(n), 0) FROM breaks WHERE scope = 'hub'))";
        let first_seq = i64::try_from(seq).unwrap_or(i64::MAX);
        connection.execute(sql, (run.to_string(), first_seq, now.0))?;
        let known = KnownLineage::load(connection)?;
        connection.execute_batch("COMMIT")?;
        Ok(known)
    }
}

/// Runs and breaks in `control.db`.
pub struct LineageBook {
    db: Arc<ControlDb>,
    /// What was known when the run began.
    known: KnownLineage,
}

impl LineageBook {
    pub(crate) const fn new(db: Arc<ControlDb>, known: KnownLineage) -> Self {
        Self { db, known }
    }

    /// What was known when the run began.
    #[must_use]
    pub const fn known(&self) -> &KnownLineage {
        &self.known
    }

    /// Writes a break of one database down; its number.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn add_break(&self, broken: DatabaseBreak) -> Result<i64> {
        let now = self.db.now();
        let org_id = self.db.database(broken.id).map(|entry| entry.org_id);
        self.db
            .write(move |transaction| {
                let connection = transaction.connection();
                let (number, id) = (next_number(connection, now.0)?, broken.id.to_string());
                let sql = "INSERT INTO breaks(n, at, scope, reason, known_seq, since, applies)
                           VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6)";
                let known = i64::try_from(broken.known.0).unwrap_or(i64::MAX);
                connection.execute(sql, (number, now.0, &id, broken.reason, known, broken.applies))?;
                // The log of ops begins anew with the break: what was remembered is none of the new one's.
                let ops = "DELETE FROM watermarks WHERE model = 'ops' AND database_id = ?1";
                connection.execute(ops, [&id])?;
                let detail =
                    json!({ "reason": broken.reason, "known_seq": broken.known.0, "file_seq": broken.found.0 });
                let origin = Origin::hub();
                let row = AuditRow::ok(now, &origin, Who::Nobody, "lineage.break", &id);
                AuditRow { org_id, database_id: Some(broken.id), detail, ..row }.insert(connection)?;
                Ok(number)
            })
            .await
    }

    /// Writes down that the hub, whose run is `run`, was put back before it began, as `sign` shows only now; the number of the break.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn add_hub_break(&self, run: RunId, sign: Sign) -> Result<i64> {
        let now = self.db.now();
        self.db
            .write(move |transaction| {
                let connection = transaction.connection();
                let seq = ferry_sqlite::meta::seq_of(&ferry_sqlite::NativeSql(connection))?.0;
                break_all(connection, (now.0, sign.as_str()), seq)?;
                let number: i64 =
                    connection
                        .query_row("SELECT max(n) FROM breaks WHERE scope = 'hub'", [], |row| row.get(0))?;
                let run = run.to_string();
                // What this run itself has written down is not left over from before.
                let since = "UPDATE breaks SET since = (SELECT max(audit.at) FROM audit, runs
                             WHERE runs.run = ?2 AND audit.at < runs.at) WHERE n = ?1";
                connection.execute(since, (number, &run))?;
                connection.execute("UPDATE runs SET after_break = ?1 WHERE run = ?2", (number, &run))?;
                audit(connection, now, "lineage.restored", json!({ "run": run, "sign": sign.as_str() }))?;
                Ok(number)
            })
            .await
    }

    /// Remembers how far these databases are in `run`.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn save_positions(&self, run: RunId, rows: Vec<(DatabaseId, Seq)>) -> Result<()> {
        self.db
            .write(move |transaction| {
                let sql = "INSERT OR REPLACE INTO watermarks(database_id, model, store, identity, head)
                           SELECT id, ?2, '', ?3, ?4 FROM databases WHERE id = ?1 AND deleted IS NULL";
                let mut statement = transaction.connection().prepare_cached(sql)?;
                for (id, seq) in &rows {
                    let head = i64::try_from(seq.0).unwrap_or(i64::MAX);
                    statement.execute((id.to_string(), DATABASE, run.to_string(), head))?;
                }
                Ok(())
            })
            .await
    }

    /// The newest commit of `control.db`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn seq(&self) -> Result<Seq> {
        self.db.read(|connection| ferry_sqlite::meta::seq_of(&ferry_sqlite::NativeSql(connection))).await
    }
}

/// Whether a restore left a break, which no run has begun with.
fn has_break_left(connection: &Connection) -> ferry_sqlite::Result<bool> {
    let sql = "SELECT after_break FROM runs ORDER BY first_seq DESC LIMIT 1";
    let begun_with: i64 = connection.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0);
    let left = "SELECT EXISTS(SELECT 1 FROM breaks WHERE scope = 'hub' AND n > ?1)";
    Ok(connection.query_row(left, [begun_with], |row| row.get(0))?)
}

/// A break of all databases.
fn break_all(connection: &Connection, (at, reason): (i64, &str), seq: u64) -> ferry_sqlite::Result<()> {
    let sql = "INSERT INTO breaks(n, at, scope, reason, known_seq, since, applies)
               VALUES (?1, ?2, 'hub', ?3, ?4, (SELECT max(at) FROM audit), 1)";
    let known = i64::try_from(seq).unwrap_or(i64::MAX);
    connection.execute(sql, (next_number(connection, at)?, at, reason, known))?;
    // Logs of ops begin anew with it: what was remembered is none of the new ones'.
    connection.execute("DELETE FROM watermarks WHERE model = 'ops'", [])?;
    Ok(())
}

/// The number of a break that is found at `now`, in Unix milliseconds: of the time, so that none comes again that an older
/// `control.db` does not know.
fn next_number(connection: &Connection, now: i64) -> ferry_sqlite::Result<i64> {
    let last: Option<i64> = connection.query_row("SELECT max(n) FROM breaks", [], |row| row.get(0))?;
    Ok(last.map_or(now, |last| now.max(last + 1)))
}

/// A row about the whole hub.
fn audit(
    connection: &Connection,
    at: UnixMillis,
    action: &'static str,
    detail: Value,
) -> ferry_sqlite::Result<()> {
    let origin = Origin::hub();
    AuditRow { detail, ..AuditRow::ok(at, &origin, Who::Nobody, action, HUB) }.insert(connection)
}
