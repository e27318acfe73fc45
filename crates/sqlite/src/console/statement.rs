//! One statement, on a connection that can only read.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
};

use ferry_core::sql::{Row, Value};
use ferry_types::Seq;
use rusqlite::{
    Connection, ErrorCode,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::functions::{self, StopCheck, held};
use crate::{
    Error, NativeSql, Result,
    connection::open_immutable,
    meta::seq_of,
    sql::{NativeRow, Parameter},
    tracked::{may_run_pragma, shows_pages},
};

/// The longest value that a statement may read or make. Some functions take time by the square of it, and cannot be stopped.
const VALUE_MAX_BYTES: i32 = 1 << 20;
/// The longest statement.
const STATEMENT_MAX_BYTES: i32 = 100_000;
/// The longest pattern of LIKE and GLOB, which take time by the product of text and pattern.
const PATTERN_MAX_BYTES: i32 = 128;
/// Steps of SQLite's machine between two looks at the limits: each may make a value, or look for a pattern in one.
pub(super) const STEPS: std::ffi::c_int = 10;
/// Functions that load code, or give a way to; and those of full-text search that take time by the square of what was found,
/// or by whatever they are told to tell.
const CLOSED_FUNCTIONS: [&str; 5] = ["load_extension", "fts3_tokenizer", "snippet", "matchinfo", "offsets"];
/// How SQLite says that a pattern is too long.
const LONG_PATTERN: &str = "LIKE or GLOB pattern too complex";
/// What full-text search asks by itself.
const DATA_VERSION: &str = "data_version";

/// Why a statement found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleFailure {
    /// The statement is wrong, or asks for what it may not.
    #[error("{0}")]
    Statement(String),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] Error),
}

/// A snapshot of a database, on a connection that can do nothing but read.
pub struct ConsoleSnapshot {
    connection: Connection,
    seq: Seq,
}

impl ConsoleSnapshot {
    /// What `connection` sees now. Its statements ask `stop` now and then, and end when that is true.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn begin(mut connection: Connection, stop: impl FnMut() -> bool + Send + 'static) -> Result<Self> {
        let sql = NativeSql(&connection);
        sql.begin_snapshot()?;
        // A pushed file has nothing of the hub's.
        let is_of_hub = connection.table_exists(None, "_ferry_meta")?;
        let seq = if is_of_hub { seq_of(&sql)? } else { Seq(0) };
        restrict(&mut connection, stop)?;
        Ok(Self { connection, seq })
    }

    /// The same of a file that nobody writes.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn of_file(path: &Path, stop: impl FnMut() -> bool + Send + 'static) -> Result<Self> {
        Self::begin(open_immutable(path)?, stop)
    }

    /// The newest commit that it shows; 0 of a pushed file.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Runs the one statement of `sql`: tells the names of its columns, and then row after row, with how many values it has,
    /// until `each` breaks. False if it was stopped.
    ///
    /// # Errors
    /// What is wrong with the statement, with the place if SQLite knows it; what storage reports.
    pub fn run(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        columns: &mut dyn FnMut(Vec<String>),
        each: &mut dyn FnMut(&dyn Row, usize) -> ControlFlow<()>,
    ) -> Result<bool, ConsoleFailure> {
        let mut statement = match self.connection.prepare(sql) {
            Ok(statement) => statement,
            Err(error) => return stopped_or(failure(error, sql)),
        };
        let width = statement.column_count();
        if width == 0 {
            let message = "this is no statement that finds rows: write a SELECT";
            return Err(ConsoleFailure::Statement(message.to_owned()));
        }
        columns(statement.column_names().map(str::to_owned).collect());
        let parameters = rusqlite::params_from_iter(parameters.iter().copied().map(Parameter));
        let mut rows = match statement.query(parameters) {
            Ok(rows) => rows,
            Err(error) => return stopped_or(failure(error, sql)),
        };
        loop {
            match rows.next() {
                Ok(Some(row)) if each(&NativeRow(row), width).is_continue() => {}
                Ok(_) => return Ok(true),
                Err(error) => return stopped_or(failure(error, sql)),
            }
        }
    }
}

