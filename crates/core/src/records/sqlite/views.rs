//! Collections as SQL shows them: a view per collection, and triggers that queue what is written to it (REC-50,
//! REC-51).

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _, ops::ControlFlow};

use ferry_protocol::records::json;
use ferry_types::limits::{RECORDS_VIEW_COLUMN_MAX_BYTES, RECORDS_VIEW_MAX_COLUMNS, RECORDS_VIEWS_AT_ONCE};

use super::{
    super::{
        record::{DELETED_AT, is_hidden},
        store::RowOut,
    },
    collections,
};
use crate::sql::Sql;

/// Columns of every view that are no fields.
const OWN_COLUMNS: [&str; 5] = ["id", "_owner", "_space", "_updated_at", "_extra"];

/// Name of a collection's view: bytes outside of `[a-z0-9]` are written `_hh`, so that no two share a name.
#[must_use]
pub fn view_name(app: &str, coll: &str) -> String {
    let mut name = String::from("records_");
    spell(&mut name, app);
    name.push_str("__");
    spell(&mut name, coll);
    name
}

fn spell(name: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "_{byte:02x}");
        }
    }
}

/// Whether a field gets a column: SQL must be able to name it, alone, in a JSON path between quotes.
fn is_column(key: &str, columns: &[String]) -> bool {
    let taken = |name: &str| name.eq_ignore_ascii_case(key);
    columns.len() < RECORDS_VIEW_MAX_COLUMNS
        && !key.is_empty()
        && key.len() <= RECORDS_VIEW_COLUMN_MAX_BYTES
        && !key.contains('\\')
        && key != DELETED_AT
        && !OWN_COLUMNS.iter().any(|name| taken(name))
        && !columns.iter().any(|name| taken(name))
}

/// Makes views, or makes them anew, where rows bring fields that they do not show yet. Where they are many, they are only
/// noted, and [`make_due`] makes them: the schema is read through for each, and the push must not last so long.
pub(super) fn observe<S: Sql>(sql: &S, app: &str, rows: &[RowOut<'_>]) -> Result<(), S::Error> {
    let mut brought: BTreeMap<&str, Vec<&[Cow<'_, str>]>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.new_keys.is_empty()) {
        let keys = brought.entry(row.key.coll).or_default();
        // Records of a batch bring the same fields, as a rule.
        if keys.last().is_none_or(|last| *last != &*row.new_keys) {
            keys.push(&row.new_keys);
        }
    }
    let mut changed = Vec::new();
    for (coll, brought) in brought {
        let known = columns(sql, app, coll)?;
        let is_new = known.is_none();
        let mut columns = known.unwrap_or_default();
        let before = columns.len();
        for key in brought.into_iter().flatten() {
            if !is_hidden(key) && is_column(key, &columns) {
                columns.push(key.to_string());
            }
        }
        if is_new || columns.len() > before {
            sql.execute(
                "INSERT OR REPLACE INTO _ferry_record_collections VALUES (?1, ?2, ?3)",
                &[app.into(), coll.into(), (&*columns.join("\n")).into()],
            )?;
            changed.push((coll, columns));
        }
    }
    if changed.len() <= RECORDS_VIEWS_AT_ONCE {
        return changed.iter().try_for_each(|(coll, columns)| make(sql, app, coll, columns));
    }
    changed.iter().try_for_each(|(coll, _)| {
        let values = [app.into(), (*coll).into()];
        sql.execute("INSERT OR REPLACE INTO _ferry_record_views_due VALUES (?1, ?2, 0)", &values).map(drop)
    })
}

/// Whether views are to be made, in commits of their own.
///
/// # Errors
/// What storage reports.
pub fn are_due<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    let any = "SELECT 1 FROM _ferry_record_views_due WHERE may_be_unused = 0 LIMIT 1";
    Ok(sql.first(any, &[], |_| Ok(()))?.is_some())
}

/// Makes some of the views that are due, and removes some of those that nobody has records for, in the running
/// transaction. Returns whether there may be more.
///
/// # Errors
/// What storage reports.
pub fn make_due<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    let mut due = Vec::new();
    let limit = i64::try_from(RECORDS_VIEWS_AT_ONCE).unwrap_or(i64::MAX);
    let some = "SELECT app, coll, may_be_unused FROM _ferry_record_views_due ORDER BY may_be_unused LIMIT ?1";
    sql.query(some, &[limit.into()], &mut |row| {
        due.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.integer(2)? != 0));
        Ok(ControlFlow::Continue(()))
    })?;
    for (app, coll, may_be_unused) in &due {
        let key = [(&**app).into(), (&**coll).into()];
        sql.execute("DELETE FROM _ferry_record_views_due WHERE app = ?1 AND coll = ?2", &key)?;
        if *may_be_unused {
            if !collections::is_used(sql, app, coll)? {
                remove(sql, &view_name(app, coll))?;
                sql.execute("DELETE FROM _ferry_record_collections WHERE app = ?1 AND coll = ?2", &key)?;
            }
        } else if let Some(columns) = columns(sql, app, coll)? {
            make(sql, app, coll, &columns)?;
        }
    }
    Ok(due.len() == RECORDS_VIEWS_AT_ONCE)
}

/// The columns of a collection's view that are fields; `None` if there is no view yet.
pub(super) fn columns<S: Sql>(sql: &S, app: &str, coll: &str) -> Result<Option<Vec<String>>, S::Error> {
    sql.first(
        "SELECT columns FROM _ferry_record_collections WHERE app = ?1 AND coll = ?2",
        &[app.into(), coll.into()],
        // No name holds a line feed: it would be escaped.
        |row| Ok(row.text(0)?.lines().map(str::to_owned).collect()),
    )
}

fn make<S: Sql>(sql: &S, app: &str, coll: &str, columns: &[String]) -> Result<(), S::Error> {
    let name = view_name(app, coll);
    remove(sql, &name)?;
    sql.execute(&view(&name, app, coll, columns), &[])?;
    for trigger in triggers(&name, app, coll, columns) {
        sql.execute(&trigger, &[])?;
    }
    Ok(())
}

fn remove<S: Sql>(sql: &S, name: &str) -> Result<(), S::Error> {
    sql.execute(&format!("DROP VIEW IF EXISTS {}", identifier(name)), &[]).map(drop)
}

fn view(name: &str, app: &str, coll: &str, columns: &[String]) -> String {
    let mut text = format!("CREATE VIEW {} AS SELECT id", identifier(name));
    for column in columns {
        let path = literal(&format!("$.\"{column}\""));
        let _ = write!(text, ", data ->> {path} AS {}", identifier(column));
    }
    let shown = columns.iter().map(String::as_str).chain([DELETED_AT, "/space", "/actor", "/origin"]);
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

fn triggers(name: &str, app: &str, coll: &str, columns: &[String]) -> [String; 3] {
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
fn object(columns: &[String], is_written: impl Fn(&str) -> String) -> String {
    if columns.is_empty() {
        return "'{}'".to_owned();
    }
    let member = |column: &String| {
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

/// The body of a push that does what a queued intent asks for.
pub(in super::super) fn body(coll: &str, id: &str, op: &str, fields: Option<&str>) -> String {
    let data = fields.map(|fields| format!(",\"data\":{fields}")).unwrap_or_default();
    format!(
        "{{\"changes\":[{{\"table\":{},\"id\":{},\"op\":\"{op}\"{data}}}]}}",
        json::string(coll),
        json::string(id)
    )
}
