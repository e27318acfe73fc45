//! What a connection keeps of functions' SQL: who may do what just now, and what each kept statement reads and writes.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ops::Deref,
    sync::Arc,
};

use rusqlite::{CachedStatement, Connection, Statement, StatementStatus, limits::Limit};

use super::{
    StatementFailure,
    attempt::{AccessAttempt, StatementAttempts, StatementFacts},
    catalog::Catalog,
    conditions::Conditions,
    text::{asks_for_version, check_function},
};

/// Statements of functions that a connection keeps prepared, beside the engines'.
const STATEMENTS: usize = 64;
/// What the text of a kept statement of a function begins with: a statement that an engine prepared was never checked.
const MARK: &str = "/*f*/";

/// Whose statements a connection prepares and runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Guarded {
    /// The hub's own: nothing is looked at.
    #[default]
    No,
    /// A function's.
    Function,
    /// A migration's.
    Migration,
}

/// A kept statement.
struct Kept {
    /// Its text as SQLite has it.
    marked: Arc<str>,
    facts: Arc<StatementFacts>,
    used: u64,
}

/// What a connection keeps of functions' SQL. There from the first statement of a function on.
#[derive(Default)]
pub(crate) struct Tracker {
    guarded: Cell<Guarded>,
    attempts: RefCell<StatementAttempts>,
    catalog: RefCell<Arc<Catalog>>,
    /// How often the statement had run, and was prepared anew, that told last whether the schema has changed.
    schema_seen: Cell<Option<(i32, i32)>>,
    kept: RefCell<HashMap<Arc<str>, Kept>>,
    uses: Cell<u64>,
}

/// What is known of a text that is to be run.
pub(super) struct KnownText {
    /// The text by which it is kept prepared.
    marked: Arc<str>,
    /// What it does, if it was run before.
    facts: Option<Arc<StatementFacts>>,
}

/// A statement of a function that is ready to run.
pub(super) struct PreparedStatement<'c> {
    pub(super) statement: CachedStatement<'c>,
    pub(super) facts: Arc<StatementFacts>,
    /// How often SQLite had prepared it anew by itself.
    prepared_anew: i32,
}

/// While this lives, what the connection prepares is a function's or a migration's.
pub(super) struct Guard<'t>(&'t Tracker);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.guarded.set(Guarded::No);
    }
}

impl Deref for Guard<'_> {
    type Target = Tracker;

    fn deref(&self) -> &Tracker {
        self.0
    }
}

impl Tracker {
    /// Whether nothing is looked at.
    pub(crate) fn is_off(&self) -> bool {
        self.guarded.get() == Guarded::No
    }

    /// Whether a statement may do this. Called by SQLite while it prepares one.
    pub(crate) fn authorize(&self, attempt: &AccessAttempt<'_>) -> bool {
        let catalog = self.catalog.borrow();
        self.attempts.borrow_mut().judge(attempt, &catalog, self.guarded.get() == Guarded::Migration)
    }

    /// Looks at what is prepared from here on.
    pub(super) fn guard(&self, whose: Guarded) -> Guard<'_> {
        self.attempts.take();
        self.guarded.set(whose);
        Guard(self)
    }

    /// What was attempted since the last call.
    pub(super) fn take_attempts(&self) -> StatementAttempts {
        self.attempts.take()
    }

    /// What the schema holds.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// Reads the schema if it has changed; true if it has.
    pub(super) fn renew_catalog(&self, connection: &Connection) -> rusqlite::Result<bool> {
        // These are the hub's own statements.
        let guarded = self.guarded.replace(Guarded::No);
        let newer = self.newer_catalog(connection);
        self.guarded.set(guarded);
        let newer = newer?;
        let is_newer = newer.is_some();
        if let Some(newer) = newer {
            self.catalog.replace(Arc::new(newer));
        }
        Ok(is_newer)
    }

    /// Whether the schema has changed is what SQLite knows by itself, when it prepares a kept statement anew. Its number
    /// (`PRAGMA schema_version`) comes again after a rollback, for another schema.
    fn newer_catalog(&self, connection: &Connection) -> rusqlite::Result<Option<Catalog>> {
        let mut statement = connection.prepare_cached("SELECT 1 FROM sqlite_schema WHERE 0")?;
        let count = |statement: &Statement<'_>, of| statement.get_status(of);
        let runs = count(&statement, StatementStatus::Run);
        statement.query([])?.next()?;
        let prepared_anew = count(&statement, StatementStatus::RePrepare);
        let seen = (count(&statement, StatementStatus::Run), prepared_anew);
        if self.schema_seen.replace(Some(seen)) == Some((runs, prepared_anew)) {
            return Ok(None);
        }
        let loaded = Catalog::load(connection);
        if loaded.is_err() {
            self.schema_seen.set(None);
        }
        loaded.map(Some)
    }

    /// What is known of a function's statement.
    ///
    /// # Errors
    /// When no function may run it.
    pub(super) fn known(&self, connection: &Connection, text: &str) -> Result<KnownText, StatementFailure> {
        let now = self.uses.get() + 1;
        self.uses.set(now);
        if let Some(kept) = self.kept.borrow_mut().get_mut(text) {
            kept.used = now;
            return Ok(KnownText { marked: Arc::clone(&kept.marked), facts: Some(Arc::clone(&kept.facts)) });
        }
        check_function(text)?;
        self.renew_catalog(connection)?;
        Ok(KnownText { marked: marked(text), facts: None })
    }

    /// Keeps what a statement does; the one that was not used for longest goes.
    fn keep(&self, connection: &Connection, text: &str, marked: &Arc<str>, facts: &Arc<StatementFacts>) {
        let mut kept = self.kept.borrow_mut();
        if let Some(kept) = kept.get_mut(text) {
            kept.facts = Arc::clone(facts);
            return;
        }
        if kept.len() >= STATEMENTS
            && let Some(oldest) =
                kept.iter().min_by_key(|(_, kept)| kept.used).map(|(text, _)| Arc::clone(text))
            && let Some(oldest) = kept.remove(&oldest)
        {
            let guarded = self.guarded.replace(Guarded::No);
            if let Ok(statement) = connection.prepare_cached(&oldest.marked) {
                statement.discard();
            }
            self.guarded.set(guarded);
        }
        let new = Kept { marked: Arc::clone(marked), facts: Arc::clone(facts), used: self.uses.get() };
        kept.insert(text.into(), new);
    }

    /// What those attempts come to, in the schema as it is now.
    fn facts_of(
        &self,
        connection: &Connection,
        text: &str,
        attempts: StatementAttempts,
    ) -> rusqlite::Result<Arc<StatementFacts>> {
        self.renew_catalog(connection)?;
        let mut facts = attempts.into_facts(&self.catalog.borrow());
        facts.is_volatile |= asks_for_version(text);
        // This asks SQLite about the tables.
        let guarded = self.guarded.replace(Guarded::No);
        let conditions = Conditions::of(connection, &self.catalog(), text);
        self.guarded.set(guarded);
        facts.conditions = conditions?;
        Ok(Arc::new(facts))
    }
}

