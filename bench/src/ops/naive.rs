//! What the engine is compared with: a log behind one mutex, with a transaction per op and a pull of everything by HLC.

use std::{path::Path, sync::Mutex};

use ferry_sqlite::connection::open_file;
use rusqlite::{Connection, OpenFlags};

/// The naive log.
pub(super) struct Naive(Mutex<Connection>);

impl Naive {
    pub(super) fn open(path: &Path) -> Self {
        let connection = open_file(path, OpenFlags::default()).expect("the file can be made");
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
                 CREATE TABLE ops(hlc TEXT, id TEXT PRIMARY KEY, raw TEXT); CREATE INDEX by_hlc ON ops(hlc)",
            )
            .expect("the schema is made");
        Self(Mutex::new(connection))
    }

    /// Stores each op in a transaction of its own.
    pub(super) fn push(&self, ops: &[String]) {
        let connection = self.0.lock().expect("nobody panics");
        for op in ops {
            let parsed: serde_json::Value = serde_json::from_str(op).expect("the op is JSON");
            let mut insert = connection
                .prepare_cached("INSERT OR IGNORE INTO ops(hlc, id, raw) VALUES (?1, ?2, ?3)")
                .expect("the statement is good");
            insert.execute((parsed["hlc"].as_str(), parsed["id"].as_str(), op)).expect("the op is stored");
        }
    }

    /// Everything behind an HLC, in one body.
    pub(super) fn pull(&self, after: &str) -> String {
        let connection = self.0.lock().expect("nobody panics");
        let mut select = connection
            .prepare_cached("SELECT raw FROM ops WHERE hlc > ?1 ORDER BY hlc")
            .expect("the statement is good");
        let ops: Vec<String> = select
            .query_map([after], |row| row.get(0))
            .and_then(Iterator::collect)
            .expect("the ops are read");
        format!("{{\"ops\":[{}]}}", ops.join(","))
    }
}
