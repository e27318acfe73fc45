//! The SQL that makes what a schema declares.

use super::{
    expression::is_plain_value,
    model::{ColumnSchema, ForeignKey, IndexSchema, TableSchema, ViewSchema, same_name},
};
use crate::sql_text::identifier;

/// `CREATE TABLE` under the name `name`.
pub(super) fn table(table: &TableSchema, name: &str) -> String {
    let mut parts: Vec<String> = table.columns.iter().map(|column| column_of(table, column)).collect();
    if table.primary_key.len() > 1 {
        parts.push(format!("PRIMARY KEY({})", names(&table.primary_key)));
    }
    for check in &table.checks {
        let named = check.name.as_ref().map(|name| format!("CONSTRAINT {} ", identifier(name)));
        parts.push(format!("{}CHECK({})", named.unwrap_or_default(), check.expression));
    }
    for key in &table.foreign_keys {
        parts.push(format!("FOREIGN KEY({}) {}", names(&key.columns), references(key)));
    }
    format!("CREATE TABLE {} (\n\t{}\n)", identifier(name), parts.join(",\n\t"))
}

fn column_of(table: &TableSchema, column: &ColumnSchema) -> String {
    let mut text = format!("{} {}", identifier(&column.name), column.kind);
    if matches!(&table.primary_key[..], [key] if same_name(key, &column.name)) {
        text.push_str(" PRIMARY KEY");
        if table.autoincrement {
            text.push_str(" AUTOINCREMENT");
        }
    }
    text + &behind_type(column)
}

/// What stands behind the type of a column that is no key.
fn behind_type(column: &ColumnSchema) -> String {
    let mut text = String::new();
    if let Some(generated) = &column.generated {
        let mode = if generated.stored { "STORED" } else { "VIRTUAL" };
        text = format!(" GENERATED ALWAYS AS ({}) {mode}", generated.expression);
    }
    if let Some(default) = &column.default {
        text = format!(" DEFAULT {}", value(default));
    }
    if column.not_null {
        text.push_str(" NOT NULL");
    }
    text
}

/// A default as `DEFAULT` takes it.
pub(super) fn value(default: &str) -> String {
    if is_plain_value(default) { default.trim().to_owned() } else { format!("({default})") }
}

fn references(key: &ForeignKey) -> String {
    format!(
        "REFERENCES {}({}) ON UPDATE {} ON DELETE {}",
        identifier(&key.table),
        names(&key.foreign_columns),
        key.on_update.as_sql(),
        key.on_delete.as_sql()
    )
}

/// `ALTER TABLE … ADD`, with the foreign key of that column alone if there is one.
pub(super) fn add_column(table: &str, column: &ColumnSchema, key: Option<&ForeignKey>) -> String {
    let references = key.map(|key| format!(" {}", references(key))).unwrap_or_default();
    format!(
        "ALTER TABLE {} ADD {} {}{}{references}",
        identifier(table),
        identifier(&column.name),
        column.kind,
        behind_type(column)
    )
}

/// `CREATE INDEX`.
pub(super) fn index(index: &IndexSchema) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let condition = index.condition.as_ref().map(|sql| format!(" WHERE {sql}")).unwrap_or_default();
    format!(
        "CREATE {unique}INDEX {} ON {} ({}){condition}",
        identifier(&index.name),
        identifier(&index.table),
        index.columns.join(", ")
    )
}

/// `CREATE VIEW`.
pub(super) fn view(view: &ViewSchema) -> String {
    format!("CREATE VIEW {} AS {}", identifier(&view.name), view.sql)
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| identifier(column)).collect::<Vec<_>>().join(", ")
}
