//! What the SQL of one call may use.

use ferry_core::sql::Value;
use ferry_sqlite::{
    NativeSql,
    tracked::{FUNCTION_VALUE_MAX_BYTES, SqlAccess, SqlLimit, SqlLimits, StatementFailure, TrackedRun},
};

use crate::support::{Rows, database, execute, failure, names, reads, run};

const ENDLESS: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";

#[test]
fn statements_and_rows_are_counted() {
    let connection = database("CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)");
    let limits = SqlLimits { statements: 3, rows: 5 };
    let mut run = TrackedRun::new(SqlAccess::Snapshot, limits, || true);
    execute(&mut run, &connection, "SELECT x FROM t").unwrap();
    let failure = execute(&mut run, &connection, "SELECT x FROM t").unwrap_err();
    assert_eq!(failure, StatementFailure::Limit(SqlLimit::Rows(5)));
    assert_eq!(failure.to_string(), "a function may read 5 rows: this one read more");
    let failure = execute(&mut run, &connection, "SELECT 1").unwrap_err();
    assert_eq!(failure, StatementFailure::Limit(SqlLimit::Rows(5)));
    let failure = execute(&mut run, &connection, "SELECT 1").unwrap_err();
    assert_eq!(failure, StatementFailure::Limit(SqlLimit::Statements(3)));
    assert_eq!(names(run.reads()), ["t"], "what was begun was read");
}

#[test]
fn rows_come_with_names_and_stop_when_no_more_are_wanted() {
    let connection = database("CREATE TABLE t(x, y); INSERT INTO t VALUES (1, 'a'), (2, x'00'), (3, NULL)");
    let mut rows = Rows { wanted: Some(2), ..Rows::default() };
    let sql = NativeSql(&connection);
    run(SqlAccess::Snapshot).execute(sql, "SELECT x AS n, y FROM t", &[], &mut rows).unwrap();
    assert_eq!(
        (rows.columns, rows.rows),
        (vec!["n".into(), "y".into()], vec![vec!["1".into(), "a".into()], vec!["2".into(), "[0]".into()]])
    );
    let mut rows = Rows::default();
    let text = "SELECT x, y FROM t WHERE x = ? AND y IS ?";
    let values = [Value::Integer(3), Value::Text("no")];
    run(SqlAccess::Snapshot).execute(sql, text, &values, &mut rows).unwrap();
    assert_eq!((rows.columns.len(), rows.rows.len()), (2, 0), "names come without rows too");
    let mut rows = Rows::default();
    let text = "INSERT INTO t VALUES (?1, ?1), (?2, NULL) RETURNING x";
    let values = [Value::Integer(8), Value::Integer(9)];
    let done = run(SqlAccess::Alone).execute(sql, text, &values, &mut rows).unwrap();
    assert_eq!((done.changes, done.last_insert_rowid, rows.rows.len()), (2, 5, 2));
}

#[test]
fn a_query_without_end_is_stopped_and_the_transaction_stays() {
    let connection = database("CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES (1)");
    for access in [SqlAccess::Snapshot, SqlAccess::Group, SqlAccess::Alone] {
        let mut questions = 5;
        let mut run = TrackedRun::new(access, SqlLimits::default(), move || {
            questions -= 1;
            questions > 0
        });
        let failure = execute(&mut run, &connection, ENDLESS).unwrap_err();
        assert_eq!(failure, StatementFailure::Limit(SqlLimit::Cpu));
        assert!(!connection.is_autocommit(), "{access:?}");
    }
    assert_eq!(reads(&connection, "SELECT x FROM t"), ["t"], "others go on");
}

#[test]
fn a_write_without_end_fails_alone_in_a_group() {
    let connection =
        database("CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES ('another call''s'); SAVEPOINT request");
    let mut run = TrackedRun::new(SqlAccess::Group, SqlLimits::default(), || false);
    let text = "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
        SELECT 'a row of more than thirty bytes, as most are ' || x FROM n";
    let failure = execute(&mut run, &connection, text).unwrap_err();
    assert_eq!(failure, StatementFailure::Limit(SqlLimit::Cpu));
    assert!(!connection.is_autocommit() && run.written().is_empty());
    connection.execute_batch("ROLLBACK TO request; RELEASE request; COMMIT").unwrap();
    let kept: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
    let text = "INSERT INTO t VALUES ('the limit of values is as before, for this one is longer')";
    execute(&mut self::run(SqlAccess::Group), &connection, text).unwrap();
}

#[test]
fn a_write_without_end_that_cannot_fail_by_itself_is_stopped() {
    for access in [SqlAccess::Group, SqlAccess::Alone] {
        let connection = database("CREATE TABLE t(x); BEGIN");
        let mut run = TrackedRun::new(access, SqlLimits::default(), || false);
        let text = "DELETE FROM t WHERE 0 < (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
            SELECT count(*) FROM n)";
        connection.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let failure = execute(&mut run, &connection, text).unwrap_err();
        assert_eq!(failure, StatementFailure::Limit(SqlLimit::Cpu));
        assert!(connection.is_autocommit(), "SQLite has undone the transaction");
    }
}

#[test]
fn values_that_are_too_long_are_refused_while_a_function_runs() {
    let connection = database("CREATE TABLE t(x)");
    let text = format!("SELECT length(zeroblob({}))", FUNCTION_VALUE_MAX_BYTES + 1);
    let long = failure(&connection, &text);
    assert_eq!(long, StatementFailure::Sql("string or blob too big".into()));
    connection.query_row(&text, [], |_| Ok(())).unwrap();
}
