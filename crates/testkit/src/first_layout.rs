//! Databases as the first layout of event sync left them: a table `eventlog_7_…` per store, whose text stands here as
//! that program wrote it.

use std::{fmt::Write as _, path::Path};

use rusqlite::{Connection, params};

/// The first registry.
const REGISTRY: &str = "CREATE TABLE IF NOT EXISTS _ferry_event_stores(
        store_id TEXT PRIMARY KEY, table_name TEXT NOT NULL,
        backend_id TEXT NOT NULL, head INTEGER NOT NULL, base INTEGER NOT NULL,
        event_count INTEGER NOT NULL, bytes INTEGER NOT NULL,
        state TEXT NOT NULL, created_at TEXT NOT NULL, last_created_at TEXT) STRICT, WITHOUT ROWID";

/// Turns the event tables of the database at `path`, which nobody has open, into those of the first layout: the file that
/// the first program would have left after the same calls.
///
/// # Panics
/// If the file holds no event tables, or cannot be written.
pub fn put_back(path: &Path) {
    let connection = Connection::open(path).expect("the file can be opened");
    let run = |sql: &str| connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run("BEGIN");
    file_arrivals(&connection);
    run(REGISTRY);
    let mut statement =
        connection.prepare("SELECT store_id, number, state FROM _ferry_event_logs").expect("a registry");
    let stores: Vec<(String, i64, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .expect("rows of stores");
    drop(statement);
    for (store_id, number, state) in stores {
        let table = table_name(&store_id);
        connection
            .execute(
                "INSERT INTO _ferry_event_stores SELECT store_id, ?2, backend_id, head, base, event_count, bytes, state,
                    created_at, last_created_at FROM _ferry_event_logs WHERE store_id = ?1",
                params![store_id, table],
            )
            .expect("a row of the first registry");
        if state == "deleted" {
            continue;
        }
        run(&format!(
            "CREATE TABLE \"{table}\"(
                seqNum INTEGER PRIMARY KEY, parentSeqNum INTEGER NOT NULL, name TEXT NOT NULL,
                args TEXT, createdAt TEXT NOT NULL, clientId TEXT NOT NULL, sessionId TEXT NOT NULL,
                commitSeq INTEGER NOT NULL, principal TEXT) STRICT"
        ));
        run(&format!(
            "INSERT INTO \"{table}\" SELECT seq_num, parent_seq_num, name, args, created_at, client_id, session_id,
                commit_seq, principal FROM _ferry_events WHERE store = {number}"
        ));
    }
    run("DROP VIEW events; DROP TABLE _ferry_events; DROP TABLE _ferry_event_logs; COMMIT");
}

/// Files the events that wait for it: the first layout had none that do.
fn file_arrivals(connection: &Connection) {
    let has = "SELECT count(*) FROM sqlite_master WHERE name = '_ferry_event_arrivals'";
    if connection.query_row(has, [], |row| row.get(0)).expect("a count") {
        let file = "INSERT INTO _ferry_events SELECT store, seq_num, parent_seq_num, name, args, created_at, client_id,
                session_id, commit_seq, principal FROM _ferry_event_arrivals;
            UPDATE _ferry_event_logs SET head = a.head, event_count = event_count + a.events,
                bytes = _ferry_event_logs.bytes + a.bytes, last_created_at = a.last
            FROM (SELECT store, max(seq_num) AS head, count(*) AS events, sum(bytes) AS bytes, max(created_at) AS last
                FROM _ferry_event_arrivals GROUP BY store) AS a WHERE number = a.store;
            DROP VIEW events; DROP TABLE _ferry_event_arrivals; CREATE VIEW events AS SELECT 1";
        connection.execute_batch(file).expect("events that wait are filed");
    }
}

/// The table of a store in the first layout.
#[must_use]
pub fn table_name(store_id: &str) -> String {
    let mut name = "eventlog_7_".to_owned();
    for byte in store_id.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.') {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name
}

/// Tables of the first layout that the database at `path` still has.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn tables_left(path: &Path) -> u64 {
    let connection = Connection::open(path).expect("the file can be opened");
    let sql = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'eventlog!_7!_%' ESCAPE '!' OR name = '_ferry_event_stores'";
    connection.query_row(sql, [], |row| row.get(0)).expect("a count")
}
