//! What a statement attempts, which SQLite tells its authorizer while it prepares it: judged, and gathered.

use std::{ffi::c_int, sync::Arc};

use ferry_core::functions::schema::reserved;
use libsqlite3_sys as c;

use super::{
    StatementFailure,
    catalog::{Catalog, add},
    conditions::Conditions,
    names::{is_stable, may_run_pragma, may_use_module, shows_pages},
    text::{DATA_VERSION, is_engine},
};

/// The only table of the engines that a trigger of theirs writes.
pub(super) const INTENTS: &str = "_ferry_record_intents";

/// One call of SQLite's authorizer (SQLite documentation, "Authorizer Action Codes").
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessAttempt<'a> {
    pub(crate) code: c_int,
    pub(crate) first: &'a str,
    pub(crate) second: &'a str,
    /// The innermost view or trigger that does it.
    pub(crate) accessor: Option<&'a str>,
}

/// What a statement does, as SQLite told when it was prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct StatementFacts {
    /// What its outcome depends on.
    pub(super) reads: Vec<Arc<str>>,
    /// Which rows of these it depends on, where that is known.
    pub(super) conditions: Option<Conditions>,
    /// The table that it changes itself.
    pub(super) target: Option<Arc<str>>,
    /// Engines' views that it, or a trigger of its, writes.
    pub(super) views: Vec<Arc<str>>,
    /// Tables that it may change without a row that SQLite tells of.
    pub(super) hidden: Vec<Arc<str>>,
    /// Whether it may answer otherwise next time although nothing that it reads has changed.
    pub(super) is_volatile: bool,
}

/// What a statement attempted so far.
#[derive(Debug, Default)]
pub(super) struct StatementAttempts {
    /// Whether SQLite told anything: it prepared something.
    pub(super) is_any: bool,
    /// Why the last one was refused.
    pub(super) refusal: Option<StatementFailure>,
    /// Names as SQLite tells them.
    reads: Vec<String>,
    /// The first table or view that is changed, by no trigger.
    target: Option<String>,
    writes: Vec<String>,
    is_volatile: bool,
    /// Whether a view of an engine was met.
    meets_engine_view: bool,
}

impl StatementAttempts {
    /// Whether this may be done.
    pub(super) fn judge(
        &mut self,
        attempt: &AccessAttempt<'_>,
        catalog: &Catalog,
        is_migration: bool,
    ) -> bool {
        self.is_any = true;
        if let Some(accessor) = attempt.accessor
            && catalog.engine_view(accessor).is_some()
        {
            self.meets_engine_view = true;
            note(&mut self.reads, accessor);
        }
        let judged = match attempt.code {
            c::SQLITE_SELECT | c::SQLITE_RECURSIVE => Ok(()),
            c::SQLITE_READ => self.read(attempt, catalog, is_migration),
            c::SQLITE_INSERT | c::SQLITE_UPDATE | c::SQLITE_DELETE => {
                self.write(attempt, catalog, is_migration)
            }
            c::SQLITE_FUNCTION => self.function(attempt.second),
            c::SQLITE_PRAGMA => self.pragma(attempt.first, is_migration),
            code => schema_change(code, attempt, catalog, is_migration),
        };
        judged.map_err(|refusal| self.refusal = Some(refusal)).is_ok()
    }

    fn read(
        &mut self,
        attempt: &AccessAttempt<'_>,
        catalog: &Catalog,
        is_migration: bool,
    ) -> Result<(), StatementFailure> {
        let table = attempt.first;
        if is_engine(table.as_bytes()) {
            // No text of a user's names such a table, so whatever reads one is a view of the engines. SQLite does not
            // name it where it has merged a part of it into the statement.
            let by_trigger = attempt.accessor.is_some_and(|accessor| catalog.is_engine_trigger(accessor));
            return if self.meets_engine_view || by_trigger { Ok(()) } else { prohibited(table) };
        }
        if shows_pages(table) {
            return prohibited(table);
        }
        if let Some(pragma) = strip_prefix(table, "pragma_") {
            return self.pragma(pragma, false);
        }
        if strip_prefix(table, "sqlite_").is_some() {
            // An INSERT changes it that inserts nothing, and nobody is told.
            if table.eq_ignore_ascii_case("sqlite_sequence") && !is_migration {
                return prohibited(table);
            }
            // The schema, and what ANALYZE found.
            self.is_volatile = true;
        }
        self.meets_engine_view |= catalog.engine_view(table).is_some();
        note(&mut self.reads, table);
        Ok(())
    }

    fn write(
        &mut self,
        attempt: &AccessAttempt<'_>,
        catalog: &Catalog,
        is_migration: bool,
    ) -> Result<(), StatementFailure> {
        let table = attempt.first;
        if is_engine(table.as_bytes()) {
            let may = attempt.code == c::SQLITE_INSERT
                && table.eq_ignore_ascii_case(INTENTS)
                && attempt.accessor.is_some_and(|accessor| catalog.is_engine_trigger(accessor));
            return if may { Ok(()) } else { prohibited(table) };
        }
        let is_system = strip_prefix(table, "sqlite_").is_some() && !is_migration;
        let is_closed =
            catalog.engine_view(table).is_some_and(|(_, is_writable)| !is_writable || is_migration);
        if is_system || is_closed || shows_pages(table) {
            return prohibited(table);
        }
        if self.target.is_none() && attempt.accessor.is_none() {
            self.target = Some(table.to_owned());
        }
        note(&mut self.writes, table);
        Ok(())
    }

