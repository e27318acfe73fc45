//! Collections as SQL shows them: a view per collection, and triggers that queue what is written to it (REC-50,
//! REC-51).

use std::{fmt::Write as _, ops::ControlFlow};

use ferry_types::limits::RECORDS_VIEWS_AT_ONCE;

use super::{
    super::{
        record::{DELETED_AT, is_hidden},
        store::RowOut,
    },
    Rare, SqliteRecords,
    collections::{self, ObservedCollection},
    view_columns::{ViewColumns, key, set_columns, view_name},
};
use crate::sql::Sql;

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
    let (name, columns) = (view_name(app, coll), columns.names().collect::<Vec<_>>());
    sql.execute(&view(&name, app, coll, &columns), &[])?;
    for trigger in triggers(&name, app, coll, &columns) {
        sql.execute(&trigger, &[])?;
    }
    Ok(())
}

fn remove<S: Sql>(sql: &S, name: &str) -> Result<(), S::Error> {
    sql.execute(&format!("DROP VIEW IF EXISTS {}", identifier(name)), &[]).map(drop)
}

fn view(name: &str, app: &str, coll: &str, columns: &[&str]) -> String {
    let mut text = format!("CREATE VIEW {} AS SELECT id", identifier(name));
    for column in columns {
        let path = literal(&format!("$.\"{column}\""));
        let _ = write!(text, ", data ->> {path} AS {}", identifier(column));
    }
    let shown = columns.iter().copied().chain([DELETED_AT, "/space", "/actor", "/origin"]);
    let shown: Vec<String> = shown.map(literal).collect();
    let _ = write!(
        text,
        ", owner AS _owner, space ->> '$' AS _space, updated / 1000000 AS _updated_at,
nullif((SELECT json_group_object(key, CASE WHEN type IN ('object', 'array') THEN json(value)
WHEN type IN ('true', 'false') THEN json(type) ELSE value END)
FROM json_each(data) WHERE key NOT IN ({})), '{{}}') AS _extra
FROM _ferry_records WHERE app = {} AND coll = {} AND state = 0 AND deleted_at IS NULL",
        shown.join(", "),
        literal(app),
        literal(coll)
    );
    text
}

fn triggers(name: &str, app: &str, coll: &str, columns: &[&str]) -> [String; 3] {
    let view = identifier(name);
    let queue = |event: &str| {
        format!(
            "CREATE TRIGGER {} INSTEAD OF {event} ON {view} BEGIN",
            identifier(&format!("{name}_{}", event.to_ascii_lowercase()))
        )
    };
    let (app, coll) = (literal(app), literal(coll));
    let into = "INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields)";
    let insert = format!(
        "{} SELECT raise(ABORT, 'records: _space and _extra cannot be written')
WHERE NEW._space IS NOT NULL OR NEW._extra IS NOT NULL;
SELECT raise(ABORT, 'records: id and _owner must be given')
WHERE NEW.id IS NULL OR NEW._owner IS NULL;
{into} VALUES (NEW._owner, {app}, {coll}, 'insert', NEW.id, {}); END",
        queue("INSERT"),
        object(columns, |column| format!("NEW.{column} IS NOT NULL"))
    );
    let update = format!(
        "{} SELECT raise(ABORT, 'records: id, _owner, _space and _extra cannot be changed')
WHERE NEW.id IS NOT OLD.id OR NEW._owner IS NOT OLD._owner OR NEW._space IS NOT OLD._space
OR NEW._extra IS NOT OLD._extra;
{into} VALUES (OLD._owner, {app}, {coll}, 'update', OLD.id, {}); END",
        queue("UPDATE"),
        object(columns, |column| format!("NEW.{column} IS NOT OLD.{column}"))
    );
    let delete =
        format!("{} {into} VALUES (OLD._owner, {app}, {coll}, 'delete', OLD.id, NULL); END", queue("DELETE"));
    [insert, update, delete]
}

/// SQL for a JSON object of the columns that are written.
fn object(columns: &[&str], is_written: impl Fn(&str) -> String) -> String {
    if columns.is_empty() {
        return "'{}'".to_owned();
    }
    let member = |column: &&str| {
        let name = identifier(column);
        format!("SELECT {} AS k, json_quote(NEW.{name}) AS v WHERE {}", literal(column), is_written(&name))
    };
    let members: Vec<String> = columns.iter().map(member).collect();
    format!("(SELECT json_group_object(k, json(v)) FROM ({}))", members.join(" UNION ALL "))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
