//! The digest of a declared schema: the same for schemas that ask the same of a database, in whatever order they name it.

use super::{
    expression::normal,
    model::{DatabaseSchema, TableSchema},
};

/// 32 hex digits.
#[must_use]
pub fn schema_hash(schema: &DatabaseSchema) -> String {
    let canonical = canonical(schema);
    let json = serde_json::to_vec(&canonical).expect("BUG: a schema is plain data");
    blake3::hash(&json).to_hex().as_str()[..32].to_owned()
}

/// The same with everything in one order and one spelling.
fn canonical(schema: &DatabaseSchema) -> DatabaseSchema {
    let mut schema = schema.clone();
    schema.tables.iter_mut().for_each(settle);
    for index in &mut schema.indexes {
        lower(&mut index.table);
        index.columns.iter_mut().for_each(normalize);
        index.condition.iter_mut().for_each(normalize);
    }
    schema.views.iter_mut().for_each(|view| normalize(&mut view.sql));
    for collection in &mut schema.collections {
        collection.fields.sort_by(|a, b| a.name.cmp(&b.name));
    }
    schema.tables.sort_by(|a, b| a.name.cmp(&b.name));
    schema.indexes.sort_by(|a, b| a.name.cmp(&b.name));
    schema.views.sort_by(|a, b| a.name.cmp(&b.name));
    schema.collections.sort_by(|a, b| a.name.cmp(&b.name));
    schema
}

fn settle(table: &mut TableSchema) {
    table.primary_key.iter_mut().for_each(|name| lower(name));
    for column in &mut table.columns {
        column.default.iter_mut().for_each(normalize);
        column.generated.iter_mut().for_each(|generated| normalize(&mut generated.expression));
    }
    for key in &mut table.foreign_keys {
        lower(&mut key.table);
        key.columns.iter_mut().chain(&mut key.foreign_columns).for_each(|name| lower(name));
    }
    table.checks.iter_mut().for_each(|check| normalize(&mut check.expression));
    table.columns.sort_by(|a, b| a.name.cmp(&b.name));
    table.checks.sort_by(|a, b| (&a.name, &a.expression).cmp(&(&b.name, &b.expression)));
    table.foreign_keys.sort_by(|a, b| (&a.columns, &a.table).cmp(&(&b.columns, &b.table)));
}

fn lower(name: &mut str) {
    name.make_ascii_lowercase();
}

fn normalize(sql: &mut String) {
    *sql = normal(sql);
}