/// Holds `connection` to reading, for good.
fn restrict(
    connection: &mut Connection,
    stop: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<()> {
    let stop: StopCheck = Arc::new(Mutex::new(stop));
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // What a statement sorts stays in memory, which is watched, and never fills a disk.
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;")?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_MAX_BYTES),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_MAX_BYTES),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    functions::bound(connection, &stop)?;
    connection.authorizer(Some(|attempt: AuthContext<'_>| judge(&attempt.action)))?;
    connection.progress_handler(STEPS, Some(move || (held(&stop))()))
}

fn judge(action: &AuthAction<'_>) -> Authorization {
    let may = match *action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. } => match table_name.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("pragma_") => may_tell(&table_name[7..]),
            _ => !shows_pages(table_name),
        },
        AuthAction::Function { function_name } => {
            !CLOSED_FUNCTIONS.iter().any(|closed| closed.eq_ignore_ascii_case(function_name))
        }
        AuthAction::Pragma { pragma_name, .. } => may_tell(pragma_name),
        _ => false,
    };
    if may { Authorization::Allow } else { Authorization::Deny }
}

fn may_tell(pragma: &str) -> bool {
    may_run_pragma(pragma, false) || pragma.eq_ignore_ascii_case(DATA_VERSION)
}

/// `None`: it was stopped.
fn stopped_or(failure: Option<ConsoleFailure>) -> Result<bool, ConsoleFailure> {
    failure.map_or(Ok(false), Err)
}

fn failure(error: rusqlite::Error, sql: &str) -> Option<ConsoleFailure> {
    let (code, text) = match &error {
        rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
            let place = usize::try_from(*offset).ok().and_then(|offset| place(sql, offset));
            (error.code, msg.clone() + &place.unwrap_or_default())
        }
        rusqlite::Error::SqliteFailure(error, text) => {
            (error.code, text.clone().unwrap_or_else(|| error.to_string()))
        }
        rusqlite::Error::MultipleStatement => {
            return Some(ConsoleFailure::Statement(
                "several statements at once: run them one by one".to_owned(),
            ));
        }
        rusqlite::Error::InvalidParameterCount(given, wanted) => {
            let message = format!("the statement has {wanted} parameters, and {given} values were given");
            return Some(ConsoleFailure::Statement(message));
        }
        rusqlite::Error::NulError(_) => {
            return Some(ConsoleFailure::Statement("a NUL stands in the statement: take it out".to_owned()));
        }
        _ => return Some(ConsoleFailure::Storage(error.into())),
    };
    Some(match code {
        ErrorCode::OperationInterrupted => return None,
        ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly => {
            ConsoleFailure::Statement(format!(
                "{text}: here statements only read: SELECT, VALUES, WITH, EXPLAIN, and PRAGMAs that tell of tables"
            ))
        }
        ErrorCode::TooBig => ConsoleFailure::Statement(format!(
            "{text}: a value may have 1 MiB here: leave the column out, or ask for octet_length() of it"
        )),
        ErrorCode::Unknown if text.starts_with(LONG_PATTERN) => ConsoleFailure::Statement(format!(
            "{text}: a pattern may have {PATTERN_MAX_BYTES} bytes here; instr() looks for longer texts"
        )),
        ErrorCode::Unknown
        | ErrorCode::TypeMismatch
        | ErrorCode::ApiMisuse
        | ErrorCode::ParameterOutOfRange => ConsoleFailure::Statement(text),
        _ => ConsoleFailure::Storage(error.into()),
    })
}

