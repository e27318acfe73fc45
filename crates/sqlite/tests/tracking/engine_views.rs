//! Views of the engines: read and written as themselves, and nothing of what is behind them is seen.

use ferry_core::records::{
    UnixNanos,
    intents::{self, Stamped},
    sqlite::SqliteRecords,
};
use ferry_sqlite::{
    NativeSql,
    tracked::{SqlAccess, StatementFailure, run_migration},
};
use rusqlite::Connection;

use crate::support::{database, execute, failure, names, reads, run, writes};

/// A database of records, events and ops, with a collection of tasks that has two views.
fn engines() -> Connection {
    let connection = database(
        "CREATE TABLE _ferry_meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
        INSERT INTO _ferry_meta VALUES ('seq', 0)",
    );
    let sql = NativeSql(&connection);
    let records = SqliteRecords::create(&sql).unwrap();
    let write = Stamped {
        owner: "ann",
        app: "todo",
        client: "c",
        coll: "tasks",
        id: "t1",
        op: "insert",
        fields: Some("{\"title\":\"one\"}"),
    };
    intents::stamped(&records, &write, UnixNanos(1_000_000_000)).unwrap();
    ferry_core::events::schema::create_tables(&sql).unwrap();
    ferry_core::ops::schema::create(&sql).unwrap();
    connection
        .execute_batch(
            "CREATE VIEW Tasks AS SELECT id, data ->> '$.title' AS title, owner AS _owner FROM _ferry_records
                 WHERE app = 'todo' AND coll = 'tasks' AND state = 0 AND deleted_at IS NULL;
             CREATE TRIGGER tasks_insert INSTEAD OF INSERT ON Tasks BEGIN
                 INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES
                 (NEW._owner, 'todo', 'tasks', 'insert', NEW.id, json_object('title', NEW.title)); END;
             CREATE VIEW open_tasks AS SELECT title FROM tasks WHERE title <> 'done';
             CREATE TABLE notes(x);
             CREATE TRIGGER noted AFTER INSERT ON notes WHEN NEW.x <> 'quiet' BEGIN
                 INSERT INTO tasks(id, title, _owner) VALUES (NEW.x, NEW.x, 'ann'); END;",
        )
        .unwrap();
    connection
}

