//! A table that SQLite's `ALTER TABLE` cannot change is copied into one that is made anew (SQLite documentation, "ALTER
//! TABLE", section 7). Views and triggers are out of the way meanwhile, and no foreign key acts.

use super::{
    changes::TableChange,
    create,
    hints::Hints,
    model::{ColumnSchema, TableSchema, same_name},
    parse::ParsedTable,
    plan::{PlanOp, PlanStep},
    reserved::REBUILT,
};
use crate::sql_text::{identifier, literal};

/// The step that copies `old` into what `new` declares. `indexes` are made again behind it.
pub(super) fn step(
    old: &ParsedTable,
    new: &TableSchema,
    change: &TableChange<'_>,
    hints: &Hints,
    indexes: Vec<String>,
) -> PlanStep {
    let copy = format!("{REBUILT}{}", new.name);
    let (from, to) = (identifier(&old.schema.name), identifier(&copy));
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    // Rowids are what virtual tables and rowid queries go by.
    let has_rowid = |table: &TableSchema| table.columns.iter().any(|column| table.is_rowid(column));
    if let Some(rowid) = free_rowid(&old.schema, new)
        && !has_rowid(new)
    {
        columns.push(rowid.to_owned());
        values.push(rowid.to_owned());
    }
    for (is, becomes) in change.kept.iter().filter(|(_, becomes)| becomes.generated.is_none()) {
        columns.push(identifier(&becomes.name));
        values.push(value(new, is, becomes, hints));
    }
    for column in change.added.iter().filter(|column| column.generated.is_none()) {
        if let Some(value) = hints.backfill(&new.name, &column.name) {
            columns.push(identifier(&column.name));
            values.push(value);
        }
    }
    let mut statements = vec![create::table(new, &copy)];
    if columns.is_empty() {
        // Nothing of a row is kept, but that there is one.
        let first = new.columns.iter().find(|column| column.generated.is_none());
        let default =
            first.and_then(|column| column.default.as_deref()).map_or("NULL".to_owned(), create::value);
        let name = first.map_or_else(String::new, |column| identifier(&column.name));
        statements.push(format!("INSERT INTO {to}({name}) SELECT {default} FROM {from}"));
    } else {
        let (columns, values) = (columns.join(", "), values.join(", "));
        statements.push(format!("INSERT INTO {to}({columns}) SELECT {values} FROM {from}"));
    }
    if old.schema.autoincrement && new.autoincrement {
        // The highest number that was ever given must not be given again.
        statements.push(format!("DELETE FROM sqlite_sequence WHERE name = {}", literal(&copy)));
        statements.push(format!(
            "INSERT INTO sqlite_sequence(name, seq) SELECT {}, seq FROM sqlite_sequence WHERE name = {}",
            literal(&copy),
            literal(&old.schema.name)
        ));
    }
    statements.push(format!("DROP TABLE {from}"));
    statements.push(format!("ALTER TABLE {to} RENAME TO {}", identifier(&new.name)));
    statements.extend(indexes);
    PlanStep { rebuild: true, ..PlanStep::new(PlanOp::RebuildTable, &new.name, statements) }
}

fn value(table: &TableSchema, is: &ColumnSchema, becomes: &ColumnSchema, hints: &Hints) -> String {
    let mut value = identifier(&is.name);
    if is.kind != becomes.kind {
        value = format!("CAST({value} AS {})", becomes.kind.as_str());
    }
    if becomes.not_null
        && !is.not_null
        && let Some(backfill) = hints.backfill(&table.name, &becomes.name)
    {
        value = format!("coalesce({value}, {backfill})");
    }
    value
}

/// A name of the rowid that no column of either table has.
fn free_rowid(old: &TableSchema, new: &TableSchema) -> Option<&'static str> {
    let is_free = |name: &&str| {
        let taken = |table: &TableSchema| table.columns.iter().any(|column| same_name(&column.name, name));
        !taken(old) && !taken(new)
    };
    ["_rowid_", "rowid", "oid"].into_iter().find(is_free)
}
