//! What a file holds of an application: everything in its schema that is neither SQLite's nor the hub's.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    model::{ForeignKey, IndexSchema, ViewSchema, same_name},
    parse::{self, ParsedTable},
    reserved::{INDEX_PREFIX, is_reserved},
};
use crate::sql::Sql;

/// An entry of `sqlite_schema`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaObject {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The table or view that it is of.
    pub table: String,
    /// The statement that makes it.
    pub sql: String,
}

/// What a file holds of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExistingSchema {
    /// Tables that are read.
    pub tables: Vec<ParsedTable>,
    /// Indexes that are no part of their tables.
    pub indexes: Vec<IndexSchema>,
    /// Views.
    pub views: Vec<ViewSchema>,
    /// All of it, as the file has it.
    pub objects: Vec<SchemaObject>,
    /// Indexes of collections, which lie over the hub's own tables.
    pub(super) collection_indexes: BTreeMap<String, String>,
}

impl ExistingSchema {
    /// Reads the schema of a file.
    ///
    /// # Errors
    /// What storage reports.
    pub fn read<S: Sql>(sql: &S) -> Result<Self, S::Error> {
        let mut found = Self::default();
        let all =
            "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name";
        sql.query(all, &[], &mut |row| {
            let text = |column| row.text(column).map(str::to_owned);
            let object = SchemaObject { kind: text(0)?, name: text(1)?, table: text(2)?, sql: text(3)? };
            if object.kind == "index" && object.name.starts_with(INDEX_PREFIX) {
                found.collection_indexes.insert(object.name, object.sql);
            } else if !is_reserved(&object.name) && !is_reserved(&object.table) {
                found.take(object);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.complete_foreign_keys();
        Ok(found)
    }

    fn take(&mut self, object: SchemaObject) {
        match &*object.kind {
            "table" => self.tables.extend(parse::table(&object.sql)),
            "index" => self.indexes.extend(parse::index(&object.sql)),
            "view" => self.views.extend(parse::view(&object.sql)),
            _ => {}
        }
        self.objects.push(object);
    }

    /// `REFERENCES t` means its primary key.
    fn complete_foreign_keys(&mut self) {
        let keys: BTreeMap<String, Vec<String>> = self
            .tables
            .iter()
            .map(|table| (table.schema.name.to_ascii_lowercase(), table.schema.primary_key.clone()))
            .collect();
        let complete = |key: &mut ForeignKey| {
            if key.foreign_columns.is_empty()
                && let Some(columns) = keys.get(&key.table.to_ascii_lowercase())
            {
                key.foreign_columns.clone_from(columns);
            }
        };
        self.tables.iter_mut().flat_map(|table| &mut table.schema.foreign_keys).for_each(complete);
    }

    /// The table called `name`.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&ParsedTable> {
        self.tables.iter().find(|table| same_name(&table.schema.name, name))
    }

    /// The index called `name`.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<&IndexSchema> {
        self.indexes.iter().find(|index| same_name(&index.name, name))
    }

    /// The view called `name`.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&ViewSchema> {
        self.views.iter().find(|view| same_name(&view.name, name))
    }

    /// What is called `name`, of whatever kind but a trigger, which has names of its own.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<&SchemaObject> {
        self.objects.iter().find(|object| object.kind != "trigger" && same_name(&object.name, name))
    }

    /// A digest of it: two files with the same one have the same schema to the letter.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let objects = self.objects.iter().map(|object| (&object.kind, &object.name, &object.sql));
        let kind = "index".to_owned();
        let indexes = self.collection_indexes.iter().map(|(name, sql)| (&kind, name, sql));
        for (kind, name, sql) in objects.chain(indexes) {
            for part in [kind, name, sql] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finalize().to_hex().as_str()[..32].to_owned()
    }
}