/// Where the byte `offset` of a statement stands, as people count.
fn place(sql: &str, offset: usize) -> Option<String> {
    let before = sql.get(..offset)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some(format!(" (line {line}, column {column})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{open_file, open_reader};

    struct Fixture {
        _dir: tempfile::TempDir,
        snapshot: ConsoleSnapshot,
    }

    /// A database as somebody may push it, looked at by a reader that asks `stop`.
    fn open(stop: impl FnMut() -> bool + Send + 'static) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.db");
        let made = open_file(&path, rusqlite::OpenFlags::default()).unwrap();
        made.execute_batch(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x, long BLOB);
             INSERT INTO t VALUES (1, 'a', zeroblob(2000000)), (9007199254740993, 'b', NULL);
             CREATE VIEW v AS SELECT x FROM t; CREATE VIEW broken AS SELECT * FROM missing;
             CREATE VIEW w AS SELECT replace(x, 'a', 'c') AS x FROM t;
             CREATE VIRTUAL TABLE f USING fts5(words); INSERT INTO f VALUES ('some words');",
        )
        .unwrap();
        drop(made);
        let snapshot = ConsoleSnapshot::begin(open_reader(&path).unwrap(), stop).unwrap();
        assert_eq!(snapshot.seq(), Seq(0));
        Fixture { _dir: dir, snapshot }
    }

    fn rows(fixture: &Fixture, sql: &str, parameters: &[Value<'_>]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut each = |row: &dyn Row, _: usize| {
            found.push(match row.value(0) {
                Value::Text(text) => text.to_owned(),
                Value::Integer(number) => number.to_string(),
                other => format!("{other:?}"),
            });
            ControlFlow::Continue(())
        };
        let whole = fixture.snapshot.run(sql, parameters, &mut |_| (), &mut each);
        match whole {
            Ok(true) => Ok(found),
            Ok(false) => Err("stopped".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    // Verifies: OPR-57
    #[test]
    fn statements_read_and_do_nothing_else() {
        let fixture = open(|| false);
        let one = |sql: &str| rows(&fixture, sql, &[]);
        assert_eq!(one("SELECT x FROM v ORDER BY 1 DESC"), Ok(vec!["b".into(), "a".into()]));
        assert_eq!(one("SELECT words FROM f WHERE f MATCH 'words'"), Ok(vec!["some words".into()]));
        assert_eq!(one("PRAGMA table_info(t)").unwrap().len(), 3);
        assert_eq!(one("SELECT name FROM pragma_table_info('v')"), Ok(vec!["x".into()]));
        assert!(one("EXPLAIN QUERY PLAN SELECT * FROM t").is_ok());
        assert_eq!(
            rows(&fixture, "SELECT x FROM t WHERE id = ?1", &[Value::Integer(9_007_199_254_740_993)]),
            Ok(vec!["b".into()])
        );
        for refused in [
            "INSERT INTO t VALUES (3, 3, 3)",
            "DELETE FROM t",
            "UPDATE t SET x = 1 RETURNING x",
            "CREATE TABLE u(x)",
            "CREATE TEMP TABLE u(x)",
            "DROP TABLE t",
            "ATTACH '/etc/passwd' AS p",
            "VACUUM INTO '/tmp/x'",
            "BEGIN",
            "COMMIT",
            "SAVEPOINT s",
            "PRAGMA journal_mode",
            "PRAGMA query_only=OFF",
            "SELECT * FROM pragma_database_list",
            "SELECT load_extension('x')",
            "SELECT fts3_tokenizer('simple')",
            "SELECT * FROM sqlite_dbpage",
            "SELECT * FROM dbstat",
            "SELECT 1; SELECT 2",
            "SELECT 1; DELETE FROM t",
            "",
            "-- nothing",
            "SELECT ?1",
            "SELECT long FROM t",
            "SELECT zeroblob(2000000) || ''",
            "SELECT * FROM broken",
        ] {
            assert!(one(refused).is_err(), "{refused:?}: {:?}", one(refused));
        }
        assert_eq!(one("SELECT count(*) FROM t"), Ok(vec!["2".into()]));
        assert_eq!(one("SELECT max(octet_length(long)) FROM t"), Ok(vec!["2000000".into()]));
    }

    // Verifies: OPR-57
    #[test]
    fn a_mistake_is_shown_with_its_place() {
        let fixture = open(|| false);
        let error = rows(&fixture, "SELECT x,\n  'ä', nosuch FROM t", &[]).unwrap_err();
        assert_eq!(error, "no such column: nosuch (line 2, column 8)");
        let error = rows(&fixture, "SELEC 1", &[]).unwrap_err();
        assert_eq!(error, "near \"SELEC\": syntax error (line 1, column 1)");
        let error = rows(&fixture, "SELECT json('{')", &[]).unwrap_err();
        assert!(error.starts_with("malformed JSON"), "{error}");
        let error = rows(&fixture, "DELETE FROM t", &[]).unwrap_err();
        assert!(error.contains("only read"), "{error}");
    }

    // Verifies: OPR-57
    #[test]
    fn what_does_not_end_is_ended() {
        let mut asked = 0;
        let fixture = open(move || {
            asked += 1;
            asked > 1000
        });
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        assert_eq!(rows(&fixture, endless, &[]), Err("stopped".to_owned()));
    }

    // Verifies: OPR-57
    #[test]
    fn one_call_on_two_long_texts_is_refused_and_others_find_what_sqlites_do() {
        let fixture = open(|| false);
        let one = |sql: &str| rows(&fixture, sql, &[]);
        let long = "printf('%.*c', 1000000, 'a')";
        for refused in [
            format!("SELECT length(ltrim({long}, printf('%.*c', 80000, 'b') || 'a'))"),
            format!("SELECT length(rtrim({long}, printf('%.*c', 80000, 'b') || 'a'))"),
            format!("SELECT length(trim({long}, printf('%.*c', 80000, 'b') || 'a'))"),
            format!("SELECT instr({long}, printf('%.*c', 500000, 'a') || 'b')"),
            format!("SELECT replace({long}, printf('%.*c', 500000, 'a') || 'b', '')"),
            format!("SELECT unhex(replace({long}, 'a', 'x'), printf('%.*c', 80000, 'y') || 'x')"),
            format!("SELECT json_patch('{{}}', {long})"),
            format!("SELECT jsonb_patch({long}, {long})"),
        ] {
            let error = one(&refused).unwrap_err();
            assert!(
                error.contains("would take too long here: one of both may be long"),
                "{refused}: {error}"
            );
        }
        for pattern in ["LIKE", "GLOB"] {
            let error = one(&format!("SELECT {long} {pattern} printf('%.*c', 129, 'a')")).unwrap_err();
            assert!(error.contains("a pattern may have 128 bytes here"), "{error}");
        }
        assert!(one("SELECT snippet(f, 0, '', '', '', 5) FROM f WHERE f MATCH 'some'").is_err());
        assert_eq!(
            one("SELECT highlight(f, 0, '<', '>') FROM f WHERE f MATCH 'some'"),
            Ok(vec!["<some> words".into()])
        );

        let plain = Connection::open_in_memory().unwrap();
        for call in [
            format!("instr({long} || 'é', 'aé')"),
            format!("length(replace({long}, 'aa', 'b'))"),
            format!("length(trim({long} || ' x', 'xa'))"),
            format!("{long} || 'b' LIKE '%' || printf('%.*c', 100, 'A') || 'b'"),
            "trim('xxhixx', 'x') || ltrim('xxhixx', 'x') || rtrim('xxhixx', 'x') || trim('  a ')".into(),
            "instr(1.5e300, '+')".into(),
            "instr(x'000102', x'02') || typeof(instr(NULL, 'a'))".into(),
            "replace(12345, 3, 'é') || typeof(replace('a', NULL, 'b')) || replace('a', '', 'b')".into(),
            "hex(replace(CAST(x'61ff' AS TEXT), 'a', 'b'))".into(),
            "hex(unhex('61-62', '-')) || typeof(unhex('6-1', '-'))".into(),
            r#"json_array(json_patch('{"a":1,"b":2}', '{"a":null,"c":3}'))"#.into(),
            r#"json(jsonb_patch('{"a":1}', '{"c":3}'))"#.into(),
        ] {
            let sql = format!("SELECT CAST({call} AS TEXT)");
            let expected: String = plain.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(one(&sql), Ok(vec![expected]), "{call}");
        }
        assert_eq!(one("SELECT x FROM w ORDER BY 1"), Ok(vec!["b".into(), "c".into()]));
        let error = one("SELECT json_patch('{', '{}')").unwrap_err();
        assert_eq!(error, "malformed JSON");
        let error = one(&format!("SELECT length(replace({long}, 'a', 'bbbb'))")).unwrap_err();
        assert!(error.contains("a value may have 1 MiB here"), "{error}");
    }

    // Verifies: OPR-57
    #[test]
    fn the_dearest_calls_that_are_taken_end_when_they_are_told_to() {
        let long = "printf('%.*c', 1000000, 'a')";
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
        for call in [
            format!("ltrim({long}, printf('%.*c', 250, char(98 + i % 2)) || 'a')"),
            format!("instr({long}, printf('%.*c', 250, 'a') || i)"),
            format!("replace({long}, printf('%.*c', 250, 'a') || i, '')"),
            format!("unhex(replace({long}, 'a', 'x'), printf('%.*c', 250, 'y') || 'x' || i)"),
            format!("{long} LIKE '%' || printf('%.*c', 120, 'a') || i"),
            format!("{long} GLOB '*' || printf('%.*c', 120, 'a') || i"),
            "json_patch('{}', printf('{%.*c', 60000, ' ') || '\"' || i || '\":1}')".into(),
        ] {
            // Asked so often, and no more: between two of these nothing runs for long.
            let mut asked = 0;
            let fixture = open(move || {
                asked += 1;
                asked > 20
            });
            // Many calls between two steps that are counted.
            let calls = vec![format!("max(length({call}))"); 30].join(", ");
            assert_eq!(
                rows(&fixture, &format!("{endless} SELECT {calls} FROM n"), &[]),
                Err("stopped".into())
            );
        }
    }
}
