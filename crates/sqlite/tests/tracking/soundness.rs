//! No query whose answer changed is missed: whatever a query answers otherwise after a write, its reads meet what was
//! written, table by table and row by row. Random schemas, queries and writes from seeds. `FERRY_TRACKING_SEED=n` replays one; `FERRY_TRACKING_CASES=n`
//! goes on until so many writes were compared.

use std::collections::BTreeSet;

use ferry_core::functions::live::{Reads, RowsRead, TableWrite};
use ferry_sqlite::{
    NativeSql,
    tracked::{SqlAccess, SqlLimits, TrackedRun},
};
use ferry_testkit::random_sql::{Dice, Schema};
use rusqlite::Connection;

use crate::support::{Rows, database, execute, names};

/// Writes that are compared when nothing else is asked for.
const CASES: u64 = 2_000;
/// Queries whose answers are compared, and writes, of one database.
const QUERIES: usize = 14;
const WRITES: usize = 20;

/// What a query answered, and what it has read.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    rows: Result<Vec<Vec<String>>, String>,
    reads: BTreeSet<String>,
    depends_on: Reads,
}

impl Answer {
    /// Whether the rows that were written may be among those that it depends on.
    fn is_met(&self, writes: &[TableWrite]) -> bool {
        let meets = |write: &TableWrite| {
            self.depends_on.iter().any(|read| read.table == write.table && read.is_affected(&write.rows))
        };
        writes.iter().any(meets)
    }
}

/// A run that ends after so many steps of SQLite's machine, for views of views may multiply.
fn bounded(access: SqlAccess) -> TrackedRun {
    let mut questions = 30;
    TrackedRun::new(access, SqlLimits::default(), move || {
        questions -= 1;
        questions > 0
    })
}

fn ask(connection: &Connection, query: &str) -> Answer {
    let (mut run, mut rows) = (bounded(SqlAccess::Snapshot), Rows::default());
    let done = run.execute(NativeSql(connection), query, &[], &mut rows);
    let rows = done.map(|_| rows.rows).map_err(|failure| failure.to_string());
    Answer { rows, reads: names(run.reads()).into_iter().collect(), depends_on: run.depends_on() }
}

#[derive(Default)]
struct Counts {
    writes: u64,
    changed_answers: u64,
    failed_queries: u64,
    failed_writes: u64,
    /// Answers that depend on some rows of a table.
    of_rows: u64,
    /// Those of them whose table was written, and no row of theirs.
    spared: u64,
}

/// Some writes of one call, of which parts may be undone. Returns what it is told to have written.
fn write(
    connection: &Connection,
    schema: &Schema,
    dice: &mut Dice,
    counts: &mut Counts,
) -> (Vec<String>, Vec<TableWrite>) {
    let (mut run, mut texts) = (bounded(SqlAccess::Alone), Vec::new());
    let sql = NativeSql(connection);
    connection.execute_batch("BEGIN").unwrap();
    for _ in 0..1 + dice.below(3) {
        let in_savepoint = dice.one_in(4);
        if in_savepoint {
            texts.push("SAVEPOINT".to_owned());
            run.begin_savepoint(sql).unwrap();
        }
        for _ in 0..1 + dice.below(2) {
            let text = schema.write(dice);
            let before = (run.written().to_vec(), connection.total_changes());
            let failure = execute(&mut run, connection, &text).err();
            counts.failed_writes += u64::from(failure.is_some());
            if connection.total_changes() == before.1 && failure.is_none() {
                assert_eq!(run.written(), before.0, "nothing was changed: {text}");
            }
            texts.push(format!("{text} -- {failure:?}"));
            if connection.is_autocommit() {
                // It was stopped, and everything with it.
                return (texts, Vec::new());
            }
        }
        if in_savepoint && dice.one_in(2) {
            texts.push("ROLLBACK TO".to_owned());
            run.rollback_savepoint(sql).unwrap();
        } else if in_savepoint {
            run.release_savepoint(sql).unwrap();
        }
    }
    if run.finish(sql).is_err() {
        texts.push("ROLLBACK".to_owned());
        connection.execute_batch("ROLLBACK").unwrap();
        return (texts, Vec::new());
    }
    connection.execute_batch("COMMIT").unwrap();
    (texts, run.writes())
}

fn one_database(seed: u64, counts: &mut Counts) {
    let mut dice = Dice::new(seed);
    let schema = Schema::random(&mut dice);
    let connection = database("");
    for statement in &schema.statements {
        connection.execute_batch(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let queries: Vec<String> = (0..QUERIES).map(|_| schema.query(&mut dice)).collect();
    let mut answers: Vec<Answer> = queries.iter().map(|query| ask(&connection, query)).collect();
    for _ in 0..WRITES {
        let (texts, written): (Vec<String>, Vec<TableWrite>) = write(&connection, &schema, &mut dice, counts);
        counts.writes += 1;
        for (query, before) in queries.iter().zip(&mut answers) {
            let now = ask(&connection, query);
            counts.failed_queries += u64::from(now.rows.is_err());
            if now.rows != before.rows {
                counts.changed_answers += 1;
                assert!(
                    before.is_met(&written),
                    "missed: {query}\nhas read {:?}, written was {written:?} by\n{}\nschema:\n{}\nbefore {:?}\nnow {:?}",
                    before.depends_on,
                    texts.join("\n"),
                    schema.statements.join(";\n"),
                    before.rows,
                    now.rows,
                );
            }
            if before.depends_on.iter().any(|read| read.rows != RowsRead::All) {
                counts.of_rows += 1;
                let is_written = written.iter().any(|write| before.reads.contains(&*write.table));
                counts.spared += u64::from(is_written && !before.is_met(&written));
            }
            assert_eq!(now.reads, before.reads, "the reads of {query} do not depend on the data");
            *before = now;
        }
    }
}

// Verifies: FUN-20, FUN-21, FUN-34
#[test]
fn no_query_whose_answer_changed_is_missed() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let only = number("FERRY_TRACKING_SEED");
    let cases = number("FERRY_TRACKING_CASES").unwrap_or(CASES);
    let (mut counts, mut seed) = (Counts::default(), only.unwrap_or(1));
    while counts.writes < cases {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one_database(seed, &mut counts)));
        if let Err(panic) = outcome {
            eprintln!("to replay: FERRY_TRACKING_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
        if only.is_some() {
            return;
        }
        seed += 1;
    }
    let Counts { writes, changed_answers, failed_queries, failed_writes, of_rows, spared } = counts;
    println!(
        "{writes} writes ({failed_writes} statements failed), {changed_answers} answers changed, {failed_queries} queries \
         failed; {of_rows} answers depended on some rows, {spared} of them on none of those that their table's writes changed"
    );
    assert!(of_rows > writes / 2 && spared > of_rows / 10, "rows are told apart");
    assert!(changed_answers > writes, "the queries see what is written");
    assert!(failed_queries < writes, "most queries are ones that SQLite understands");
}
