//! The rows of records.

use ferry_protocol::records::UnixNanos;

use super::{
    super::store::{EachRow, RecordKey, Row, RowOut, RowView, Within},
    nanos,
};
use crate::sql::{Damaged, Row as SqlRow, Sql, Value};

/// Columns of a stored record.
const COLUMNS: usize = 12;
const READ: &str = "SELECT data, meta, created, cts, state FROM _ferry_records
     WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4";
const INSERT: &str = "INSERT INTO _ferry_records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const UPDATE: &str =
    "UPDATE _ferry_records SET data = ?5, meta = ?6, space = ?7, updated = ?8, deleted_at = ?9,
     created = ?10, cts = ?11, state = ?12 WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4";

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
) -> Result<Vec<Option<Row>>, S::Error> {
    let read = |key: &RecordKey<'_>| {
        sql.first(READ, &[owner.into(), app.into(), key.coll.into(), key.id.into()], |row| {
            Ok(Row {
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

pub(super) fn write<S: Sql>(sql: &S, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), S::Error> {
    let (mut new, mut stored) = (Vec::new(), Vec::new());
    for out in rows {
        let row = &out.row;
        let values: [Value<'_>; COLUMNS] = [
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
        ];
        if out.is_stored { &mut stored } else { &mut new }.extend(values);
    }
    for (text, values) in [(INSERT, new), (UPDATE, stored)] {
        if !values.is_empty() {
            sql.execute_rows(text, COLUMNS, &values)?;
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

fn view(row: &dyn SqlRow) -> Result<RowView<'_>, Damaged> {
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
