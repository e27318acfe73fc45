//! What a data directory's `control.db` tells of its runs and breaks, found out without changing anything.

use std::{collections::HashSet, path::Path};

use ferry_core::lineage::ControlLineage;
use ferry_sqlite::NativeSql;
use ferry_types::{RunId, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _};

use super::HUB;
use crate::{config::StartError, directory::columns::parsed, schema::beside_the_hub, start::failed};

/// A break: what was written between `since` and `at` may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakRow {
    /// Its number, which files keep.
    pub number: i64,
    /// When it was found.
    pub at: UnixMillis,
    /// `hub`, or the id of a database.
    pub scope: String,
    /// What showed it.
    pub reason: String,
    /// The newest commit that was known of: of `control.db`, or of the database.
    pub known_seq: u64,
    /// The newest moment that is left, if that is known.
    pub since: Option<UnixMillis>,
}

/// What `control.db` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineageRows {
    /// By what a verdict is found.
    pub control: ControlLineage,
    /// All of its runs.
    pub runs: HashSet<RunId>,
    /// When its newest run began.
    pub began: Option<UnixMillis>,
    /// All breaks, the oldest first.
    pub breaks: Vec<BreakRow>,
}

impl LineageRows {
    /// The number of the last break of all databases; 0: there was none.
    #[must_use]
    pub fn newest_hub_break(&self) -> i64 {
        let hub = self.breaks.iter().filter(|row| row.scope == HUB);
        hub.map(|row| row.number).max().unwrap_or(0)
    }
}

/// Reads it of the hub in `data_dir`, whether it runs or not.
///
/// # Errors
/// When there is a `control.db` that cannot be read.
pub fn read_lineage(data_dir: &Path) -> Result<LineageRows, StartError> {
    let path = data_dir.join("control.db");
    if !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        return Ok(LineageRows::default());
    }
    beside_the_hub(&path, rows).map_err(|error| failed(&path, &error))
}

fn rows(connection: &Connection) -> ferry_sqlite::Result<LineageRows> {
    let mut found = LineageRows::default();
    // A start that was cut short before its first table left nothing.
    if !connection.table_exists(None, "meta")? {
        return Ok(found);
    }
    let hub_id = "SELECT value FROM meta WHERE key = 'hub_id'";
    found.control.hub_id = connection.query_row(hub_id, [], |row| row.get(0)).optional()?;
    found.control.seq = ferry_sqlite::meta::seq_of(&NativeSql(connection))?.0;
    // An older program named no runs.
    if !connection.table_exists(None, "runs")? {
        return Ok(found);
    }
    let newest = "SELECT run, at, after_break FROM runs ORDER BY first_seq DESC LIMIT 1";
    let mut newest = connection.prepare(newest)?;
    let mut runs = newest.query([])?;
    let mut begun_with: i64 = 0;
    if let Some(row) = runs.next()? {
        found.control.newest = Some(parsed(row, 0)?);
        found.began = Some(UnixMillis(row.get(1)?));
        begun_with = row.get(2)?;
    }
    let mut all = connection.prepare("SELECT run FROM runs")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        found.runs.insert(parsed(row, 0)?);
    }
    let mut breaks =
        connection.prepare("SELECT n, at, scope, reason, known_seq, since FROM breaks ORDER BY n")?;
    let rows = breaks.query_map([], |row| {
        Ok(BreakRow {
            number: row.get(0)?,
            at: UnixMillis(row.get(1)?),
            scope: row.get(2)?,
            reason: row.get(3)?,
            known_seq: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
            since: row.get::<_, Option<i64>>(5)?.map(UnixMillis),
        })
    })?;
    found.breaks = rows.collect::<rusqlite::Result<_>>()?;
    let is_left = |row: &BreakRow| row.scope == HUB && row.number > begun_with;
    found.control.has_break_left = found.breaks.iter().any(is_left);
    Ok(found)
}
