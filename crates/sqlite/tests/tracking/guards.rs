//! What functions and migrations may not do.

use rusqlite::Connection;

use ferry_sqlite::{
    NativeSql,
    tracked::{SqlAccess, StatementFailure, run_migration},
};

use crate::support::{database, execute, failure, reads, run};

fn with_engine() -> Connection {
    database(
        "CREATE TABLE _ferry_meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
         INSERT INTO _ferry_meta VALUES ('seq', 7);
         CREATE TABLE t(x UNIQUE);
         CREATE TABLE numbered(id INTEGER PRIMARY KEY AUTOINCREMENT);
         CREATE VIEW shown AS SELECT x FROM t;
         INSERT INTO t VALUES (1);",
    )
}

// Verifies: FUN-44
#[test]
fn what_no_function_may_do() {
    let connection = with_engine();
    // The hub's own use of the same texts opens no way.
    for text in ["SELECT value FROM _ferry_meta WHERE key = 'seq'", "PRAGMA user_version"] {
        connection.prepare_cached(text).unwrap().query_row([], |_| Ok(())).unwrap();
    }
    for (text, name) in [
        ("SELECT value FROM _ferry_meta WHERE key = 'seq'", "_ferry_meta"),
        ("SELECT * FROM \"_FERRY_META\"", "_FERRY_META"),
        ("SELECT * FROM '_ferry_meta'", "_ferry_meta"),
        ("SELECT count(*) FROM main.[_ferry_meta]", "_ferry_meta"),
        ("WITH shown AS (SELECT * FROM _ferry_meta) SELECT * FROM shown", "_ferry_meta"),
        ("UPDATE _ferry_meta SET value = 1", "_ferry_meta"),
        ("DELETE FROM t WHERE x IN (SELECT key FROM _ferry_meta)", "_ferry_meta"),
        ("PRAGMA table_info(_ferry_meta)", "_ferry_meta"),
        ("ATTACH ':memory:' AS other", "ATTACH"),
        ("DETACH main", "DETACH"),
        ("VACUUM", "VACUUM"),
        ("VACUUM INTO 'x.db'", "VACUUM"),
        ("BEGIN", "BEGIN"),
        ("commit", "COMMIT"),
        ("END", "END"),
        ("ROLLBACK", "ROLLBACK"),
        ("SAVEPOINT a", "SAVEPOINT"),
        ("RELEASE a", "RELEASE"),
        ("EXPLAIN COMMIT", "COMMIT"),
        ("INSERT OR ROLLBACK INTO t VALUES (1)", "ROLLBACK"),
        ("SELECT load_extension('x')", "load_extension"),
        ("PRAGMA user_version = 9", "PRAGMA user_version"),
        ("PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
        ("PRAGMA defer_foreign_keys = ON", "PRAGMA defer_foreign_keys"),
        ("SELECT * FROM pragma_freelist_count", "PRAGMA freelist_count"),
        ("SELECT * FROM Pragma_Database_List", "PRAGMA Database_List"),
        ("SELECT data FROM sqlite_dbpage", "sqlite_dbpage"),
        ("UPDATE sqlite_dbpage SET data = zeroblob(4096)", "sqlite_dbpage"),
        ("SELECT count(*) FROM dbstat", "dbstat"),
        ("SELECT seq FROM sqlite_sequence", "sqlite_sequence"),
        ("DELETE FROM sqlite_sequence", "sqlite_sequence"),
        ("DELETE FROM sqlite_schema", "sqlite_master"),
        ("UPDATE sqlite_master SET sql = ''", "sqlite_master"),
    ] {
        let expected = StatementFailure::Prohibited(format!("access to {name} is prohibited"));
        assert_eq!(failure(&connection, text), expected, "{text}");
        assert_eq!(failure(&connection, text), expected, "{text}: again");
    }
    for text in [
        "CREATE TABLE u(x)",
        "create temp table u(x)",
        "ALTER TABLE t ADD COLUMN y",
        "DROP TABLE t",
        "ANALYZE",
        "REINDEX t",
    ] {
        let StatementFailure::Prohibited(message) = failure(&connection, text) else { panic!("{text}") };
        assert!(message.starts_with("schema changes belong in a migration: "), "{message}");
    }
    for text in
        ["PRAGMA table_info(t)", "SELECT name FROM pragma_table_xinfo('t')", "PRAGMA foreign_key_list(t)"]
    {
        reads(&connection, text);
    }
    let seq = "SELECT value FROM _ferry_meta WHERE key = 'seq'";
    let seq: i64 = connection.prepare_cached(seq).unwrap().query_row([], |row| row.get(0)).unwrap();
    assert_eq!(seq, 7, "the hub goes on as before");
    connection.execute_batch("CREATE TEMP TABLE of_the_hub(x); PRAGMA user_version = 3").unwrap();
}

#[test]
fn failures_are_told_apart() {
    let connection = with_engine();
    let constraint = failure(&connection, "INSERT INTO t VALUES (1)");
    assert_eq!(constraint, StatementFailure::Constraint("UNIQUE constraint failed: t.x".into()));
    for (text, message) in [
        ("SELECT y FROM t", "no such column: y"),
        ("SELEC 1", "near \"SELEC\": syntax error"),
        ("SELECT 1; SELECT 2", "several statements at once: run them one by one"),
        ("", "the statement is empty"),
        ("SELECT ?", "the statement has 1 parameters, and 0 values were given"),
        ("SELECT json('{')", "malformed JSON"),
    ] {
        assert_eq!(failure(&connection, text), StatementFailure::Sql(message.into()), "{text}");
    }
}

#[test]
fn on_a_snapshot_a_write_asks_for_the_writer_before_anything_is_done() {
    let connection = with_engine();
    let mut run = run(SqlAccess::Snapshot);
    for text in
        ["INSERT INTO t VALUES (2)", "UPDATE t SET x = 3", "DELETE FROM t", "REPLACE INTO t VALUES (1)"]
    {
        assert_eq!(execute(&mut run, &connection, text), Err(StatementFailure::NeedsWriter), "{text}");
    }
    let prohibited = execute(&mut run, &connection, "ATTACH 'x' AS y").unwrap_err();
    assert!(matches!(prohibited, StatementFailure::Prohibited(_)), "SQLite takes it for one that only reads");
    assert_eq!(reads(&connection, "SELECT x FROM t"), ["t"]);
    assert!(run.written().is_empty());
    let left: i64 = connection.query_row("SELECT sum(x) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}

// Verifies: FUN-44
#[test]
fn a_migration_changes_the_schema_and_nothing_of_the_engines() {
    let connection = with_engine();
    let run = |text: &str| run_migration(NativeSql(&connection), text, &mut || true);
    for text in [
        "CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)",
        "CREATE TABLE __ferry_new_users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, age INTEGER)",
        "DROP TABLE users",
        "ALTER TABLE __ferry_new_users RENAME TO users",
        "CREATE UNIQUE INDEX users_name ON users(name)",
        "CREATE VIEW names AS SELECT name FROM users",
        "CREATE TRIGGER named AFTER INSERT ON users BEGIN SELECT 1; END;",
        "CREATE VIRTUAL TABLE words USING fts5(name)",
        "ALTER TABLE users ADD COLUMN mail TEXT",
        "ALTER TABLE users RENAME COLUMN mail TO email",
        "ALTER TABLE users DROP COLUMN email",
        "DROP VIEW names",
        "DROP TRIGGER named",
        "DROP INDEX users_name",
        "DROP TABLE words",
        "ANALYZE",
        "REINDEX",
        "PRAGMA foreign_key_check",
        "PRAGMA defer_foreign_keys = ON",
        "-- nothing",
    ] {
        run(text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
    }
    assert_eq!(run("INSERT INTO users(name) VALUES ('a'), ('b')"), Ok(2));
    assert_eq!(run("DELETE FROM sqlite_sequence"), Ok(1));
    for text in [
        "CREATE VIEW spy AS SELECT * FROM _ferry_meta",
        "CREATE TABLE _ferry_mine(x)",
        "DROP TABLE _ferry_meta",
        "ALTER TABLE users RENAME TO _ferry_users",
        "CREATE TABLE u(x UNIQUE ON CONFLICT ROLLBACK)",
        "CREATE TRIGGER r AFTER INSERT ON users BEGIN SELECT raise(ROLLBACK, 'no'); END",
        "CREATE TEMP TABLE u(x)",
        "CREATE TEMP VIEW u AS SELECT 1",
        "CREATE TEMP TRIGGER u AFTER INSERT ON users BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE pages USING sqlite_dbpage",
        "ATTACH 'x' AS y",
        "VACUUM",
        "BEGIN",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
    ] {
        let failure = run(text).expect_err(text);
        assert!(matches!(failure, StatementFailure::Prohibited(_)), "{text}: {failure}");
    }
    assert!(matches!(run("SELECT 1; SELECT 2"), Err(StatementFailure::Sql(_))));
}

#[test]
fn statements_of_functions_do_not_push_out_the_hubs() {
    let connection = with_engine();
    let prepared =
        |text: &str| connection.prepare_cached(text).unwrap().get_status(rusqlite::StatementStatus::Run);
    connection.set_prepared_statement_cache_capacity(128);
    let text = "SELECT count(*) FROM t AS of_the_hub";
    connection.prepare_cached(text).unwrap().query_row([], |_| Ok(())).unwrap();
    for number in 0..300 {
        reads(&connection, &format!("SELECT {number} FROM t"));
    }
    assert_eq!(prepared(text), 1, "it is the one that was prepared before");
}
