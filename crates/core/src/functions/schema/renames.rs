//! Names that change: which hints hold, the statements, and what a schema looks like afterwards.

use std::collections::BTreeSet;

use super::{
    expression::renamed,
    hints::{Hints, names},
    model::{IndexSchema, TableSchema, same_name},
    plan::{PlanOp, PlanStep},
    read::ExistingSchema,
};
use crate::sql_text::identifier;

/// What begins the names under which others wait for theirs to become free.
const BETWEEN: &str = "__ferry_renamed_";

/// Names that change. Columns come with the new name of their table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Renames {
    /// Old name, new name.
    tables: Vec<(String, String)>,
    /// New name of the table, old name of the column, new name.
    columns: Vec<(String, String, String)>,
    /// Hints that nothing answers to.
    pub(super) unused: Vec<String>,
}

/// Which hints rename something that is there into something that is wanted.
pub(super) fn of(existing: &ExistingSchema, target: &[TableSchema], hints: &Hints) -> Renames {
    let mut found = Renames::default();
    let has = |name: &str| existing.table(name).is_some();
    let wants = |name: &str| target.iter().find(|table| same_name(&table.name, name));
    let leaves = |name: &str| hints.renames.keys().any(|from| same_name(from, name));
    for (from, to) in hints.renames.iter().filter(|(from, _)| !from.contains('.')) {
        match wants(to) {
            Some(table) if has(from) && !same_name(from, to) && (!has(to) || leaves(to)) => {
                found.tables.push((from.clone(), table.name.clone()));
            }
            _ => found.unused.push(format!("rename {from}={to}: nothing to rename")),
        }
    }
    for (from, to) in hints.renames.iter().filter(|(from, _)| from.contains('.')) {
        if !found.take_column(existing, target, (from, to), hints) {
            found.unused.push(format!("rename {from}={to}: nothing to rename"));
        }
    }
    found.keep_possible(existing);
    found
}

impl Renames {
    /// Leaves out what takes a name that stays in use: what has it is renamed by a hint that came to nothing.
    fn keep_possible(&mut self, existing: &ExistingSchema) {
        let stays = |pairs: &[(String, String)], to: &str| !pairs.iter().any(|(from, _)| same_name(from, to));
        while let Some(at) =
            self.tables.iter().position(|(_, to)| existing.table(to).is_some() && stays(&self.tables, to))
        {
            let (from, to) = self.tables.remove(at);
            self.unused.push(format!("rename {from}={to}: {to} is there, and keeps its name"));
        }
        while let Some(at) = self.columns.iter().position(|(table, _, to)| {
            let old = existing.table(self.old_table(table));
            let is_there = old.is_some_and(|old| old.schema.column(to).is_some());
            let mut of_table = self.columns.iter().filter(|(name, ..)| same_name(name, table));
            is_there && !of_table.any(|(_, from, _)| same_name(from, to))
        }) {
            let (table, from, to) = self.columns.remove(at);
            self.unused
                .push(format!("rename {table}.{from}={table}.{to}: {to} is there, and keeps its name"));
        }
    }

    fn take_column(
        &mut self,
        existing: &ExistingSchema,
        target: &[TableSchema],
        (from, to): (&str, &str),
        hints: &Hints,
    ) -> bool {
        for table in target {
            let old_name = self.old_table(&table.name).to_owned();
            let Some(old) = existing.table(&old_name) else { continue };
            let is_from = |column: &str| names(from, &old_name, column) || names(from, &table.name, column);
            let is_to = |column: &str| names(to, &old_name, column) || names(to, &table.name, column);
            let old_column = old.schema.columns.iter().find(|column| is_from(&column.name));
            let new_column = table.columns.iter().find(|column| is_to(&column.name));
            let (Some(old_column), Some(new_column)) = (old_column, new_column) else { continue };
            let name = &new_column.name;
            let leaves = || {
                let mut hinted = hints.renames.keys();
                hinted.any(|from| names(from, &old_name, name) || names(from, &table.name, name))
            };
            let is_free = old.schema.column(name).is_none() || leaves();
            if is_free && !same_name(&old_column.name, name) {
                self.columns.push((table.name.clone(), old_column.name.clone(), new_column.name.clone()));
                return true;
            }
        }
        false
    }

    /// What the table that will have this name is called now.
    pub(super) fn old_table<'a>(&'a self, name: &'a str) -> &'a str {
        self.tables.iter().find(|(_, to)| same_name(to, name)).map_or(name, |(from, _)| from)
    }

    /// What the column that will have this name is called now.
    pub(super) fn old_column<'a>(&'a self, table: &str, name: &'a str) -> &'a str {
        let of_table =
            |(in_table, _, to): &&(String, String, String)| same_name(in_table, table) && same_name(to, name);
        self.columns.iter().find(of_table).map_or(name, |(_, from, _)| from)
    }

    fn new_table<'a>(&'a self, name: &'a str) -> &'a str {
        self.tables.iter().find(|(from, _)| same_name(from, name)).map_or(name, |(_, to)| to)
    }

    fn columns_of(&self, table: &str) -> Vec<(&str, &str)> {
        let of_table = self.columns.iter().filter(|(name, ..)| same_name(name, table));
        of_table.map(|(_, from, to)| (&**from, &**to)).collect()
    }

