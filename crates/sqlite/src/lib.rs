//! Native storage: SQLite connections and the group-committing writer, migrations, and the files of page sync.

pub mod backups;
pub mod blank;
pub mod busy;
pub mod connection;
pub mod console;
pub mod deploy;
pub mod error;
pub mod fault;
mod ffi;
pub mod folder;
pub mod memory;
pub mod meta;
pub mod migrate;
pub mod pages;
pub mod sidecars;
pub mod sql;
pub mod template;
pub mod tracked;
pub mod wal_base;
pub mod writer;

pub use blank::Blank;
pub use error::{Error, Result};
pub use sql::NativeSql;
pub use template::TemplateDatabase;
pub use writer::{Applied, LentWriter, Transaction, Writer};

#[cfg(test)]
mod tests;
