//! What statements are told to have read.

use rusqlite::Connection;

use ferry_sqlite::tracked::SqlAccess;

use crate::support::{database, execute, names, reads, run};

fn shop() -> Connection {
    database(
        "CREATE TABLE Users(id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE orders(id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES Users(id), total INTEGER);
         CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
         CREATE TABLE empty(x);
         CREATE VIEW big AS SELECT * FROM orders WHERE total > 10;
         CREATE VIEW buyers AS SELECT name FROM Users WHERE id IN (SELECT user_id FROM big);
         CREATE VIEW user_ids AS SELECT id FROM Users;
         CREATE TRIGGER noted AFTER INSERT ON orders WHEN EXISTS (SELECT 1 FROM empty) BEGIN
             INSERT INTO audit(what) SELECT name FROM Users; END;
         INSERT INTO Users VALUES (1, 'ann');
         INSERT INTO orders VALUES (1, 1, 20);",
    )
}

// Verifies: FUN-20
#[test]
fn the_tables_behind_whatever_stands_between() {
    let shop = shop();
    for (text, expected) in [
        ("SELECT 1", vec![]),
        ("SELECT * FROM users", vec!["Users"]),
        ("SELECT count(*) FROM USERS", vec!["Users"]),
        ("SELECT count(*) FROM main.USERS AS u", vec!["Users"]),
        ("SELECT name FROM buyers", vec!["Users", "orders"]),
        ("SELECT count(*) FROM buyers", vec!["Users", "orders"]),
        ("SELECT 1 FROM buyers, empty", vec!["Users", "orders", "empty"]),
        ("WITH q AS (SELECT total FROM big) SELECT max(total) FROM q", vec!["orders"]),
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT n.x + 1 FROM n, empty WHERE n.x < 3) SELECT x FROM n",
            vec!["empty"],
        ),
        ("SELECT (SELECT count(*) FROM orders)", vec!["orders"]),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)", vec!["orders"]),
        ("SELECT 1 WHERE 1 IN empty", vec!["empty"]),
        ("SELECT 1 WHERE 1 IN user_ids", vec!["Users"]),
        (
            "SELECT u.name, o.total FROM Users u LEFT JOIN orders o ON o.user_id = u.id",
            vec!["Users", "orders"],
        ),
        ("SELECT name FROM Users UNION SELECT what FROM audit", vec!["Users", "audit"]),
        ("SELECT row_number() OVER (ORDER BY total) FROM orders", vec!["orders"]),
        ("SELECT j.value FROM Users, json_each(json_array(name)) AS j", vec!["Users"]),
        ("VALUES (1), (2)", vec![]),
        ("EXPLAIN QUERY PLAN SELECT * FROM orders", vec!["orders"]),
    ] {
        let mut found = reads(&shop, text);
        found.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

// Verifies: FUN-20
#[test]
fn a_write_depends_on_what_was_there_and_selects_nothing() {
    let shop = shop();
    let mut run = run(SqlAccess::Alone);
    execute(&mut run, &shop, "INSERT INTO orders VALUES (2, 1, 5)").unwrap();
    let mut found = names(run.reads());
    found.sort_unstable();
    assert_eq!(found, ["Users", "audit", "empty", "orders"], "the parent, and what the trigger looks at");
    assert!(run.selected().is_empty());
    execute(&mut run, &shop, "SELECT what FROM audit").unwrap();
    assert_eq!(names(run.selected()), ["audit"]);
    assert_eq!(names(run.written()), ["orders"], "the trigger did nothing");
}

// Verifies: FUN-20
#[test]
fn a_kept_statement_is_read_anew_when_the_schema_changes() {
    let shop = shop();
    assert_eq!(reads(&shop, "SELECT * FROM big"), ["orders"]);
    shop.execute_batch("DROP VIEW big; CREATE VIEW big AS SELECT what FROM audit").unwrap();
    assert_eq!(reads(&shop, "SELECT * FROM big"), ["audit"]);
    assert_eq!(reads(&shop, "SELECT * FROM big"), ["audit"], "and is kept so");
    shop.execute_batch("DROP TABLE audit; CREATE TABLE AUDIT(what)").unwrap();
    assert_eq!(reads(&shop, "SELECT * FROM big"), ["AUDIT"]);
    shop.execute_batch("DROP VIEW big").unwrap();
    let failure = crate::support::failure(&shop, "SELECT * FROM big");
    assert_eq!(failure.to_string(), "no such table: big");
}

/// The number of the schema is the same after each of these.
// Verifies: FUN-20
#[test]
fn a_schema_that_a_rollback_undid_is_forgotten() {
    let shop = shop();
    for end in ["ROLLBACK", "ROLLBACK TO request; RELEASE request; COMMIT"] {
        shop.execute_batch(
            "BEGIN; SAVEPOINT request; CREATE TABLE one(x); CREATE VIEW seen AS SELECT x FROM one",
        )
        .unwrap();
        assert_eq!(reads(&shop, "SELECT * FROM seen"), ["one"]);
        shop.execute_batch(end).unwrap();
        shop.execute_batch(
            "BEGIN; SAVEPOINT request; CREATE TABLE two(x); CREATE VIEW seen AS SELECT x FROM two",
        )
        .unwrap();
        assert_eq!(reads(&shop, "SELECT x FROM two"), ["two"], "a statement that was never prepared");
        assert_eq!(reads(&shop, "SELECT * FROM seen"), ["two"], "one that was");
        shop.execute_batch(end).unwrap();
    }
}

// Verifies: FUN-20
#[test]
fn full_text_tables_are_read_as_themselves() {
    let connection = database(
        "CREATE TABLE posts(id INTEGER PRIMARY KEY, body TEXT);
         CREATE VIEW shown AS SELECT id, body FROM posts;
         CREATE VIRTUAL TABLE notes USING fts5(body);
         CREATE VIRTUAL TABLE found USING fts5(body, content='posts', content_rowid='id');
         CREATE VIRTUAL TABLE of_view USING fts5(body, content=shown, content_rowid=id);
         INSERT INTO notes VALUES ('a b');",
    );
    assert_eq!(reads(&connection, "SELECT rowid FROM notes WHERE notes MATCH 'a'"), ["notes"]);
    assert_eq!(reads(&connection, "SELECT count(*) FROM notes_docsize"), ["notes"]);
    assert_eq!(reads(&connection, "SELECT body FROM found WHERE found MATCH 'a'"), ["found", "posts"]);
    assert_eq!(reads(&connection, "SELECT body FROM of_view"), ["of_view", "posts"]);
}

#[test]
fn what_may_answer_otherwise_next_time_is_volatile() {
    let connection = database(
        "CREATE TABLE t(x);
         CREATE VIEW late AS SELECT x, datetime('now') AS now FROM t;
         CREATE VIRTUAL TABLE words USING fts5(x);
         CREATE VIEW plain AS SELECT lower(x) AS x, count(*) OVER () AS n FROM t;",
    );
    let is_volatile = |text: &str| {
        let mut run = run(SqlAccess::Alone);
        execute(&mut run, &connection, text).unwrap();
        run.is_volatile()
    };
    for text in [
        "SELECT random()",
        "SELECT hex(randomblob(2))",
        "SELECT x FROM t WHERE x < datetime('now')",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT unixepoch()",
        "SELECT changes()",
        "SELECT last_insert_rowid()",
        "SELECT * FROM late",
        "SELECT x FROM t ORDER BY random()",
        "SELECT name FROM sqlite_schema",
        "SELECT name FROM pragma_table_info('t')",
        "PRAGMA table_info(t)",
        "PRAGMA data_version",
    ] {
        assert!(is_volatile(text), "{text}");
    }
    for text in
        ["SELECT * FROM plain", "SELECT sum(x), max(x), x ->> '$.a' FROM t GROUP BY x", "SELECT abs(-1)"]
    {
        assert!(!is_volatile(text), "{text}");
    }
}

// A view of an engine is made by its first write.
// Verifies: FUN-20
#[test]
fn a_table_that_is_not_there_is_read_all_the_same() {
    let connection = database("");
    let mut run = run(SqlAccess::Snapshot);
    execute(&mut run, &connection, "SELECT * FROM Main.Later").expect_err("it is not there");
    assert_eq!(names(run.reads()), ["Later", "later"]);
}
