//! What tables, indexes, views and collections an application has: as its code declares them, as a file holds them, and
//! the steps from one to the other (functions specification, 3.7).
//!
//! `decode` reads what is declared, `read` what is there (`parse`: from the text that SQLite keeps), `diff` compares them
//! and asks where it would have to guess, `create` writes SQL.

mod changes;
mod collections;
mod create;
mod decode;
mod diff;
mod expression;
mod facts;
mod hash;
mod hints;
mod lexer;
mod model;
mod parse;
mod plan;
mod read;
mod rebuild;
mod renames;
pub mod reserved;
mod statements;
#[cfg(test)]
mod tests;

pub use decode::BadSchema;
pub use diff::diff;
pub use expression::{BadSql, same_sql};
pub use facts::Facts;
pub use hash::schema_hash;
pub use hints::{BadHint, Hints};
pub use model::{
    CheckConstraint, CollectionField, CollectionSchema, ColumnSchema, ColumnType, DatabaseSchema, ForeignKey,
    ForeignKeyAction, GeneratedColumn, IndexSchema, TableSchema, ViewSchema, same_name,
};
pub use parse::ParsedTable;
pub use plan::{LossyCast, PlanOp, PlanStep, SchemaLoss, SchemaPlan, SchemaQuestion};
pub use read::{ExistingSchema, SchemaObject};
pub use statements::{SchemaWords, SqlStatement, TriggerEvent, statements};

use ferry_types::limits::{
    FUNCTIONS_SCHEMA_CHECKS_MAX as CHECKS_MAX, FUNCTIONS_SCHEMA_COLUMNS_MAX as COLUMNS_MAX,
    FUNCTIONS_SCHEMA_FIELDS_MAX as FIELDS_MAX, FUNCTIONS_SCHEMA_HINTS_MAX as HINTS_MAX,
    FUNCTIONS_SCHEMA_INDEXES_MAX as INDEXES_MAX, FUNCTIONS_SCHEMA_NAME_MAX_BYTES as NAME_MAX_BYTES,
    FUNCTIONS_SCHEMA_OBJECTS_MAX as OBJECTS_MAX, FUNCTIONS_SCHEMA_SQL_MAX_BYTES as SQL_MAX_BYTES,
};
