//! What statements are told to have written.

use ferry_sqlite::{
    NativeSql,
    tracked::{SqlAccess, StatementFailure},
};

use crate::support::{database, execute, names, run, writes};

const FAMILY: &str = "CREATE TABLE parents(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
     CREATE TABLE loved(id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents(id) ON DELETE CASCADE);
     CREATE TABLE freed(id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents(id) ON DELETE SET NULL);
     CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
     CREATE TABLE keyed_too(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
     CREATE TABLE log(what TEXT);
     CREATE TRIGGER logged AFTER UPDATE OF v ON keyed WHEN NEW.v > 5 BEGIN INSERT INTO log VALUES (NEW.k); END;
     CREATE VIEW names AS SELECT name FROM parents;
     CREATE TRIGGER named INSTEAD OF INSERT ON names BEGIN INSERT INTO parents(name) VALUES (NEW.name); END;
     INSERT INTO parents VALUES (1, 'a'), (2, 'b'), (3, 'c');
     INSERT INTO loved VALUES (1, 1), (2, 1);
     INSERT INTO freed VALUES (1, 2);
     INSERT INTO keyed VALUES ('a', 1), ('b', 2);";

// Verifies: FUN-21
#[test]
fn the_tables_of_which_a_row_changed_and_no_others() {
    let connection = database(FAMILY);
    for (text, expected) in [
        ("UPDATE parents SET name = 'z' WHERE id = 99", vec![]),
        ("DELETE FROM log", vec![]),
        ("INSERT OR IGNORE INTO parents VALUES (1, 'x')", vec![]),
        ("UPDATE keyed SET v = 2", vec!["keyed"]),
        ("UPDATE keyed SET v = 9 WHERE k = 'a'", vec!["keyed", "log"]),
        ("REPLACE INTO parents VALUES (3, 'd')", vec!["parents"]),
        ("INSERT INTO parents VALUES (4, 'a') ON CONFLICT(name) DO UPDATE SET name = 'e'", vec!["parents"]),
        ("INSERT INTO parents VALUES (4, 'e') ON CONFLICT DO NOTHING", vec![]),
        ("INSERT INTO Names VALUES ('f')", vec!["parents"]),
        ("DELETE FROM parents WHERE id = 2", vec!["freed", "parents"]),
        ("DELETE FROM parents WHERE id = 1", vec!["loved", "parents"]),
        ("DELETE FROM parents", vec!["parents"]),
        ("INSERT INTO keyed_too SELECT * FROM keyed", vec!["keyed_too"]),
        ("DELETE FROM keyed", vec!["keyed"]),
        ("WITH q AS (SELECT 'q') INSERT INTO log SELECT * FROM q", vec!["log"]),
        ("SELECT count(*) FROM log", vec![]),
    ] {
        let mut found = writes(&connection, text);
        found.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

// Verifies: FUN-21
#[test]
fn deleting_all_rows_of_a_statement_that_was_prepared_before_is_told() {
    let connection = database("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    // The hub's own statement of this text removes all rows at once, without telling.
    connection.prepare_cached("DELETE FROM t").unwrap().execute([]).unwrap();
    connection.execute("INSERT INTO t VALUES (2)", []).unwrap();
    assert_eq!(writes(&connection, "DELETE FROM t"), ["t"]);
}

// Verifies: FUN-21
#[test]
fn what_a_savepoint_undid_is_not_written() {
    let connection = database(FAMILY);
    connection.execute_batch("BEGIN").unwrap();
    let sql = NativeSql(&connection);
    let mut run = run(SqlAccess::Alone);
    execute(&mut run, &connection, "INSERT INTO log VALUES ('kept')").unwrap();
    run.begin_savepoint(sql).unwrap();
    execute(&mut run, &connection, "INSERT INTO log VALUES ('undone')").unwrap();
    execute(&mut run, &connection, "DELETE FROM keyed").unwrap();
    run.begin_savepoint(sql).unwrap();
    execute(&mut run, &connection, "DELETE FROM loved").unwrap();
    run.release_savepoint(sql).unwrap();
    assert_eq!(names(run.written()), ["log", "keyed", "loved"]);
    run.rollback_savepoint(sql).unwrap();
    assert_eq!(names(run.written()), ["log"]);
    execute(&mut run, &connection, "DELETE FROM freed").unwrap();
    run.finish(sql).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(names(run.written()), ["log", "freed"]);
    let left: i64 = connection.query_row("SELECT count(*) FROM keyed", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
}

// Verifies: FUN-21
#[test]
fn a_statement_that_failed_has_written_nothing() {
    let connection = database(FAMILY);
    connection.execute_batch("BEGIN").unwrap();
    let mut run = run(SqlAccess::Alone);
    let text = "INSERT INTO parents VALUES (10, 'x'), (11, 'a')";
    let failure = execute(&mut run, &connection, text).unwrap_err();
    assert_eq!(failure.to_string(), "UNIQUE constraint failed: parents.name");
    assert!(run.written().is_empty());
    let text = "INSERT OR FAIL INTO parents VALUES (10, 'x'), (11, 'a')";
    execute(&mut run, &connection, text).unwrap_err();
    assert_eq!(names(run.written()), ["parents"], "what came before the failing row stays");
}

// Verifies: FUN-21
#[test]
fn full_text_tables_are_written_as_themselves() {
    let connection = database(
        "CREATE TABLE posts(id INTEGER PRIMARY KEY, body TEXT);
         CREATE VIRTUAL TABLE notes USING fts5(body);
         CREATE VIRTUAL TABLE found USING fts5(body, content='posts', content_rowid='id');
         CREATE VIRTUAL TABLE bare USING fts5(body, content='', columnsize=0);
         CREATE TRIGGER i AFTER INSERT ON posts BEGIN
             INSERT INTO found(rowid, body) VALUES (NEW.id, NEW.body); END;",
    );
    assert_eq!(writes(&connection, "INSERT INTO notes VALUES ('a')"), ["notes"]);
    assert_eq!(writes(&connection, "UPDATE notes SET body = 'b' WHERE rowid = 9"), [""; 0]);
    assert_eq!(writes(&connection, "INSERT INTO posts VALUES (1, 'a')"), ["posts", "found"]);
    assert_eq!(writes(&connection, "INSERT INTO bare(rowid, body) VALUES (1, 'a')"), ["bare"]);
    assert_eq!(writes(&connection, "INSERT INTO found(found) VALUES ('rebuild')"), ["found"]);
    assert_eq!(writes(&connection, "DELETE FROM notes"), ["notes"]);
    assert_eq!(writes(&connection, "INSERT INTO notes(notes, rank) VALUES ('pgsz', 100)"), ["notes"]);
}

#[test]
fn a_broken_deferred_foreign_key_fails_the_call_before_the_commit_of_all() {
    let connection = database(
        "CREATE TABLE p(id INTEGER PRIMARY KEY);
         CREATE TABLE c(p REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED);",
    );
    connection.execute_batch("BEGIN; SAVEPOINT request").unwrap();
    let mut run = run(SqlAccess::Group);
    let sql = NativeSql(&connection);
    execute(&mut run, &connection, "INSERT INTO c VALUES (1)").unwrap();
    assert_eq!(run.finish(sql).unwrap_err().to_string(), "FOREIGN KEY constraint failed");
    execute(&mut run, &connection, "INSERT INTO p VALUES (1)").unwrap();
    run.finish(sql).unwrap();
    execute(&mut run, &connection, "DELETE FROM p").unwrap();
    assert!(run.finish(sql).is_err());
    connection.execute_batch("ROLLBACK TO request; RELEASE request; COMMIT").unwrap();
}

// SQLite undoes nothing of a statement that fails so, and counts nothing either.
// Verifies: FUN-21
#[test]
fn what_a_failing_statement_left_behind_is_told() {
    let connection = database(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a);
        CREATE TABLE strict(a INTEGER) STRICT;
        CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO strict VALUES (NEW.a); END;
        INSERT INTO t VALUES (1, 1), (2, 2);
        BEGIN",
    );
    let mut run = run(SqlAccess::Alone);
    let failure = execute(&mut run, &connection, "UPDATE t SET a = x'00'").expect_err("it is no integer");
    assert!(matches!(failure, StatementFailure::Constraint(_)), "{failure:?}");
    assert_eq!(names(run.written()), ["t"]);
}
