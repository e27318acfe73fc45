//! A schema as values: what a deployment declares, and what a file is read as. Names are compared without case, as
//! SQLite compares them; all SQL is text whose qualifiers of its own table are taken off.

use std::fmt;

use serde::Serialize;

use crate::records::sqlite::FieldType;

/// Tables, indexes, views and collections of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseSchema {
    /// Tables.
    pub tables: Vec<TableSchema>,
    /// Indexes; what is declared as unique is one of them.
    pub indexes: Vec<IndexSchema>,
    /// Views.
    pub views: Vec<ViewSchema>,
    /// Collections of records (FUN-80).
    pub collections: Vec<CollectionSchema>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableSchema {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ColumnSchema>,
    /// Columns of the primary key, in its order; may be empty.
    pub primary_key: Vec<String>,
    /// `AUTOINCREMENT`.
    pub autoincrement: bool,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Checks.
    pub checks: Vec<CheckConstraint>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// `NOT NULL`; always of a key that is the rowid.
    pub not_null: bool,
    /// An expression.
    pub default: Option<String>,
    /// What it is computed from.
    pub generated: Option<GeneratedColumn>,
}

/// The types of SQLite (documentation, "Datatypes", section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// `INTEGER`
    Integer,
    /// `TEXT`
    Text,
    /// `REAL`
    Real,
    /// `BLOB`
    Blob,
    /// `NUMERIC`
    Numeric,
}

/// A computed column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GeneratedColumn {
    /// An expression.
    pub expression: String,
    /// `STORED`, not `VIRTUAL`.
    pub stored: bool,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForeignKey {
    /// Columns of its table.
    pub columns: Vec<String>,
    /// The other table.
    pub table: String,
    /// Columns of that one.
    pub foreign_columns: Vec<String>,
    /// When a row of the other table goes.
    pub on_delete: ForeignKeyAction,
    /// When its key changes.
    pub on_update: ForeignKeyAction,
}

/// What becomes of rows that refer to one that goes or changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeyAction {
    /// `NO ACTION`
    #[default]
    NoAction,
    /// `RESTRICT`
    Restrict,
    /// `CASCADE`
    Cascade,
    /// `SET NULL`
    SetNull,
    /// `SET DEFAULT`
    SetDefault,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckConstraint {
    /// Its name; may be missing where a file is read.
    pub name: Option<String>,
    /// An expression.
    pub expression: String,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexSchema {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// Its columns: names or expressions, as SQL.
    pub columns: Vec<String>,
    /// `UNIQUE`
    pub unique: bool,
    /// The rows that it holds.
    #[serde(rename = "where")]
    pub condition: Option<String>,
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewSchema {
    /// Its name.
    pub name: String,
    /// Its `SELECT`.
    pub sql: String,
}

/// A collection of records that functions see as a table (FUN-80).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectionSchema {
    /// Name of the view, and of the collection.
    pub name: String,
    /// The app whose collection it is.
    pub app: String,
    /// Its declared fields.
    pub fields: Vec<CollectionField>,
}

/// A declared field of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectionField {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether it has an index.
    pub index: bool,
}

impl ColumnType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Integer, Self::Text, Self::Real, Self::Blob, Self::Numeric];

    /// The word in schemas and hints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Real => "real",
            Self::Blob => "blob",
            Self::Numeric => "numeric",
        }
    }

    /// The type with this word, whatever its case.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| word.eq_ignore_ascii_case(kind.as_str()))
    }

    /// The affinity of a declared type (SQLite documentation, "Datatypes", 3.1).
    #[must_use]
    pub fn affinity_of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if declared.is_empty() || has("BLOB") {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ForeignKeyAction {
    const ALL: [Self; 5] = [Self::NoAction, Self::Restrict, Self::Cascade, Self::SetNull, Self::SetDefault];

    /// As SQL has it, in lower case.
    #[must_use]
    pub const fn as_sql(self) -> &'static str {
        match self {
            Self::NoAction => "no action",
            Self::Restrict => "restrict",
            Self::Cascade => "cascade",
            Self::SetNull => "set null",
            Self::SetDefault => "set default",
        }
    }

    /// The action with this name, whatever its case.
    #[must_use]
    pub fn of_sql(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| text.eq_ignore_ascii_case(action.as_sql()))
    }
}

impl DatabaseSchema {
    /// The table called `name`.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.iter().find(|table| same_name(&table.name, name))
    }

    /// The names of tables, indexes, views and collections.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let tables = self.tables.iter().map(|table| &*table.name);
        let indexes = self.indexes.iter().map(|index| &*index.name);
        let views = self.views.iter().map(|view| &*view.name);
        tables.chain(indexes).chain(views).chain(self.collections.iter().map(|one| &*one.name))
    }
}

impl TableSchema {
    /// Brings what can be said in two ways into one: a rowid is never null.
    pub(super) fn settle(&mut self) {
        let rowid = self.columns.iter().position(|column| self.is_rowid(column));
        if let Some(column) = rowid {
            self.columns[column].not_null = true;
        }
    }

    /// The column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.columns.iter().find(|column| same_name(&column.name, name))
    }

    /// Whether that column is another name of the rowid.
    #[must_use]
    pub fn is_rowid(&self, column: &ColumnSchema) -> bool {
        matches!(&self.primary_key[..], [key] if same_name(key, &column.name))
            && column.kind == ColumnType::Integer
    }

    /// Whether that column belongs to the primary key.
    #[must_use]
    pub fn is_key(&self, column: &str) -> bool {
        self.primary_key.iter().any(|key| same_name(key, column))
    }
}

/// Whether SQLite takes both for the same name.
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