// Verifies: FUN-82
#[test]
fn a_read_counts_as_one_of_the_view() {
    let connection = engines();
    for (text, expected) in [
        ("SELECT title FROM tasks", vec!["Tasks"]),
        ("SELECT count(*) FROM TASKS", vec!["Tasks"]),
        ("SELECT 1 FROM tasks", vec!["Tasks"]),
        ("SELECT count(*) FROM (SELECT 1 FROM tasks)", vec!["Tasks"]),
        ("SELECT title FROM open_tasks", vec!["Tasks"]),
        ("SELECT count(*) FROM open_tasks, notes", vec!["Tasks", "notes"]),
        ("WITH q AS (SELECT * FROM tasks) SELECT * FROM q", vec!["Tasks"]),
        ("SELECT * FROM records_todo__tasks", vec!["records_todo__tasks"]),
        ("SELECT count(*) FROM records_todo__tasks", vec!["records_todo__tasks"]),
        (
            "SELECT _extra FROM records_todo__tasks WHERE id IN (SELECT x FROM notes)",
            vec!["notes", "records_todo__tasks"],
        ),
        ("SELECT * FROM events", vec!["events"]),
        ("SELECT count(*) FROM events", vec!["events"]),
        ("SELECT max(seq_num) FROM events GROUP BY store_id", vec!["events"]),
        ("SELECT count(*) FROM ops_entities", vec!["ops_entities"]),
        ("SELECT * FROM ops_fields JOIN ops_entities USING (entity)", vec!["ops_entities", "ops_fields"]),
        ("SELECT count(*) FROM ops_links", vec!["ops_links"]),
        ("SELECT count(*) FROM ops_text", vec!["ops_text"]),
        (
            "SELECT * FROM ops_links UNION SELECT entity, field, text FROM ops_text",
            vec!["ops_links", "ops_text"],
        ),
    ] {
        let mut found = reads(&connection, text);
        found.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

// Verifies: FUN-82
#[test]
fn a_write_counts_as_one_of_the_view_and_waits_to_be_applied() {
    let connection = engines();
    let mut run = run(SqlAccess::Alone);
    let done =
        execute(&mut run, &connection, "INSERT INTO tasks(id, title, _owner) VALUES ('t2', 'two', 'ann')");
    assert!(done.unwrap().has_queued_intents);
    assert_eq!(names(run.written()), ["Tasks"]);
    let drained = intents::drain(&SqliteRecords::new(&NativeSql(&connection)), UnixNanos(2_000_000_000));
    assert_eq!(drained.unwrap(), [("ann".to_owned(), "todo".to_owned(), "tasks".to_owned())]);
    let title: String =
        connection.query_row("SELECT title FROM tasks WHERE id = 't2'", [], |row| row.get(0)).unwrap();
    assert_eq!(title, "two");
    let done = execute(&mut run, &connection, "INSERT INTO notes VALUES ('quiet')").unwrap();
    assert!(!done.has_queued_intents);
    let text = "UPDATE records_todo__tasks SET title = 'new' WHERE id = 'nobody'";
    let done = execute(&mut run, &connection, text).unwrap();
    assert!(!done.has_queued_intents);
    assert_eq!(names(run.written()), ["Tasks", "notes"], "no record was written");
    assert_eq!(writes(&connection, "INSERT INTO notes VALUES ('t3')"), ["notes", "Tasks"]);
    assert_eq!(writes(&connection, "UPDATE records_todo__tasks SET title = 'x'"), ["records_todo__tasks"]);
    assert_eq!(writes(&connection, "DELETE FROM records_todo__tasks"), ["records_todo__tasks"]);
    let text = "INSERT INTO tasks(id, title, _owner) VALUES ('t9', 'nine', 'ann') RETURNING id, title";
    assert_eq!(writes(&connection, text), ["Tasks"]);
}

// Verifies: FUN-44, FUN-82
#[test]
fn what_is_behind_a_view_stays_behind_it() {
    let connection = engines();
    let sql = NativeSql(&connection);
    for (text, name) in [
        ("SELECT * FROM _ferry_records", "_ferry_records"),
        ("WITH tasks AS (SELECT * FROM _ferry_records) SELECT * FROM tasks", "_ferry_records"),
        ("INSERT INTO _ferry_record_intents(owner) VALUES ('eve')", "_ferry_record_intents"),
        ("INSERT INTO events(store_id) VALUES ('s')", "events"),
        ("DELETE FROM events", "events"),
        ("UPDATE ops_entities SET type = 'x'", "ops_entities"),
    ] {
        let expected = StatementFailure::Prohibited(format!("access to {name} is prohibited"));
        assert_eq!(failure(&connection, text), expected, "{text}");
    }
    for text in [
        "CREATE VIEW spy AS WITH tasks AS (SELECT * FROM _ferry_meta) SELECT * FROM tasks",
        "CREATE TRIGGER mine INSTEAD OF INSERT ON tasks BEGIN SELECT 1; END",
        "CREATE TRIGGER mine INSTEAD OF DELETE ON events BEGIN SELECT 1; END",
        "DROP VIEW tasks",
        "DROP VIEW events",
        "DROP TRIGGER tasks_insert",
        "INSERT INTO tasks(id, _owner) VALUES ('x', 'ann')",
        "DELETE FROM records_todo__tasks",
        "DELETE FROM events",
    ] {
        let refused = run_migration(sql, text, &mut || true).expect_err(text);
        assert!(matches!(refused, StatementFailure::Prohibited(_)), "{text}: {refused}");
    }
    // Somebody's own table of such a name is his.
    connection.execute_batch("DROP VIEW events; CREATE TABLE events(x)").unwrap();
    assert_eq!(writes(&connection, "INSERT INTO events VALUES (1)"), ["events"]);
}

// Verifies: FUN-82
#[test]
fn a_view_that_an_engine_makes_while_a_call_runs_is_known_at_once() {
    let connection = engines();
    let mut run = run(SqlAccess::Alone);
    execute(&mut run, &connection, "SELECT title FROM records_todo__tasks").unwrap();
    let records = NativeSql(&connection);
    let records = SqliteRecords::new(&records);
    let write = Stamped {
        owner: "ann",
        app: "todo",
        client: "c",
        coll: "lists",
        id: "l1",
        op: "insert",
        fields: Some("{\"name\":\"x\"}"),
    };
    intents::stamped(&records, &write, UnixNanos(3_000_000_000)).unwrap();
    execute(&mut run, &connection, "SELECT name FROM records_todo__lists").unwrap();
    execute(&mut run, &connection, "SELECT title FROM records_todo__tasks").unwrap();
    assert_eq!(names(run.reads()), ["records_todo__tasks", "records_todo__lists"]);
}
