//! Which tables and views a database has.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::statement::STEPS;
use crate::{Error, Result, connection::open_immutable};

/// A table or a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// `table`, `view`, `virtual`, or `shadow` (of a virtual one).
    pub kind: String,
    /// As it was declared.
    pub sql: String,
    /// Names and declared types.
    pub columns: Vec<(String, String)>,
    /// Whether it is SQLite's or the engines', not the application's.
    pub is_own: bool,
    /// By what its rows can be paged: the primary key where it has no rowid, else a name of the rowid. Empty: by nothing.
    pub key: Vec<String>,
}

/// Where a page of tables begins: behind the last one of the page before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesAfter {
    /// Whether that one was an own one.
    pub is_own: bool,
    /// Its name; empty: from the beginning.
    pub name: String,
}

/// Names by which a table's rowid goes, unless a column has one of them.
const ROWIDS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// The same of the file at `path`, which nobody writes. It asks `stop` now and then; `None`: it was stopped.
///
/// # Errors
/// What SQLite reports.
pub fn tables_of_file(
    path: &Path,
    stop: impl FnMut() -> bool + Send + 'static,
    after: &TablesAfter,
    part: &str,
    max: usize,
) -> Result<Option<Vec<TableInfo>>> {
    let mut connection = open_immutable(path)?;
    connection.progress_handler(STEPS, Some(stop))?;
    match tables_after(&connection, after, part, max) {
        Err(Error::Sqlite(error))
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
        {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// At most `max` tables and views whose names contain `part`, by name; the application's before the own ones.
///
/// # Errors
/// What SQLite reports.
pub fn tables_after(
    connection: &Connection,
    after: &TablesAfter,
    part: &str,
    max: usize,
) -> Result<Vec<TableInfo>> {
    // GLOB keeps to the case, as the names of the hub's tables do.
    let mut statement = connection.prepare_cached(
        "WITH named AS (
             SELECT name, type, coalesce(sql, '') AS sql, name GLOB '_ferry_*' OR name GLOB 'sqlite_*' AS own
             FROM sqlite_schema
             WHERE type IN ('table', 'view') AND (?3 = '' OR instr(lower(name), lower(?3)) > 0)
         )
         SELECT name, type, sql, own FROM named WHERE (own, name) > (?1, ?2) ORDER BY own, name LIMIT ?4",
    )?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = statement.query_map(rusqlite::params![after.is_own, after.name, part, max], |row| {
        Ok(TableInfo {
            name: row.get(0)?,
            kind: row.get(1)?,
            sql: row.get(2)?,
            columns: Vec::new(),
            is_own: row.get(3)?,
            key: Vec::new(),
        })
    })?;
    let mut tables = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for table in &mut tables {
        // A view may name what is not there: it is shown without columns.
        match describe(connection, table) {
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == rusqlite::ErrorCode::Unknown => {}
            described => described?,
        }
    }
    Ok(tables)
}

fn describe(connection: &Connection, table: &mut TableInfo) -> rusqlite::Result<()> {
    let listed = "SELECT type, wr FROM pragma_table_list(?1) WHERE schema = 'main'";
    let listed = connection
        .prepare_cached(listed)?
        .query_row([&table.name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))
        .optional()?;
    let has_rowids = match listed {
        Some((kind, is_without_rowid)) => {
            table.kind = kind;
            !is_without_rowid
        }
        None => true,
    };
    // Hidden columns of virtual tables (1) are no columns to people.
    let info = "SELECT name, type, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
    let mut statement = connection.prepare_cached(info)?;
    let mut rows = statement.query([&table.name])?;
    let mut keyed = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let place: i64 = row.get(2)?;
        if place > 0 {
            keyed.push((place, name.clone()));
        }
        table.columns.push((name, row.get(1)?));
    }
    let is_table = matches!(&*table.kind, "table" | "shadow");
    if is_table && has_rowids {
        let is_free = |alias: &&str| !table.columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(alias));
        table.key =
            ROWIDS.iter().find(|alias| is_free(alias)).map(|alias| (*alias).to_owned()).into_iter().collect();
    } else if is_table {
        keyed.sort_unstable();
        table.key = keyed.into_iter().map(|(_, name)| name).collect();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_page_by_page_with_what_they_are_paged_by() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE plain(id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE \"Odd \"\"name\"(rowid, OID);
                 CREATE TABLE keyed(b TEXT, a INT, PRIMARY KEY(a, b)) WITHOUT ROWID;
                 CREATE TABLE hidden(rowid, oid, _rowid_); CREATE VIEW v AS SELECT x FROM plain;
                 CREATE VIEW broken AS SELECT * FROM missing; CREATE VIRTUAL TABLE f USING fts5(words);
                 CREATE TABLE _ferry_meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;",
            )
            .unwrap();
        let all = tables_after(&connection, &TablesAfter::default(), "", 100).unwrap();
        let named = |name: &str| all.iter().find(|table| table.name == name).unwrap();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(named("plain").key, names(&["rowid"]));
        assert_eq!(named("plain").columns[1], ("x".to_owned(), "TEXT".to_owned()));
        assert_eq!(named("Odd \"name").key, names(&["_rowid_"]));
        assert_eq!(named("keyed").key, names(&["a", "b"]));
        assert_eq!((named("hidden").key.len(), named("v").key.len(), named("f").key.len()), (0, 0, 0));
        assert_eq!(
            (&*named("v").kind, &*named("f").kind, &*named("f_data").kind),
            ("view", "virtual", "shadow")
        );
        assert_eq!((&*named("broken").kind, named("broken").columns.len()), ("view", 0));
        assert!(named("_ferry_meta").is_own && all.last().unwrap().name == "_ferry_meta");

        let mut paged = Vec::new();
        let mut after = TablesAfter::default();
        loop {
            let page = tables_after(&connection, &after, "", 3).unwrap();
            let Some(last) = page.last() else { break };
            after = TablesAfter { is_own: last.is_own, name: last.name.clone() };
            paged.extend(page);
        }
        assert_eq!(paged, all);
        let found = tables_after(&connection, &TablesAfter::default(), "KEY", 10).unwrap();
        assert_eq!(found.iter().map(|table| &*table.name).collect::<Vec<_>>(), ["keyed"]);

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file.db");
        connection.execute("VACUUM INTO ?1", [file.to_str().unwrap()]).unwrap();
        let of_file =
            |is_stopped| tables_of_file(&file, move || is_stopped, &TablesAfter::default(), "", 100).unwrap();
        assert_eq!((of_file(false), of_file(true)), (Some(all), None));
    }
}
