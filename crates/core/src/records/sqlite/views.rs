//! Collections as SQL shows them: a view per collection, and triggers that queue what is written to it (REC-50,
//! REC-51).

use std::ops::ControlFlow;

use ferry_types::limits::RECORDS_VIEWS_AT_ONCE;

use super::{
    super::{record::is_hidden, store::RowOut},
    Rare, SqliteRecords,
    collections::{self, ObservedCollection},
    view_columns::{ViewColumns, key, set_columns, view_name},
    view_sql::{FieldType, OwnerWritten, ViewSql},
};
use crate::{sql::Sql, sql_text::identifier};

/// Makes views, or makes them anew, where rows bring fields that they do not show yet. Where they are many, they are only
/// noted, and [`make_due`] makes them: the schema is read through for each, and the push must not last so long.
pub(super) fn observe<S: Sql>(
    store: &SqliteRecords<'_, S>,
    app: &str,
    rows: &[RowOut<'_>],
    touched: Vec<ObservedCollection<'_>>,
) -> Result<(), S::Error> {
    let mut changed = Vec::new();
    for ObservedCollection { coll, columns, .. } in touched {
        let is_new = columns.is_none();
        let mut columns = columns.unwrap_or_else(|| ViewColumns::read(""));
        let before = columns.count;
        let mut last: Option<&RowOut<'_>> = None;
        for row in rows.iter().filter(|row| row.key.coll == coll && !row.new_keys.is_empty()) {
            // Records of a batch bring the same fields, as a rule.
            if last.is_none_or(|last| last.new_keys != row.new_keys) {
                row.new_keys.iter().filter(|key| !is_hidden(key)).for_each(|key| columns.add(key));
            }
            last = Some(row);
        }
        if is_new || columns.count > before {
            set_columns(store, app, coll, &columns)?;
            changed.push((coll, columns, is_new));
        }
    }
    if changed.len() <= RECORDS_VIEWS_AT_ONCE {
        return changed.iter().try_for_each(|(coll, columns, is_new)| {
            if !is_new {
                remove(store.sql, &view_name(app, coll))?;
            }
            make(store.sql, app, coll, columns)
        });
    }
    changed.iter().try_for_each(|(coll, ..)| {
        store.make(Rare::ViewsDue)?;
        store.views_due.set(true);
        let values = [app.into(), (*coll).into()];
        let text = "INSERT OR REPLACE INTO _ferry_record_views_due VALUES (?1, ?2, 0)";
        store.sql.execute(text, &values).map(drop)
    })
}

/// Makes some of the views that are due, and removes some of those that nobody has records for, in the running
/// transaction. Returns whether there may be more.
pub(super) fn make_due<S: Sql>(store: &SqliteRecords<'_, S>) -> Result<bool, S::Error> {
    if !store.has(Rare::ViewsDue)? {
        return Ok(false);
    }
    let sql = store.sql;
    let mut due = Vec::new();
    let limit = i64::try_from(RECORDS_VIEWS_AT_ONCE).unwrap_or(i64::MAX);
    let some = "SELECT app, coll, may_be_unused FROM _ferry_record_views_due ORDER BY may_be_unused LIMIT ?1";
    sql.query(some, &[limit.into()], &mut |row| {
        due.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.integer(2)? != 0));
        Ok(ControlFlow::Continue(()))
    })?;
    for (app, coll, may_be_unused) in &due {
        let names = [(&**app).into(), (&**coll).into()];
        sql.execute("DELETE FROM _ferry_record_views_due WHERE app = ?1 AND coll = ?2", &names)?;
        if *may_be_unused {
            if !collections::is_used(sql, app, coll)? {
                remove(sql, &view_name(app, coll))?;
                sql.execute("DELETE FROM _ferry_meta WHERE key = ?1", &[(&*key(app, coll)).into()])?;
            }
        } else if let Some(columns) =
            store.meta(&key(app, coll), |row| Ok(ViewColumns::read(row.text(0)?)))?
        {
            remove(sql, &view_name(app, coll))?;
            make(sql, app, coll, &columns)?;
        }
    }
    Ok(due.len() == RECORDS_VIEWS_AT_ONCE)
}

fn make<S: Sql>(sql: &S, app: &str, coll: &str, columns: &ViewColumns) -> Result<(), S::Error> {
    let columns = columns.names().map(|name| (name, FieldType::Plain)).collect();
    let view = ViewSql { name: &view_name(app, coll), app, coll, columns, owner: OwnerWritten::Always };
    view.statements().iter().try_for_each(|statement| sql.execute(statement, &[]).map(drop))
}

fn remove<S: Sql>(sql: &S, name: &str) -> Result<(), S::Error> {
    sql.execute(&format!("DROP VIEW IF EXISTS {}", identifier(name)), &[]).map(drop)
}
