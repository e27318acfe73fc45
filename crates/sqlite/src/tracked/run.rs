//! The SQL of one call of a function: what it may use, and what it has read and written so far.

use std::{ffi::c_int, sync::Arc};

use ferry_core::{
    functions::live::{Reads, TableWrite},
    sql::{Row, Value},
};
use rusqlite::{Connection, Statement};

use super::{
    SqlLimit, StatementFailure,
    attempt::INTENTS,
    attempt::StatementFacts,
    catalog::add,
    changed::{self, ChangedTable, WrittenTables},
    reads::ReadTables,
    tracker::{Guarded, ShortValues, Tracker},
};
use crate::{
    NativeSql,
    ffi::{self, RowChange, SqlProgress},
    sql::{NativeRow, Parameter},
};

/// Steps of SQLite's virtual machine between two questions for the CPU that is left: some tenths of a millisecond.
const STEPS_PER_QUESTION: c_int = 10_000;
/// How often more a statement that writes among others' is asked before it is stopped together with them.
const QUESTIONS_BEFORE_STOP: u32 = 2_000;

/// Where a function's SQL runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlAccess {
    /// On a snapshot: a write gives [`StatementFailure::NeedsWriter`].
    Snapshot,
    /// In a savepoint of a group. A write that is out of CPU is made to fail by itself first, since SQLite undoes the whole
    /// transaction of one that is stopped.
    Group,
    /// In a transaction of its own.
    Alone,
}

/// What the SQL of one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlLimits {
    /// Statements.
    pub statements: u64,
    /// Rows that they answer.
    pub rows: u64,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self { statements: 10_000, rows: 1_000_000 }
    }
}

/// Takes the rows of a statement, one at a time.
pub trait TrackedRows {
    /// The names of the columns; once, before the first row, and also if there is none.
    fn columns(&mut self, names: &[&str]);

    /// The next row. False ends the statement.
    fn row(&mut self, row: &dyn Row) -> bool;
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementDone {
    /// Rows that it inserted, changed or removed itself.
    pub changes: u64,
    /// Rowid of the newest insert of the connection.
    pub last_insert_rowid: i64,
    /// Whether writes to views of records wait to be applied.
    pub has_queued_intents: bool,
}

/// The SQL of one call.
pub struct TrackedRun {
    access: SqlAccess,
    limits: SqlLimits,
    has_cpu_left: Box<dyn FnMut() -> bool + Send>,
    statements: u64,
    rows: u64,
    reads: ReadTables,
    selected: Vec<Arc<str>>,
    written: WrittenTables,
    /// How long `written` was when each open savepoint began.
    savepoints: Vec<usize>,
    is_volatile: bool,
    has_queued_intents: bool,
}

/// How a statement ended.
struct Ended {
    result: Result<(), StatementFailure>,
    /// What it does; of one that could not be prepared nothing.
    facts: Arc<StatementFacts>,
    is_write: bool,
    changed: Vec<ChangedTable>,
}

impl Ended {
    /// Whether it failed and what it had changed stays: SQLite undoes nothing, and counts nothing, where a value has the
    /// wrong type for a STRICT table.
    fn has_left_rows(&self) -> bool {
        let is_type = |failure: &StatementFailure| matches!(failure, StatementFailure::Constraint(text) if text.starts_with("cannot store "));
        !self.changed.is_empty() && self.result.as_ref().is_err_and(is_type)
    }
}

impl TrackedRun {
    /// One that has run nothing yet. `has_cpu_left` is asked now and then while a statement runs.
    pub fn new(
        access: SqlAccess,
        limits: SqlLimits,
        has_cpu_left: impl FnMut() -> bool + Send + 'static,
    ) -> Self {
        Self {
            access,
            limits,
            has_cpu_left: Box::new(has_cpu_left),
            statements: 0,
            rows: 0,
            reads: ReadTables::default(),
            selected: Vec::new(),
            written: WrittenTables::default(),
            savepoints: Vec::new(),
            is_volatile: false,
            has_queued_intents: false,
        }
    }

    /// Its statements go on elsewhere, as those of a call that began on a snapshot and now has the writer. What it has read
    /// stays.
    pub const fn set_access(&mut self, access: SqlAccess) {
        self.access = access;
    }

