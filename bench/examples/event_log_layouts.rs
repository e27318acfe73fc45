//! Which layout event logs should have: pages written and CPU per push at 1, 64 and 10,000 stores, beside the size of
//! the file and the time to read one store's log. `cargo run --release -p ferry-bench --example event_log_layouts`
//!
//! Pushes of one event by stores at random, in groups of one COMMIT, each in its savepoint, as the writer of a database
//! runs them; nothing is synced, so that CPU alone is measured.

use std::{collections::HashMap, path::Path, time::Instant};

use ferry_testkit::process::usage;
use rusqlite::{Connection, params};

const ARGS: &str = r#"{"id":"x1","text":"hello world"}"#;
const AT: &str = "2026-11-20T10:27:52.250Z";
const COLUMNS: &str =
    "parent_seq_num INTEGER NOT NULL, name TEXT NOT NULL, args TEXT, created_at TEXT NOT NULL,
    client_id TEXT NOT NULL, session_id TEXT NOT NULL, commit_seq INTEGER NOT NULL, principal TEXT";
const VALUES: &str = "?3, 'todoCreated', ?4, ?5, 'client-a', 'session-a', ?6, 'usr_3f2b9c1e'";
/// Appends that wait in the log of arrival before they are settled.
const SETTLE_ROWS: u64 = 20_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A table for each store, and a row of a registry.
    TablePerStore,
    /// One table clustered by (store, number), and a row of a registry.
    Clustered,
    /// Rows in order of arrival, an index by (store, number), and a row of a registry.
    Indexed,
    /// Rows in order of arrival alone, settled into a clustered table with the registry's rows now and then.
    Settled,
    /// Rows in order of arrival, settled, and a row of a registry with each push.
    SettledWithRegistry,
}

impl Layout {
    const ALL: [(Self, &str); 5] = [
        (Self::TablePerStore, "a table per store"),
        (Self::Clustered, "clustered by store and number"),
        (Self::Indexed, "in order of arrival, with an index"),
        (Self::SettledWithRegistry, "in order of arrival, settled; registry with each push"),
        (Self::Settled, "in order of arrival, settled; registry when settling"),
    ];

    const fn has_registry_per_push(self) -> bool {
        !matches!(self, Self::Settled)
    }

    fn create(self, connection: &Connection, stores: u64) {
        let registry = "CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID; INSERT INTO meta VALUES ('seq', 0);
            CREATE TABLE stores(id INTEGER PRIMARY KEY, store_id TEXT NOT NULL UNIQUE, backend_id TEXT NOT NULL,
            head INTEGER NOT NULL, base INTEGER NOT NULL, event_count INTEGER NOT NULL, bytes INTEGER NOT NULL,
            state TEXT NOT NULL, created_at TEXT NOT NULL, last_created_at TEXT) STRICT;";
        run(connection, registry);
        let clustered = format!(
            "CREATE TABLE events(store INTEGER, seq_num INTEGER, {COLUMNS}, PRIMARY KEY(store, seq_num)) STRICT, WITHOUT ROWID;"
        );
        let arrival = format!(
            "CREATE TABLE log(n INTEGER PRIMARY KEY, store INTEGER NOT NULL, seq_num INTEGER NOT NULL, {COLUMNS}) STRICT;"
        );
        match self {
            Self::TablePerStore => {}
            Self::Clustered => run(connection, &clustered),
            Self::Indexed => {
                run(connection, &(arrival + "CREATE UNIQUE INDEX log_store ON log(store, seq_num);"));
            }
            Self::Settled | Self::SettledWithRegistry => run(connection, &(clustered + &arrival)),
        }
        run(connection, "BEGIN");
        for store in 0..stores {
            if self == Self::TablePerStore {
                run(
                    connection,
                    &format!(
                        "CREATE TABLE eventlog_7_{store}(seq_num INTEGER PRIMARY KEY, {COLUMNS}) STRICT"
                    ),
                );
            }
            connection
                .prepare_cached(
                    "INSERT INTO stores VALUES (?1, ?2, 'I4T0DpcfSxO0Cgh7ePEnx', 0, 0, 0, 0, 'ok', ?3, NULL)",
                )
                .and_then(|mut insert| insert.execute(params![store, format!("store-{store}"), AT]))
                .expect("a store");
        }
        run(connection, "COMMIT");
    }

    fn push(self, connection: &Connection, store: u64, seq_num: u64, commit: u64) {
        let text = match self {
            Self::TablePerStore => format!("INSERT INTO eventlog_7_{store} VALUES (?2, {VALUES})"),
            Self::Clustered => format!("INSERT INTO events VALUES (?1, ?2, {VALUES})"),
            Self::Indexed | Self::Settled | Self::SettledWithRegistry => {
                format!("INSERT INTO log VALUES (NULL, ?1, ?2, {VALUES})")
            }
        };
        let mut insert = connection.prepare_cached(&text).expect("an insert");
        // A table of its own needs no number of the store, but the parameters are the same.
        let row = params![store, seq_num, seq_num - 1, ARGS, AT, commit];
        if self == Self::TablePerStore {
            insert.raw_bind_parameter(2, seq_num).expect("bound");
            insert.raw_bind_parameter(3, seq_num - 1).expect("bound");
            insert.raw_bind_parameter(4, ARGS).expect("bound");
            insert.raw_bind_parameter(5, AT).expect("bound");
            insert.raw_bind_parameter(6, commit).expect("bound");
            insert.raw_execute().expect("inserted");
        } else {
            insert.execute(row).expect("inserted");
        }
        if self.has_registry_per_push() {
            let find = "SELECT head, backend_id, state, last_created_at FROM stores WHERE id = ?1";
            let head: u64 = connection
                .prepare_cached(find)
                .and_then(|mut find| find.query_row([store], |row| row.get(0)))
                .expect("a head");
            assert_eq!(head, seq_num - 1);
            let update = "UPDATE stores SET head = ?2, event_count = event_count + 1, bytes = bytes + 60,
                last_created_at = ?3 WHERE id = ?1";
            connection
                .prepare_cached(update)
                .and_then(|mut update| update.execute(params![store, seq_num, AT]))
                .expect("updated");
        }
    }

