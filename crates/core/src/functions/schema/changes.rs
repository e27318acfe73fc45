//! What of one table is another than it is declared.

use super::{
    expression::{mentions, same_option, same_sql},
    model::{ColumnSchema, ForeignKey, TableSchema, same_name},
    parse::ParsedTable,
};

/// How a table differs from what is declared.
#[derive(Debug, Default)]
pub(super) struct TableChange<'a> {
    /// Columns that are new.
    pub(super) added: Vec<&'a ColumnSchema>,
    /// Columns that are gone.
    pub(super) removed: Vec<&'a ColumnSchema>,
    /// Columns that stay: as they are, and as they are declared.
    pub(super) kept: Vec<(&'a ColumnSchema, &'a ColumnSchema)>,
    /// Foreign keys of new columns alone, which come with them.
    pub(super) keys_of_added: Vec<&'a ForeignKey>,
    /// Whether SQLite's `ALTER TABLE` cannot do it, whatever the rows hold.
    pub(super) is_rebuilt: bool,
}

impl<'a> TableChange<'a> {
    pub(super) fn of(old: &'a ParsedTable, new: &'a TableSchema) -> Self {
        let table = &old.schema;
        let mut change = Self::default();
        for column in &new.columns {
            match table.column(&column.name) {
                Some(existing) => change.kept.push((existing, column)),
                None => change.added.push(column),
            }
        }
        change.removed = table.columns.iter().filter(|column| new.column(&column.name).is_none()).collect();
        change.is_rebuilt = table.name != new.name
            || change.kept.iter().any(|(old, new)| !same_column(old, new))
            || !same_names(&table.primary_key, &new.primary_key)
            || table.autoincrement != new.autoincrement
            || !old.inline_uniques.is_empty()
            || !same_checks(table, new)
            || change.keys_change(table, new)
            || change.removed.iter().any(|column| is_bound(table, &column.name));
        change
    }

    /// Whether there is no difference.
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && !self.is_rebuilt
    }

    /// Whether foreign keys change otherwise than by new columns that bring one each.
    fn keys_change(&mut self, old: &'a TableSchema, new: &'a TableSchema) -> bool {
        if old.foreign_keys.iter().any(|key| !new.foreign_keys.iter().any(|other| same_key(key, other))) {
            return true;
        }
        for key in &new.foreign_keys {
            if old.foreign_keys.iter().any(|other| same_key(key, other)) {
                continue;
            }
            let comes_along = match &key.columns[..] {
                [column] => {
                    self.added.iter().any(|added| same_name(&added.name, column) && added.default.is_none())
                }
                _ => false,
            };
            if !comes_along {
                return true;
            }
            self.keys_of_added.push(key);
        }
        // A column takes one along, not two.
        let columns: std::collections::BTreeSet<String> = self
            .keys_of_added
            .iter()
            .flat_map(|key| &key.columns)
            .map(|name| name.to_ascii_lowercase())
            .collect();
        columns.len() < self.keys_of_added.len()
    }
}

/// Whether `ALTER TABLE … DROP COLUMN` refuses this column because of something else in the table.
fn is_bound(table: &TableSchema, column: &str) -> bool {
    table.is_key(column)
        || table.checks.iter().any(|check| mentions(&check.expression, column))
        || table.foreign_keys.iter().any(|key| key.columns.iter().any(|name| same_name(name, column)))
        || table
            .columns
            .iter()
            .filter_map(|other| other.generated.as_ref())
            .any(|generated| mentions(&generated.expression, column))
}

fn same_column(old: &ColumnSchema, new: &ColumnSchema) -> bool {
    let generated = match (&old.generated, &new.generated) {
        (Some(old), Some(new)) => old.stored == new.stored && same_sql(&old.expression, &new.expression),
        (None, None) => true,
        _ => false,
    };
    generated
        && old.name == new.name
        && old.kind == new.kind
        && old.not_null == new.not_null
        && same_option(old.default.as_deref(), new.default.as_deref())
}

fn same_names(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_name(a, b))
}

fn same_key(a: &ForeignKey, b: &ForeignKey) -> bool {
    same_names(&a.columns, &b.columns)
        && same_name(&a.table, &b.table)
        && same_names(&a.foreign_columns, &b.foreign_columns)
        && a.on_delete == b.on_delete
        && a.on_update == b.on_update
}

fn same_checks(old: &TableSchema, new: &TableSchema) -> bool {
    old.checks.len() == new.checks.len()
        && new.checks.iter().all(|check| {
            old.checks.iter().any(|other| {
                let same_title = match (&check.name, &other.name) {
                    (Some(a), Some(b)) => same_name(a, b),
                    (None, None) => true,
                    _ => false,
                };
                same_title && same_sql(&check.expression, &other.expression)
            })
        })
}