    fn function(&mut self, name: &str) -> Result<(), StatementFailure> {
        self.is_volatile |= !is_stable(name);
        if name.eq_ignore_ascii_case("load_extension") { prohibited(name) } else { Ok(()) }
    }

    fn pragma(&mut self, name: &str, is_migration: bool) -> Result<(), StatementFailure> {
        if name.eq_ignore_ascii_case(DATA_VERSION) {
            return Ok(());
        }
        self.is_volatile = true;
        if may_run_pragma(name, is_migration) { Ok(()) } else { prohibited(&format!("PRAGMA {name}")) }
    }

    /// What a statement does that has attempted this.
    pub(super) fn into_facts(self, catalog: &Catalog) -> StatementFacts {
        let mut facts = StatementFacts { is_volatile: self.is_volatile, ..StatementFacts::default() };
        // What a write does depends on what was there.
        for name in self.reads.iter().chain(&self.writes) {
            catalog.read(name, &mut facts.reads);
        }
        facts.target = self.target.and_then(|name| catalog.changed(&name).map(Arc::clone));
        for name in &self.writes {
            if let Some((view, _)) = catalog.engine_view(name) {
                add(&mut facts.views, view);
            } else if let Some(table) = catalog.changed(name)
                && catalog.hides_changes(table)
            {
                add(&mut facts.hidden, table);
            }
        }
        facts
    }
}

/// Changes of the schema, and what nobody may do.
fn schema_change(
    code: c_int,
    attempt: &AccessAttempt<'_>,
    catalog: &Catalog,
    is_migration: bool,
) -> Result<(), StatementFailure> {
    let AccessAttempt { first, second, .. } = *attempt;
    // What it is called, the thing that is changed, and the table that is meant.
    let (what, name, table) = match code {
        c::SQLITE_CREATE_TABLE => ("CREATE TABLE", first, first),
        c::SQLITE_CREATE_INDEX => ("CREATE INDEX", first, second),
        c::SQLITE_CREATE_VIEW => ("CREATE VIEW", first, first),
        c::SQLITE_CREATE_TRIGGER => ("CREATE TRIGGER", first, second),
        c::SQLITE_CREATE_VTABLE if may_use_module(second) => ("CREATE VIRTUAL TABLE", first, first),
        c::SQLITE_CREATE_VTABLE => return prohibited(second),
        c::SQLITE_DROP_TABLE | c::SQLITE_DROP_VTABLE => ("DROP TABLE", first, first),
        c::SQLITE_DROP_INDEX => ("DROP INDEX", first, second),
        c::SQLITE_DROP_VIEW => ("DROP VIEW", first, first),
        c::SQLITE_DROP_TRIGGER => ("DROP TRIGGER", first, second),
        c::SQLITE_ALTER_TABLE => ("ALTER TABLE", second, second),
        c::SQLITE_ANALYZE => ("ANALYZE", first, first),
        c::SQLITE_REINDEX => ("REINDEX", first, first),
        c::SQLITE_TRANSACTION => return prohibited(first),
        c::SQLITE_SAVEPOINT => return prohibited("SAVEPOINT"),
        c::SQLITE_ATTACH => return prohibited("ATTACH"),
        c::SQLITE_DETACH => return prohibited("DETACH"),
        _ => return prohibited("temporary tables"),
    };
    if !is_migration {
        return Err(StatementFailure::schema_change(what));
    }
    let of_engine = |name: &str| {
        is_engine(name.as_bytes()) || catalog.engine_view(name).is_some() || catalog.is_engine_trigger(name)
    };
    match [name, table].into_iter().find(|name| of_engine(name)) {
        // Of the whole database: the engines' tables are looked at too, and nothing of them is told.
        Some(_) if matches!(code, c::SQLITE_ANALYZE | c::SQLITE_REINDEX) => Ok(()),
        // The engines' views are there from the first, and so their names are taken.
        Some(found) => match reserved::reason(found) {
            Some(reason) if found == name && what.starts_with("CREATE ") && !is_engine(name.as_bytes()) => {
                Err(StatementFailure::Prohibited(format!("{what} {name}: {reason}")))
            }
            _ => prohibited(found),
        },
        None => Ok(()),
    }
}

fn prohibited(name: &str) -> Result<(), StatementFailure> {
    Err(StatementFailure::prohibited(name))
}

fn strip_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn note(names: &mut Vec<String>, name: &str) {
    if names.last().is_none_or(|last| last != name) && !names.iter().any(|noted| noted == name) {
        names.push(name.to_owned());
    }
}