    fn settle(self, connection: &Connection, heads: &HashMap<u64, u64>) {
        run(connection, "BEGIN");
        run(
            connection,
            "INSERT INTO events SELECT store, seq_num, parent_seq_num, name, args, created_at, client_id, session_id,
                commit_seq, principal FROM log ORDER BY store, seq_num; DELETE FROM log",
        );
        if self == Self::Settled {
            let update =
                "UPDATE stores SET head = ?2, event_count = ?2, bytes = bytes + 60, last_created_at = ?3
                WHERE id = ?1 AND head <> ?2";
            for (store, head) in heads {
                connection
                    .prepare_cached(update)
                    .and_then(|mut update| update.execute(params![store, head, AT]))
                    .expect("updated");
            }
        }
        run(connection, "COMMIT");
    }
}

fn run(connection: &Connection, sql: &str) {
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a file");
    connection.set_prepared_statement_cache_capacity(20_000);
    run(&connection, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;");
    connection
}

/// Frames that the WAL has got since it was last emptied, which this does.
fn checkpoint(connection: &Connection) -> u64 {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    0
}

fn cpu_ms() -> u64 {
    usage(std::process::id()).map_or(0, |usage| usage.cpu_ms)
}

/// A number that is random enough, and the same in each run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn measure(layout: Layout, name: &str, stores: u64, group: u64, pushes: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("main.db");
    let connection = open(&path);
    layout.create(&connection, stores);
    checkpoint(&connection);
    let (mut heads, mut state, mut frames) = (HashMap::new(), 88_172_645_463_325_252, 0);
    let wal = path.with_extension("db-wal");
    let wal_frames = || wal.metadata().map_or(0, |wal| wal.len() / 4120);
    let (mut commit, mut waiting, mut measured) = (0, 0, None);
    // The first half makes logs of some length, the second is measured.
    while commit < 2 * pushes {
        if commit >= pushes && measured.is_none() {
            checkpoint(&connection);
            frames = 0;
            measured = Some(cpu_ms());
        }
        run(&connection, "BEGIN IMMEDIATE");
        for _ in 0..group {
            let store = random(&mut state) % stores;
            let head = heads.entry(store).or_insert(0);
            *head += 1;
            commit += 1;
            let statement =
                |sql| connection.prepare_cached(sql).and_then(|mut one| one.execute([])).expect("it runs");
            statement("SAVEPOINT request");
            layout.push(&connection, store, *head, commit);
            statement("RELEASE request");
        }
        connection
            .prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'seq'")
            .and_then(|mut update| update.execute([commit]))
            .expect("updated");
        run(&connection, "COMMIT");
        waiting += group;
        if waiting >= SETTLE_ROWS && matches!(layout, Layout::Settled | Layout::SettledWithRegistry) {
            layout.settle(&connection, &heads);
            waiting = 0;
        }
        if wal_frames() > 1024 {
            frames += wal_frames();
            checkpoint(&connection);
        }
    }
    frames += wal_frames();
    let used = (cpu_ms() - measured.unwrap_or(0)) as f64 * 1000.0;
    checkpoint(&connection);
    let mib = path.metadata().map_or(0, |file| file.len()) as f64 / f64::from(1 << 20);
    let read = match layout {
        Layout::TablePerStore => "SELECT sum(length(args)), count(*) FROM eventlog_7_0 WHERE ?1 = 0",
        Layout::Indexed => "SELECT sum(length(args)), count(*) FROM log WHERE store = ?1",
        _ => "SELECT sum(length(args)), count(*) FROM events WHERE store = ?1",
    };
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let begun = Instant::now();
    let events: u64 = connection.query_row(read, [0], |row| row.get(1)).expect("a log");
    println!(
        "| {stores} | {group} | {name} | {:.2} | {:.1} | {mib:.1} | {:.2} |",
        frames as f64 / pushes as f64,
        used / pushes as f64,
        begun.elapsed().as_micros() as f64 / events.max(1) as f64,
    );
}

fn main() {
    println!(
        "| stores | pushes per COMMIT | layout | pages written per push | CPU-µs per push | file, MiB | µs per event read |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (stores, group) in [(1, 1), (1, 32), (64, 32), (10_000, 32)] {
        for (layout, name) in Layout::ALL {
            let pushes = if group == 1 { 50_000 } else { 160_000 };
            measure(layout, name, stores, group, pushes);
        }
    }
}
