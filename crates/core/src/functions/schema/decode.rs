//! The schema that a bundle exports, as JSON. Whatever is wrong is told with the table and column that it is about.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    CHECKS_MAX, COLUMNS_MAX, FIELDS_MAX, INDEXES_MAX, NAME_MAX_BYTES, OBJECTS_MAX,
    expression::{self, unqualified},
    model::{
        CheckConstraint, CollectionField, CollectionSchema, ColumnSchema, ColumnType, DatabaseSchema,
        ForeignKey, ForeignKeyAction, GeneratedColumn, IndexSchema, TableSchema, ViewSchema, same_name,
    },
    reserved,
};
use crate::records::sqlite::{FieldType, is_view_column};

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchema {
    /// It is not what a schema is, or contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// It takes a name that is not the application's to take.
    #[error("{0}")]
    Reserved(String),
}

fn bad<T>(message: impl Into<String>) -> Result<T, BadSchema> {
    Err(BadSchema::Invalid(message.into()))
}

/// The only version there is.
const VERSION: u64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSchema {
    version: u64,
    #[serde(default)]
    tables: Vec<RawTable>,
    #[serde(default)]
    indexes: Vec<RawIndex>,
    #[serde(default)]
    views: Vec<RawView>,
    #[serde(default)]
    collections: Vec<RawCollection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawTable {
    name: String,
    columns: Vec<RawColumn>,
    primary_key: Option<RawColumns>,
    #[serde(default)]
    uniques: Vec<RawColumns>,
    #[serde(default)]
    foreign_keys: Vec<RawForeignKey>,
    #[serde(default)]
    checks: Vec<RawCheck>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    not_null: bool,
    #[serde(default)]
    primary_key: bool,
    #[serde(default)]
    autoincrement: bool,
    unique: Option<String>,
    default: Option<String>,
    generated: Option<RawGenerated>,
    /// What drizzle makes of values; the database knows nothing of it.
    #[serde(default, rename = "mode")]
    _mode: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGenerated {
    #[serde(rename = "as")]
    expression: String,
    mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumns {
    name: Option<String>,
    columns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawForeignKey {
    #[serde(default, rename = "name")]
    _name: Option<serde::de::IgnoredAny>,
    columns: Vec<String>,
    foreign_table: String,
    #[serde(default)]
    foreign_columns: Vec<String>,
    on_delete: Option<String>,
    on_update: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    name: Option<String>,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIndex {
    name: String,
    table: String,
    columns: Vec<String>,
    #[serde(default)]
    unique: bool,
    #[serde(rename = "where")]
    condition: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawView {
    name: String,
    sql: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCollection {
    name: String,
    app: String,
    #[serde(default)]
    fields: Vec<RawField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: bool,
}

impl DatabaseSchema {
    /// Reads a declared schema.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_json(json: &str) -> Result<Self, BadSchema> {
        let raw: RawSchema =
            serde_json::from_str(json).map_err(|error| BadSchema::Invalid(format!("schema: {error}")))?;
        if raw.version != VERSION {
            return bad(format!(
                "schema: version {} is not known to this hub, which takes {VERSION}: update the hub",
                raw.version
            ));
        }
        let objects = raw.tables.len() + raw.views.len() + raw.collections.len();
        if objects > OBJECTS_MAX {
            return bad(format!("schema: {objects} tables, views and collections; at most {OBJECTS_MAX}"));
        }
        let mut schema = Self::default();
        for table in raw.tables {
            let table = read_table(table, &mut schema.indexes)?;
            schema.tables.push(table);
        }
        for index in raw.indexes {
            schema.indexes.push(read_index(index)?);
        }
        if schema.indexes.len() > INDEXES_MAX {
            return bad(format!("schema: {} indexes; at most {INDEXES_MAX}", schema.indexes.len()));
        }
        for view in raw.views {
            piece(&view.sql, || format!("view {}", view.name))?;
            schema.views.push(ViewSchema { name: view.name, sql: view.sql.trim().to_owned() });
        }
        for collection in raw.collections {
            schema.collections.push(read_collection(collection)?);
        }
        schema.check()?;
        Ok(schema)
    }

    /// Whether its parts fit each other, and take only names that are theirs to take.
    fn check(&self) -> Result<(), BadSchema> {
        let mut taken = BTreeSet::new();
        for name in self.names() {
            check_name(name, || "schema".to_owned())?;
            if let Some(reason) = reserved::reason(name) {
                return Err(BadSchema::Reserved(format!("{name}: {reason}")));
            }
            if !taken.insert(name.to_ascii_lowercase()) {
                return bad(format!("{name}: two tables, indexes, views or collections have this name"));
            }
        }
        for index in &self.indexes {
            if self.table(&index.table).is_none() {
                return bad(format!("index {}: the schema has no table {}", index.name, index.table));
            }
        }
        for table in &self.tables {
            for key in &table.foreign_keys {
                self.check_foreign_key(table, key)?;
            }
        }
        Ok(())
    }

    fn check_foreign_key(&self, table: &TableSchema, key: &ForeignKey) -> Result<(), BadSchema> {
        let place = format!("{}.{}", table.name, key.columns.join(", "));
        let Some(other) = self.table(&key.table) else {
            return bad(format!("{place}: it refers to a table {} that the schema does not have", key.table));
        };
        if key.columns.is_empty() || key.columns.len() != key.foreign_columns.len() {
            return bad(format!("{place}: a foreign key has as many columns as what it refers to"));
        }
        for column in &key.foreign_columns {
            if other.column(column).is_none() {
                return bad(format!("{place}: it refers to {}.{column}, which does not exist", other.name));
            }
        }
        // Without such a key SQLite refuses every write of the table.
        let names = |columns: &[String]| {
            columns.iter().map(|name| name.to_ascii_lowercase()).collect::<BTreeSet<_>>()
        };
        let wanted = names(&key.foreign_columns);
        let is_unique = names(&other.primary_key) == wanted
            || self.indexes.iter().any(|index| {
                let columns = index.columns.iter().map(|column| expression::normal(column));
                index.unique
                    && index.condition.is_none()
                    && same_name(&index.table, &other.name)
                    && columns.collect::<BTreeSet<_>>() == wanted
            });
        if !is_unique {
            return bad(format!(
                "{place}: it refers to {}({}), which is neither the primary key nor unique",
                other.name,
                key.foreign_columns.join(", ")
            ));
        }
        Ok(())
    }
}

fn check_name(name: &str, place: impl Fn() -> String) -> Result<(), BadSchema> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES || name.chars().any(char::is_control) {
        return bad(format!(
            "{}: a name has 1 to {NAME_MAX_BYTES} bytes, none of them a control character",
            place()
        ));
    }
    Ok(())
}

fn piece(sql: &str, place: impl Fn() -> String) -> Result<(), BadSchema> {
    expression::check(sql).map_err(|wrong| BadSchema::Invalid(format!("{}: {sql}: {wrong}", place())))
}

fn read_table(raw: RawTable, indexes: &mut Vec<IndexSchema>) -> Result<TableSchema, BadSchema> {
    let name = raw.name;
    check_name(&name, || "table".to_owned())?;
    if raw.columns.is_empty() || raw.columns.len() > COLUMNS_MAX {
        return bad(format!("{name}: a table has 1 to {COLUMNS_MAX} columns"));
    }
    let mut table = TableSchema { name, ..TableSchema::default() };
    for column in raw.columns {
        let (column, unique) = read_column(column, &mut table)?;
        if let Some(index_name) = unique {
            indexes.push(unique_index(index_name, &table.name, std::slice::from_ref(&column.name)));
        }
        table.columns.push(column);
    }
    if let Some(key) = raw.primary_key {
        if !table.primary_key.is_empty() {
            return bad(format!("{}: it has two primary keys", table.name));
        }
        table.primary_key = key.columns;
    }
    for unique in raw.uniques {
        let columns = unique.columns;
        let index_name =
            unique.name.unwrap_or_else(|| format!("{}_{}_unique", table.name, columns.join("_")));
        known_columns(&table, &columns, "a unique constraint")?;
        indexes.push(unique_index(index_name, &table.name, &columns));
    }
    for key in raw.foreign_keys {
        table.foreign_keys.push(read_foreign_key(key, &table)?);
    }
    if raw.checks.len() > CHECKS_MAX {
        return bad(format!("{}: at most {CHECKS_MAX} checks", table.name));
    }
    for check in raw.checks {
        piece(&check.value, || {
            format!("{}: check {}", table.name, check.name.as_deref().unwrap_or_default())
        })?;
        let expression = unqualified(&check.value, &table.name);
        table.checks.push(CheckConstraint { name: check.name, expression });
    }
    finish_table(table)
}

/// What a table must keep to, whoever declared it.
fn finish_table(mut table: TableSchema) -> Result<TableSchema, BadSchema> {
    let mut taken = BTreeSet::new();
    for column in &table.columns {
        if !taken.insert(column.name.to_ascii_lowercase()) {
            return bad(format!("{}.{}: two columns have this name", table.name, column.name));
        }
    }
    known_columns(&table, &table.primary_key, "the primary key")?;
    if table.columns.iter().all(|column| column.generated.is_some()) {
        return bad(format!("{}: a table has a column that is not generated", table.name));
    }
    if let Some(column) = table.columns.iter().find(|one| one.generated.is_some() && table.is_key(&one.name))
    {
        return bad(format!("{}.{}: a generated column cannot be a primary key", table.name, column.name));
    }
    if table.autoincrement && !table.columns.iter().any(|column| table.is_rowid(column)) {
        return bad(format!("{}: autoincrement needs a primary key of one integer column", table.name));
    }
    table.settle();
    Ok(table)
}

fn known_columns(table: &TableSchema, columns: &[String], what: &str) -> Result<(), BadSchema> {
    match columns.iter().find(|column| table.column(column).is_none()) {
        Some(unknown) => {
            bad(format!("{}.{unknown}: {what} names it, and the table has no such column", table.name))
        }
        None if columns.is_empty() && what != "the primary key" => {
            bad(format!("{}: {what} has no columns", table.name))
        }
        None => Ok(()),
    }
}

fn unique_index(name: String, table: &str, columns: &[String]) -> IndexSchema {
    let columns = columns.iter().map(|column| crate::sql_text::identifier(column)).collect();
    IndexSchema { name, table: table.to_owned(), columns, unique: true, condition: None }
}

fn read_column(raw: RawColumn, table: &mut TableSchema) -> Result<(ColumnSchema, Option<String>), BadSchema> {
    let place = || format!("{}.{}", table.name, raw.name);
    check_name(&raw.name, place)?;
    let Some(kind) = ColumnType::of_word(&raw.kind) else {
        return bad(format!("{}: type {} is none of integer, text, real, blob, numeric", place(), raw.kind));
    };
    if let Some(default) = &raw.default {
        piece(default, || format!("{}: default", place()))?;
    }
    let generated = match raw.generated {
        Some(_) if raw.default.is_some() => {
            return bad(format!("{}: a generated column has no default", place()));
        }
        Some(generated) => {
            piece(&generated.expression, || format!("{}: generated", place()))?;
            let stored = match generated.mode.as_deref() {
                Some("stored") => true,
                Some("virtual") | None => false,
                Some(other) => return bad(format!("{}: generated: mode {other}", place())),
            };
            Some(GeneratedColumn { expression: unqualified(&generated.expression, &table.name), stored })
        }
        None => None,
    };
    if raw.primary_key {
        if !table.primary_key.is_empty() {
            let message = "two columns are the primary key; name both in primaryKey";
            return bad(format!("{}: {message}", place()));
        }
        table.primary_key.push(raw.name.clone());
    }
    table.autoincrement |= raw.autoincrement;
    let column =
        ColumnSchema { name: raw.name, kind, not_null: raw.not_null, default: raw.default, generated };
    Ok((column, raw.unique))
}

fn read_foreign_key(raw: RawForeignKey, table: &TableSchema) -> Result<ForeignKey, BadSchema> {
    known_columns(table, &raw.columns, "a foreign key")?;
    let action = |text: Option<String>| match text {
        None => Ok(ForeignKeyAction::NoAction),
        Some(text) => ForeignKeyAction::of_sql(&text).map_or_else(
            || bad(format!("{}.{}: {text} is no action", table.name, raw.columns.join(", "))),
            Ok,
        ),
    };
    let (on_delete, on_update) = (action(raw.on_delete)?, action(raw.on_update)?);
    let (columns, foreign_columns) = (raw.columns, raw.foreign_columns);
    Ok(ForeignKey { columns, table: raw.foreign_table, foreign_columns, on_delete, on_update })
}

fn read_index(raw: RawIndex) -> Result<IndexSchema, BadSchema> {
    let place = || format!("index {}", raw.name);
    if raw.columns.is_empty() || raw.columns.len() > COLUMNS_MAX {
        return bad(format!("{}: an index has 1 to {COLUMNS_MAX} columns", place()));
    }
    for sql in raw.columns.iter().chain(&raw.condition) {
        piece(sql, place)?;
    }
    Ok(IndexSchema {
        columns: raw.columns.iter().map(|sql| unqualified(sql, &raw.table)).collect(),
        condition: raw.condition.as_ref().map(|sql| unqualified(sql, &raw.table)),
        name: raw.name,
        table: raw.table,
        unique: raw.unique,
    })
}

fn read_collection(raw: RawCollection) -> Result<CollectionSchema, BadSchema> {
    let name = raw.name;
    check_name(&raw.app, || format!("collection {name}: app"))?;
    if raw.fields.len() > FIELDS_MAX {
        return bad(format!("collection {name}: at most {FIELDS_MAX} fields"));
    }
    let mut taken = BTreeSet::new();
    let mut fields = Vec::new();
    for field in raw.fields {
        let place = || format!("{name}.{}", field.name);
        check_name(&field.name, place)?;
        let kind = match &*field.kind {
            "boolean" => FieldType::Boolean,
            "json" => FieldType::Json,
            word if ColumnType::of_word(word).is_some() => FieldType::Plain,
            other => return bad(format!("{}: type {other} is not known", place())),
        };
        if !is_view_column(&field.name) {
            return bad(format!("{}: every collection has this column, or it cannot be one", place()));
        }
        if !taken.insert(field.name.to_ascii_lowercase()) {
            return bad(format!("{}: two fields have this name", place()));
        }
        fields.push(CollectionField { kind, index: field.index, name: field.name });
    }
    Ok(CollectionSchema { name, app: raw.app, fields })
}

#[cfg(test)]
mod tests;
