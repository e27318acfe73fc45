//! People who look at a database: which tables it has, and what a statement of theirs finds. Such statements come from
//! outside, and the file may too (a pushed one): they run on a connection of their own, which can do nothing but read, and
//! is closed afterwards.

mod functions;
mod statement;
mod tables;

pub use statement::{ConsoleFailure, ConsoleSnapshot};
pub use tables::{TableInfo, TablesAfter, tables_after, tables_of_file};