    /// Runs one statement inside the transaction that is open, or on the snapshot.
    ///
    /// # Errors
    /// Why it did not run. What it changed is undone then, unless it asked for `OR FAIL`; if SQLite ended the transaction,
    /// it is gone (`Connection::is_autocommit`).
    pub fn execute(
        &mut self,
        sql: NativeSql<'_>,
        text: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn TrackedRows,
    ) -> Result<StatementDone, StatementFailure> {
        let connection = sql.0;
        self.statements += 1;
        if self.statements > self.limits.statements {
            return Err(StatementFailure::Limit(SqlLimit::Statements(self.limits.statements)));
        }
        let tracker = ffi::tracker(connection)?;
        let before = connection.total_changes();
        let mut ended = self.run(connection, tracker, text, parameters, rows)?;
        // What the schema was thought to hold decided: where that was out of date, nothing has run yet.
        if matches!(ended.result, Err(StatementFailure::Prohibited(_)))
            && tracker.renew_catalog(connection)?
        {
            ended = self.run(connection, tracker, text, parameters, rows)?;
        }
        let is_select = !ended.is_write;
        self.reads.add(&ended.facts, parameters, is_select);
        if is_select {
            ended.facts.reads.iter().for_each(|table| add(&mut self.selected, table));
        }
        if let Err(StatementFailure::Sql(text)) = &ended.result
            && let Some(missing) = text.strip_prefix("no such table: ")
        {
            // A view of an engine is made by its first write.
            let of_main = missing.split_once('.').filter(|(of, _)| of.eq_ignore_ascii_case("main"));
            let missing = of_main.map_or(missing, |(_, name)| name);
            self.reads.add_whole(&missing.into());
            self.reads.add_whole(&missing.to_ascii_lowercase().into());
        }
        self.is_volatile |= ended.facts.is_volatile;
        let has_changed = connection.total_changes() != before || ended.has_left_rows();
        let changes = if ended.is_write && ended.result.is_ok() { connection.changes() } else { 0 };
        if ended.is_write && (has_changed || ended.result.is_ok()) {
            self.note_changes(tracker, &ended.facts, ended.changed, changes, has_changed);
        }
        ended.result?;
        Ok(StatementDone {
            changes,
            last_insert_rowid: connection.last_insert_rowid(),
            has_queued_intents: std::mem::take(&mut self.has_queued_intents),
        })
    }

    fn run(
        &mut self,
        connection: &Connection,
        tracker: &Tracker,
        text: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn TrackedRows,
    ) -> Result<Ended, StatementFailure> {
        let known = tracker.known(connection, text)?;
        let _short = ShortValues::of(connection)?;
        let guard = tracker.guard(Guarded::Function);
        let (mut facts, mut is_write, mut changed) = (Arc::default(), false, Vec::new());
        let mut note = |change: &RowChange<'_>| changed::note(&mut changed, change);
        let result = ffi::with_row_changes(connection, &mut note, || {
            let mut prepared = guard.prepare(connection, text, known)?;
            is_write = !prepared.statement.readonly();
            let stepped = self.step(connection, &mut prepared.statement, is_write, parameters, rows);
            let stepped = prepared.after_step(&guard, connection, text, stepped);
            facts = prepared.facts;
            stepped
        });
        Ok(Ended { result, facts, is_write, changed })
    }

    fn step(
        &mut self,
        connection: &Connection,
        statement: &mut Statement<'_>,
        is_write: bool,
        parameters: &[Value<'_>],
        rows: &mut dyn TrackedRows,
    ) -> Result<(), StatementFailure> {
        if is_write && self.access == SqlAccess::Snapshot {
            return Err(StatementFailure::NeedsWriter);
        }
        let (expected, given) = (statement.parameter_count(), parameters.len());
        if expected != given {
            let message = format!("the statement has {expected} parameters, and {given} values were given");
            return Err(StatementFailure::Sql(message));
        }
        for (number, value) in parameters.iter().enumerate() {
            statement.raw_bind_parameter(number + 1, Parameter(*value))?;
        }
        let Self { access, has_cpu_left, limits, rows: answered, .. } = self;
        let starves_first = is_write && *access == SqlAccess::Group;
        let mut asked_in_vain = 0;
        let mut next = || {
            if asked_in_vain == 0 && has_cpu_left() {
                return SqlProgress::GoOn;
            }
            asked_in_vain += 1;
            if starves_first && asked_in_vain < QUESTIONS_BEFORE_STOP {
                SqlProgress::Starve
            } else {
                SqlProgress::Stop
            }
        };
        let result = ffi::with_progress(connection, STEPS_PER_QUESTION, &mut next, || {
            hand_out(statement, rows, answered, limits.rows)
        });
        if asked_in_vain > 0 { result.map_err(|_| StatementFailure::Limit(SqlLimit::Cpu)) } else { result }
    }

    fn note_changes(
        &mut self,
        tracker: &Tracker,
        facts: &StatementFacts,
        changed: Vec<ChangedTable>,
        changes: u64,
        has_changed: bool,
    ) {
        let catalog = tracker.catalog();
        let has_intents = changed.iter().any(|table| table.name.eq_ignore_ascii_case(INTENTS));
        changed.into_iter().for_each(|table| self.written.add(&catalog, table));
        if changes > 0
            && let Some(target) = facts.target.as_ref().filter(|target| !self.written.has(target))
        {
            self.written.add_any(target);
        }
        if has_changed {
            facts.hidden.iter().for_each(|table| self.written.add_any(table));
        }
        if has_intents {
            self.has_queued_intents = true;
            facts.views.iter().for_each(|view| self.written.add_any(view));
        }
    }

    /// Begins a transaction inside the call's own.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn begin_savepoint(&mut self, sql: NativeSql<'_>) -> Result<(), StatementFailure> {
        run(sql.0, "SAVEPOINT function")?;
        self.savepoints.push(self.written.tables().len());
        Ok(())
    }