impl Guard<'_> {
    /// Prepares a function's statement, or takes the one that is kept.
    ///
    /// # Errors
    /// When it is refused, or SQLite cannot read it.
    pub(super) fn prepare<'c>(
        &self,
        connection: &'c Connection,
        text: &str,
        known: KnownText,
    ) -> Result<PreparedStatement<'c>, StatementFailure> {
        let mut statement = self.prepared(connection, &known.marked)?;
        let mut attempts = self.take_attempts();
        if !attempts.is_any && known.facts.is_none() {
            // SQLite told nothing of it because it was prepared, and what it told then is not known any more.
            statement.discard();
            statement = self.prepared(connection, &known.marked)?;
            attempts = self.take_attempts();
        }
        let facts = match known.facts {
            Some(facts) if !attempts.is_any => facts,
            _ => {
                let facts = self.facts_of(connection, text, attempts)?;
                self.keep(connection, text, &known.marked, &facts);
                facts
            }
        };
        let prepared_anew = statement.get_status(StatementStatus::RePrepare);
        Ok(PreparedStatement { statement, facts, prepared_anew })
    }

    fn prepared<'c>(
        &self,
        connection: &'c Connection,
        marked: &str,
    ) -> Result<CachedStatement<'c>, StatementFailure> {
        connection.prepare_cached(marked).map_err(|error| self.explain(error))
    }

    /// Why SQLite could not prepare a statement.
    pub(super) fn explain(&self, error: rusqlite::Error) -> StatementFailure {
        let failure = self.take_attempts().refusal.unwrap_or_else(|| error.into());
        // SQLite says so before it asks whether the table may be written.
        let StatementFailure::Sql(text) = &failure else { return failure };
        let between = |start, end| text.strip_prefix(start)?.strip_suffix(end);
        if let Some(table) = between("table ", " may not be modified") {
            return StatementFailure::prohibited(table);
        }
        let view = between("cannot modify ", " because it is a view");
        match view.and_then(|view| self.catalog.borrow().engine_view(view).map(|(name, _)| Arc::clone(name)))
        {
            Some(name) => StatementFailure::prohibited(&name),
            None => failure,
        }
    }
}

impl PreparedStatement<'_> {
    /// The statement was stepped. Where the schema had changed SQLite has prepared it anew, and it does other things now.
    ///
    /// # Errors
    /// That of `stepped`, or why SQLite could not prepare it anew.
    pub(super) fn after_step(
        &mut self,
        guard: &Guard<'_>,
        connection: &Connection,
        text: &str,
        stepped: Result<(), StatementFailure>,
    ) -> Result<(), StatementFailure> {
        let mut attempts = guard.take_attempts();
        let refusal = attempts.refusal.take();
        if self.statement.get_status(StatementStatus::RePrepare) != self.prepared_anew && refusal.is_none() {
            self.facts = guard.facts_of(connection, text, attempts)?;
            guard.keep(connection, text, &marked(text), &self.facts);
        }
        stepped.map_err(|failure| refusal.unwrap_or(failure))
    }
}

/// The text by which a function's statement is kept prepared.
fn marked(text: &str) -> Arc<str> {
    format!("{MARK}{}", text.trim()).into()
}

/// Longest text or blob that a statement of a function reads, makes or stores, and longest row.
pub const FUNCTION_VALUE_MAX_BYTES: i32 = 16 << 20;

/// While this lives, values are no longer than those of functions.
pub(super) struct ShortValues<'c> {
    connection: &'c Connection,
    before: i32,
}

impl<'c> ShortValues<'c> {
    pub(super) fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        let before = connection.limit(Limit::SQLITE_LIMIT_LENGTH)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, FUNCTION_VALUE_MAX_BYTES.min(before))?;
        Ok(Self { connection, before })
    }
}

impl Drop for ShortValues<'_> {
    fn drop(&mut self) {
        // It was given before, and so is one that the connection takes.
        let _ = self.connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.before);
    }
}