    /// The steps. What takes a name that another one still has waits under a name of its own.
    pub(super) fn steps(&self, existing: &ExistingSchema) -> Vec<PlanStep> {
        let mut steps = Vec::new();
        let mut taken: BTreeSet<String> =
            existing.tables.iter().map(|table| table.schema.name.to_ascii_lowercase()).collect();
        let rename =
            |from: &str, to: &str| format!("ALTER TABLE {} RENAME TO {}", identifier(from), identifier(to));
        for (from, to) in in_order(&self.tables, &mut taken) {
            steps.push(PlanStep::new(PlanOp::RenameTable, &from, vec![rename(&from, &to)]));
        }
        let tables: BTreeSet<&str> = self.columns.iter().map(|(table, ..)| &**table).collect();
        for table in tables {
            let columns = existing.table(self.old_table(table)).map(|old| &old.schema.columns);
            let mut taken: BTreeSet<String> =
                columns.into_iter().flatten().map(|column| column.name.to_ascii_lowercase()).collect();
            let pairs: Vec<(String, String)> = self
                .columns_of(table)
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect();
            for (from, to) in in_order(&pairs, &mut taken) {
                let sql = format!(
                    "ALTER TABLE {} RENAME COLUMN {} TO {}",
                    identifier(table),
                    identifier(&from),
                    identifier(&to)
                );
                steps.push(PlanStep::new(PlanOp::RenameColumn, table, vec![sql]).column(&from));
            }
        }
        steps
    }

    /// What is there once the names have changed, as SQLite changes them in whatever refers to them.
    pub(super) fn applied(&self, existing: &ExistingSchema) -> ExistingSchema {
        let mut found = existing.clone();
        if self.tables.is_empty() && self.columns.is_empty() {
            return found;
        }
        for table in &mut found.tables {
            let name = self.new_table(&table.schema.name).to_owned();
            for unique in &mut table.inline_uniques {
                self.rename_columns(&name, unique);
            }
            self.rename_table(&mut table.schema, name);
        }
        for index in &mut found.indexes {
            self.rename_index(index);
        }
        found
    }

    fn rename_table(&self, table: &mut TableSchema, name: String) {
        let columns = self.columns_of(&name);
        self.rename_columns(&name, &mut table.primary_key);
        for column in &mut table.columns {
            if let Some((_, to)) = columns.iter().find(|(from, _)| same_name(from, &column.name)) {
                (*to).clone_into(&mut column.name);
            }
            if let Some(generated) = &mut column.generated {
                generated.expression = renamed(&generated.expression, &columns);
            }
        }
        for key in &mut table.foreign_keys {
            self.rename_columns(&name, &mut key.columns);
            key.table = self.new_table(&key.table).to_owned();
            let other = key.table.clone();
            self.rename_columns(&other, &mut key.foreign_columns);
        }
        for check in &mut table.checks {
            check.expression = renamed(&check.expression, &columns);
        }
        table.name = name;
    }

    fn rename_index(&self, index: &mut IndexSchema) {
        index.table = self.new_table(&index.table).to_owned();
        let columns = self.columns_of(&index.table);
        for sql in index.columns.iter_mut().chain(&mut index.condition) {
            *sql = renamed(sql, &columns);
        }
    }

    fn rename_columns(&self, table: &str, columns: &mut [String]) {
        let renames = self.columns_of(table);
        for column in columns {
            if let Some((_, to)) = renames.iter().find(|(from, _)| same_name(from, column)) {
                (*to).clone_into(column);
            }
        }
    }
}

/// Renames in an order in which each new name is free.
fn in_order(pairs: &[(String, String)], taken: &mut BTreeSet<String>) -> Vec<(String, String)> {
    let mut waiting: Vec<(String, String)> = pairs.to_vec();
    let mut done = Vec::new();
    while !waiting.is_empty() {
        let free = waiting.iter().position(|(_, to)| !taken.contains(&to.to_ascii_lowercase()));
        if let Some(at) = free {
            let (from, to) = waiting.remove(at);
            taken.remove(&from.to_ascii_lowercase());
            taken.insert(to.to_ascii_lowercase());
            done.push((from, to));
        } else {
            // They go round in a circle: the first one makes room.
            let (from, to) = waiting.remove(0);
            let between = format!("{BETWEEN}{}", done.len());
            taken.remove(&from.to_ascii_lowercase());
            taken.insert(between.clone());
            done.push((from, between.clone()));
            waiting.push((between, to));
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::{super::parse::ParsedTable, *};

    #[test]
    fn names_that_are_exchanged_take_turns() {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let mut taken: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
        let order = in_order(&[pair("a", "b"), pair("b", "a"), pair("c", "d")], &mut taken);
        let shown: Vec<String> =
            order.iter().map(|(from, to)| format!("{from}>{}", to.trim_start_matches(BETWEEN))).collect();
        assert_eq!(shown, ["c>d", "a>1", "b>a", "__ferry_renamed_1>b"]);
    }

    // Column b takes the name of column d, which stays: then a cannot take b's, and nobody waits for it for ever.
    #[test]
    fn a_name_that_stays_in_use_stops_all_who_wait_for_it() {
        let table = |columns: &[&str]| {
            let columns: Vec<String> =
                columns.iter().map(|name| format!("{{\"name\":\"{name}\",\"type\":\"text\"}}")).collect();
            let json = format!(
                "{{\"version\":1,\"tables\":[{{\"name\":\"t\",\"columns\":[{}]}}]}}",
                columns.join(",")
            );
            super::super::DatabaseSchema::from_json(&json).unwrap().tables
        };
        let existing = ExistingSchema {
            tables: table(&["a", "b", "d"])
                .into_iter()
                .map(|schema| ParsedTable { schema, ..ParsedTable::default() })
                .collect(),
            ..ExistingSchema::default()
        };
        let hint = |from: &str, to: &str| (format!("t.{from}"), format!("t.{to}"));
        let hints = Hints { renames: [hint("a", "b"), hint("b", "d")].into(), ..Hints::default() };
        let found = of(&existing, &table(&["b", "d"]), &hints);
        assert_eq!((found.columns.len(), found.unused.len()), (0, 2), "{found:?}");
        assert_eq!(found.steps(&existing).len(), 0);
    }
}