    /// Keeps what was done since the last [`Self::begin_savepoint`].
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn release_savepoint(&mut self, sql: NativeSql<'_>) -> Result<(), StatementFailure> {
        self.savepoints.pop();
        run(sql.0, "RELEASE function")
    }

    /// Undoes what was done since the last [`Self::begin_savepoint`].
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn rollback_savepoint(&mut self, sql: NativeSql<'_>) -> Result<(), StatementFailure> {
        run(sql.0, "ROLLBACK TO function")?;
        run(sql.0, "RELEASE function")?;
        if let Some(length) = self.savepoints.pop() {
            self.written.truncate(length);
        }
        Ok(())
    }

    /// Whether what was done may be committed: a foreign key that is checked at the end of the transaction would fail the
    /// COMMIT, and with it whoever shares it.
    ///
    /// # Errors
    /// The constraint.
    pub fn finish(&self, sql: NativeSql<'_>) -> Result<(), StatementFailure> {
        if ffi::has_broken_foreign_keys(sql.0) {
            return Err(StatementFailure::Constraint("FOREIGN KEY constraint failed".into()));
        }
        Ok(())
    }

    /// The tables and views whose rows its outcome depends on, in the order in which they were met.
    #[must_use]
    pub fn reads(&self) -> &[Arc<str>] {
        self.reads.tables()
    }

    /// The same, and which rows of each where that is known.
    #[must_use]
    pub fn depends_on(&self) -> Reads {
        self.reads.reads()
    }

    /// The same of its statements that only read.
    #[must_use]
    pub fn selected(&self) -> &[Arc<str>] {
        &self.selected
    }

    /// The tables and views of which it changed a row.
    #[must_use]
    pub fn written(&self) -> &[Arc<str>] {
        self.written.tables()
    }

    /// The same, and which rows of each where that is known.
    #[must_use]
    pub fn writes(&self) -> Vec<TableWrite> {
        self.written.writes()
    }

    /// Whether its statements may answer otherwise next time although nothing that they read has changed.
    #[must_use]
    pub const fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    /// Whether a statement that failed left writes to views of records that wait to be applied.
    #[must_use]
    pub const fn has_queued_intents(&self) -> bool {
        self.has_queued_intents
    }

    /// It has read this otherwise than by SQL.
    pub fn note_read(&mut self, name: &str) {
        let name = name.into();
        self.reads.add_whole(&name);
        add(&mut self.selected, &name);
    }

    /// It has written this otherwise than by SQL.
    pub fn note_written(&mut self, name: &str) {
        self.written.add_any(&name.into());
    }
}

/// Hands out the rows of a statement that has its parameters.
fn hand_out(
    statement: &mut Statement<'_>,
    rows: &mut dyn TrackedRows,
    answered: &mut u64,
    limit: u64,
) -> Result<(), StatementFailure> {
    let names = |statement: &Statement<'_>, rows: &mut dyn TrackedRows| {
        rows.columns(&statement.column_names().collect::<Vec<_>>());
    };
    let mut has_names = false;
    let mut query = statement.raw_query();
    while let Some(row) = query.next()? {
        // Not before: SQLite may have prepared the statement anew.
        if !has_names {
            names(row.as_ref(), rows);
            has_names = true;
        }
        *answered += 1;
        if *answered > limit {
            return Err(StatementFailure::Limit(SqlLimit::Rows(limit)));
        }
        if !rows.row(&NativeRow(row)) {
            break;
        }
    }
    drop(query);
    if !has_names {
        names(statement, rows);
    }
    Ok(())
}

fn run(connection: &Connection, text: &str) -> Result<(), StatementFailure> {
    connection.prepare_cached(text)?.execute([])?;
    Ok(())
}
