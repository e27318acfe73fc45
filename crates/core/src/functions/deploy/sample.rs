//! Rows that show what is wrong with them.

use std::ops::ControlFlow;

use serde_json::{Map, Value as Json};

use crate::{
    functions::schema::reserved,
    sql::{Row, Sql, Value},
    sql_text::identifier,
};

/// Rows that are shown of each mistake.
const ROWS_MAX: usize = 5;
/// Characters of a text that are shown.
const TEXT_MAX: usize = 200;
/// Columns of a row that are shown.
const COLUMNS_MAX: usize = 50;

/// Rows of a table that fulfil a condition.
pub(super) fn rows<S: Sql>(sql: &S, table: &str, condition: &str) -> Result<Vec<Json>, S::Error> {
    let names = columns(sql, table)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = names.iter().map(|name| identifier(name)).collect();
    let text =
        format!("SELECT {} FROM {} WHERE {condition} LIMIT {ROWS_MAX}", list.join(", "), identifier(table));
    let mut found = Vec::new();
    sql.query(&text, &[], &mut |row| {
        let members = names.iter().enumerate().map(|(at, name)| (name.clone(), json(row, at)));
        found.push(Json::Object(members.collect::<Map<_, _>>()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Names of the columns of a table or view, the hidden ones of virtual tables left out.
pub(super) fn columns<S: Sql>(sql: &S, table: &str) -> Result<Vec<String>, S::Error> {
    let mut names = Vec::new();
    let text = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1 LIMIT 2000";
    sql.query(text, &[table.into()], &mut |row| {
        names.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    names.truncate(COLUMNS_MAX);
    Ok(names)
}

fn json(row: &dyn Row, column: usize) -> Json {
    match row.value(column) {
        Value::Null => Json::Null,
        Value::Integer(value) => value.into(),
        Value::Real(value) => value.into(),
        Value::Text(text) => text.chars().take(TEXT_MAX).collect::<String>().into(),
        Value::Blob(bytes) => format!("({} bytes)", bytes.len()).into(),
    }
}

/// Rows that SQLite means by a constraint that failed: `UNIQUE constraint failed: users.email`.
pub(super) fn of_failure<S: Sql>(sql: &S, message: &str) -> Result<Vec<Json>, S::Error> {
    let named = |prefix: &str| {
        let rest = message.strip_prefix(prefix)?;
        let places: Vec<(&str, &str)> =
            rest.split(", ").map(|place| place.rsplit_once('.')).collect::<Option<_>>()?;
        let table = places.first()?.0;
        let columns = places.iter().map(|(_, column)| identifier(column)).collect::<Vec<_>>();
        Some((reserved::original(table).to_owned(), columns))
    };
    let (table, named_columns, condition) =
        if let Some((table, columns)) = named("UNIQUE constraint failed: ") {
            let (list, of_table) = (columns.join(", "), identifier(&table));
            let twice = format!("SELECT {list} FROM {of_table} GROUP BY {list} HAVING count(*) > 1");
            (table, columns, format!("({list}) IN ({twice})"))
        } else if let Some((table, columns)) = named("NOT NULL constraint failed: ") {
            let condition = format!("{} IS NULL", columns.join(" IS NULL OR "));
            (table, columns, condition)
        } else {
            return Ok(Vec::new());
        };
    // It may name a table or columns that the statement was about to make.
    let there: Vec<String> = columns(sql, &table)?.iter().map(|name| identifier(name)).collect();
    if named_columns.iter().all(|column| there.contains(column)) {
        rows(sql, &table, &condition)
    } else {
        Ok(Vec::new())
    }
}

/// Rows whose foreign key leads nowhere; empty if there are none.
pub(super) fn orphans<S: Sql>(sql: &S) -> Result<Vec<Json>, S::Error> {
    let mut found: Vec<(String, Option<i64>, String)> = Vec::new();
    sql.query("PRAGMA foreign_key_check", &[], &mut |row| {
        found.push((row.text(0)?.to_owned(), row.optional_integer(1)?, row.text(2)?.to_owned()));
        Ok(if found.len() < ROWS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let mut all = Vec::new();
    for (table, rowid, parent) in found {
        let row = match rowid {
            Some(rowid) => rows(sql, &table, &format!("_rowid_ = {rowid}"))?.pop(),
            None => None,
        };
        all.push(serde_json::json!({ "table": table, "refersTo": parent, "row": row }));
    }
    Ok(all)
}

/// Checks the file's pages and indexes; `Some`: what SQLite found.
pub(super) fn damage<S: Sql>(sql: &S) -> Result<Option<String>, S::Error> {
    let found = sql.first("PRAGMA quick_check(1)", &[], |row| Ok(row.text(0)?.to_owned()))?;
    Ok(found.filter(|text| text != "ok"))
}
