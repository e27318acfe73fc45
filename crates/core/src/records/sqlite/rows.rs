//! The rows of records.

use ferry_protocol::records::UnixNanos;

use super::{
    super::store::{EachRow, RecordKey, RecordRow, RowOut, RowView, Within},
    Rare, SqliteRecords, history, nanos,
};
use crate::sql::{Damaged, Row, Sql, Value};

/// Parameters of a stored record; the last one leads to its newest entry of the history.
const COLUMNS: usize = 13;
const READ: &str = "SELECT data, meta, created, cts, state FROM _ferry_records
WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4";
// Entries are inserted before their records, one after the other: each has a known distance to the last of them.
const INSERT: &str = "INSERT INTO _ferry_records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, last_insert_rowid() - ?13)";
const UPDATE: &str =
    "UPDATE _ferry_records SET data = ?5, meta = ?6, space = ?7, updated = ?8, deleted_at = ?9,
created = ?10, cts = ?11, state = ?12, history = ifnull(last_insert_rowid() - ?13, history)
WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4";

macro_rules! page {
    ($within:literal) => {
        concat!(
            "SELECT app, coll, id, data, meta, created, cts, state
             FROM _ferry_records INDEXED BY _ferry_records_by_cts
             WHERE owner = ?1 AND cts > ?2",
            $within,
            " ORDER BY cts LIMIT ?3"
        )
    };
}

pub(super) fn read<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<Vec<Option<RecordRow>>, S::Error> {
    let read = |key: &RecordKey<'_>| {
        sql.first(READ, &[owner.into(), app.into(), key.coll.into(), key.id.into()], |row| {
            Ok(RecordRow {
                data: row.text(0)?.to_owned(),
                meta: row.blob(1)?.to_vec(),
                created: nanos(row, 2)?,
                cts: nanos(row, 3)?,
                incomplete: row.integer(4)? != 0,
            })
        })
    };
    keys.iter().map(read).collect()
}

/// Stores records with what is added to their histories.
pub(super) fn write<S: Sql>(sql: &S, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), S::Error> {
    for (text, is_stored) in [(INSERT, false), (UPDATE, true)] {
        let of_kind = || rows.iter().filter(|out| out.is_stored == is_stored);
        let mut behind = history::add(sql, owner, app, is_stored, of_kind())?;
        let mut values: Vec<Value<'_>> = Vec::new();
        for out in of_kind() {
            let row = &out.row;
            let entry = out.entry.as_ref().map(|_| {
                behind -= 1;
                behind
            });
            let all: [Value<'_>; COLUMNS] = [
                owner.into(),
                app.into(),
                out.key.coll.into(),
                out.key.id.into(),
                (&*row.data).into(),
                (&*row.meta).into(),
                out.space.as_deref().into(),
                out.updated.0.into(),
                out.deleted_at.map(|at| at.0).into(),
                row.created.0.into(),
                row.cts.0.into(),
                i64::from(row.incomplete).into(),
                entry.into(),
            ];
            values.extend(all);
        }
        if !values.is_empty() {
            sql.execute_rows(text, COLUMNS, &values)?;
        }
    }
    Ok(())
}

/// Notes which records wait for something: for their insert, or to be purged.
pub(super) fn note_waiting<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    app: &str,
    rows: &[RowOut<'_>],
) -> Result<(), S::Error> {
    for out in rows {
        let key = out.key;
        let values =
            |time: UnixNanos| [time.0.into(), owner.into(), app.into(), key.coll.into(), key.id.into()];
        // One that is stored does not become incomplete.
        if out.row.incomplete && !out.is_stored {
            store.make(Rare::Incomplete)?;
            let text = "INSERT OR IGNORE INTO _ferry_record_incomplete VALUES (?1, ?2, ?3, ?4, ?5)";
            store.sql.execute(text, &values(out.row.created))?;
        }
        if out.deleted_at.is_some() && !out.was_deleted {
            store.make(Rare::Tombstones)?;
            let text = "INSERT OR IGNORE INTO _ferry_record_tombstones VALUES (?1, ?2, ?3, ?4, ?5)";
            store.sql.execute(text, &values(out.row.cts))?;
        }
    }
    Ok(())
}

pub(super) fn page<S: Sql>(
    sql: &S,
    owner: &str,
    within: Within<'_>,
    after: UnixNanos,
    limit: usize,
    each: &mut EachRow<'_, S::Error>,
) -> Result<(), S::Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values: Vec<Value<'_>> = vec![owner.into(), after.0.into(), limit.into()];
    let text = match within {
        Within::All => page!(""),
        Within::App(app) => {
            values.push(app.into());
            page!(" AND app = ?4")
        }
        Within::Collection(app, coll) => {
            values.extend([Value::from(app), Value::from(coll)]);
            page!(" AND app = ?4 AND coll = ?5")
        }
    };
    sql.query(text, &values, &mut |row| each(&view(row)?))
}

/// Columns of a record as [`view`] reads them.
pub(super) const VIEWED: &str = "app, coll, id, data, meta, created, cts, state";

pub(super) fn view(row: &dyn Row) -> Result<RowView<'_>, Damaged> {
    Ok(RowView {
        app: row.text(0)?,
        coll: row.text(1)?,
        id: row.text(2)?,
        data: row.text(3)?,
        meta: row.blob(4)?,
        created: nanos(row, 5)?,
        cts: nanos(row, 6)?,
        incomplete: row.integer(7)? != 0,
    })
}
