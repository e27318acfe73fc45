//! Which rows a statement is told to depend on, and which a write to have changed.

use std::fmt::Write as _;

use ferry_core::{
    functions::live::{ColumnKey, ColumnKeys, RowValue, RowsChanged, RowsRead},
    sql::Value,
};
use ferry_sqlite::{NativeSql, tracked::SqlAccess};
use rusqlite::Connection;

use crate::support::{Rows, database, execute, run};

const SCHEMA: &str = "
    CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, mail TEXT COLLATE NOCASE, age INT, size REAL, any);
    CREATE TABLE posts(id INTEGER PRIMARY KEY, user_id INTEGER, title VARCHAR(20));
    CREATE TABLE keyed(id INTEGER PRIMARY KEY, name TEXT) WITHOUT ROWID;
    CREATE TABLE made(id INTEGER PRIMARY KEY, a INTEGER, b INTEGER AS (abs(a)));
    CREATE VIEW old AS SELECT * FROM users WHERE age > 60;
    CREATE VIRTUAL TABLE texts USING fts5(body);";

fn key(key: &ColumnKey) -> String {
    match key {
        ColumnKey::Integer(integer) => integer.to_string(),
        ColumnKey::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
    }
}

/// What it depends on: a table, and its ranges.
fn depends_on(connection: &Connection, text: &str, parameters: &[Value<'_>]) -> String {
    let mut run = run(SqlAccess::Snapshot);
    run.execute(NativeSql(connection), text, parameters, &mut Rows::default())
        .unwrap_or_else(|failure| panic!("{text}: {failure}"));
    let mut shown = String::new();
    for read in run.depends_on().iter() {
        write!(shown, "{}{}", if shown.is_empty() { "" } else { ", " }, read.table).unwrap();
        let RowsRead::Of(ranges) = &read.rows else { continue };
        for range in ranges.iter() {
            shown.push('[');
            for condition in range.0.iter() {
                let keys = match &condition.keys {
                    ColumnKeys::Points(points) => points.iter().map(key).collect::<Vec<_>>().join("|"),
                    ColumnKeys::Span(low, high) => {
                        format!("{:?}..{:?}", low.as_ref().map(key), high.as_ref().map(key)).replace('"', "")
                    }
                };
                write!(shown, "{}:{keys} ", condition.column).unwrap();
            }
            shown = shown.trim_end().to_owned() + "]";
        }
    }
    shown
}

// Verifies: FUN-34
#[test]
fn a_statement_depends_on_the_rows_that_it_asks_for() {
    let connection = database(SCHEMA);
    let seven = &[Value::Integer(7)][..];
    let ada = &[Value::Text("Ada")][..];
    for (text, parameters, expected) in [
        (r#"select "id", "name" from "users" where "users"."id" = ?"#, seven, "users[0:7]"),
        ("select * from users where id = ?", &[Value::Real(7.0)], "users[0:7]"),
        ("select * from USERS where ID in (?, 3)", seven, "users[0:7|3]"),
        ("select * from users where name = ? and age > 3", ada, "users[1:\"Ada\" 3:Excluded(3)..Unbounded]"),
        ("select * from posts where user_id = ? order by id desc limit 10", seven, "posts[1:7]"),
        (
            "select * from posts where title between ? and 'C'",
            ada,
            "posts[2:Included(\\Ada\\)..Included(\\C\\)]",
        ),
        (
            "select * from posts join users on posts.user_id = users.id where posts.id = ?",
            seven,
            "posts[0:7], users",
        ),
        (
            "select * from posts p left join users u on p.user_id = u.id where p.id = 1 and u.name = ?",
            ada,
            "posts[0:1], users[1:\"Ada\"]",
        ),
        // A value of another type is compared as SQLite sees fit.
        ("select * from users where id = ?", ada, "users"),
        ("select * from users where id = ?", &[Value::Real(7.5)], "users"),
        ("select * from users where id = ?", &[Value::Null], "users"),
        ("select * from users where name = ?", seven, "users"),
        ("select * from users where name = ?", &[Value::Blob(b"Ada")], "users"),
        ("select * from users where mail = ?", ada, "users"),
        ("select * from users where size = ?", seven, "users"),
        ("select * from users where \"any\" = ?", seven, "users"),
        ("select * from users where rowid = ?", seven, "users"),
        ("select * from users where \"none\" = ?", ada, "users"),
        ("select * from keyed where id = ?", seven, "keyed"),
        ("select * from made where id = ?", seven, "made"),
        ("select * from old where id = ?", seven, "users"),
        ("select * from users join old on old.id = users.id where users.id = ?", seven, "users"),
        ("select * from users a join users b on a.id = b.age where a.id = ?", seven, "users"),
        ("select * from users where id = ? or name = 'x'", seven, "users"),
    ] {
        assert_eq!(depends_on(&connection, text, parameters), expected, "{text}");
    }
    let long = "x".repeat(200);
    let text = "select * from users where name = ?";
    assert_eq!(depends_on(&connection, text, &[Value::Text(&long)]), "users");
    let text = "select * from users where id = ? and name like ?";
    assert_eq!(depends_on(&connection, text, &[Value::Integer(7), Value::Text("A%")]), "users[0:7]");
    let long = "x".repeat(50_001);
    let like = run(SqlAccess::Snapshot).execute(
        NativeSql(&connection),
        text,
        &[Value::Integer(7), Value::Text(&long)],
        &mut Rows::default(),
    );
    like.expect("there is no row to fail at");
}

// Verifies: FUN-34
#[test]
fn a_call_depends_on_all_that_its_statements_ask_for() {
    let connection = database(SCHEMA);
    let sql = NativeSql(&connection);
    let mut run = run(SqlAccess::Alone);
    let text = "select * from users where id = ?";
    for id in [1, 2, 1] {
        run.execute(sql, text, &[Value::Integer(id)], &mut Rows::default()).unwrap();
    }
    let ranges = |reads: &ferry_core::functions::live::Reads| match &reads.iter().next().unwrap().rows {
        RowsRead::All => None,
        RowsRead::Of(ranges) => Some(ranges.len()),
    };
    assert_eq!(ranges(&run.depends_on()), Some(2));
    for id in 0..127 {
        run.execute(sql, text, &[Value::Integer(id)], &mut Rows::default()).unwrap();
    }
    assert_eq!(ranges(&run.depends_on()), Some(127));
    execute(&mut run, &connection, "select count(*) from users").unwrap();
    assert_eq!(ranges(&run.depends_on()), None);
    run.execute(sql, text, &[Value::Integer(1)], &mut Rows::default()).unwrap();
    assert_eq!(ranges(&run.depends_on()), None);
}

fn cell(cell: &RowValue) -> String {
    match cell {
        RowValue::Null => "-".into(),
        RowValue::Other => "?".into(),
        RowValue::ColumnKey(found) => key(found),
    }
}

fn changes(connection: &Connection, text: &str) -> String {
    let mut run = run(SqlAccess::Alone);
    execute(&mut run, connection, text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
    let shown = run.writes().into_iter().map(|write| {
        let rows = match &write.rows {
            RowsChanged::Any => "any".into(),
            RowsChanged::Of(rows) => {
                let rows = rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" "));
                rows.collect::<Vec<_>>().join("; ")
            }
        };
        format!("{}: {rows}", write.table)
    });
    shown.collect::<Vec<_>>().join(" / ")
}

// Verifies: FUN-34
#[test]
fn a_write_tells_its_rows_before_and_after() {
    let connection = database(SCHEMA);
    let connection = &connection;
    let long = "x".repeat(200);
    assert_eq!(
        changes(connection, "insert into posts values (1, 7, 'one'), (2, 7.5, NULL)"),
        "posts: 1 7 \"one\"; 2 ? -"
    );
    assert_eq!(
        changes(connection, "update posts set user_id = 8 where id = 1"),
        "posts: 1 7 \"one\"; 1 8 \"one\""
    );
    assert_eq!(
        changes(connection, "update posts set id = 3 where id = 1"),
        "posts: 1 8 \"one\"; 3 8 \"one\""
    );
    assert_eq!(
        changes(connection, "replace into posts values (3, 9, 'three')"),
        "posts: 3 8 \"one\"; 3 9 \"three\""
    );
    assert_eq!(
        changes(connection, &format!("update posts set title = '{long}' where id = 2")),
        "posts: 2 ? -; 2 ? ?"
    );
    assert_eq!(changes(connection, "delete from posts"), "posts: 2 ? ?; 3 9 \"three\"");
    assert_eq!(changes(connection, "update posts set title = 'x'"), "");
    assert_eq!(changes(connection, "insert into keyed values (1, 'x')"), "keyed: any");
    assert_eq!(changes(connection, "insert into texts values ('x')"), "texts: any");
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) insert into posts select i, i, i from n";
    assert_eq!(changes(connection, many), "posts: any");
    // The rows of before hold the default of a column that was added.
    connection.execute_batch("delete from posts; insert into posts values (1, 7, 'x'); alter table posts add column late INTEGER DEFAULT 5").unwrap();
    assert_eq!(changes(connection, "update posts set late = 6"), "posts: 1 7 \"x\" 5; 1 7 \"x\" 6");
    assert_eq!(changes(connection, "delete from posts"), "posts: 1 7 \"x\" 6");
}
