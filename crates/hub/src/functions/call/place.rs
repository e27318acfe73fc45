//! A statement of a function, where it runs: on a snapshot, or on the writer.

use std::sync::Arc;

use ferry_core::{
    records::{intents, sqlite::SqliteRecords},
    sql::{Row, Value},
};
use ferry_functions::{DbFailure, Executed, ModelCall, RowSink, SavepointStep};
use ferry_sqlite::{
    NativeSql, Transaction,
    tracked::{StatementFailure, TrackedRows},
};

use super::{
    PlannedCall,
    collections::{changed_records, note_collection},
    failing::{engine_failed, failed, needs_writer},
    model,
    progress::CallProgress,
};
use crate::{database::Effect, functions::state::FunctionsEffect};

/// Where a statement runs.
pub(super) enum Place<'a, 'g> {
    /// Beside the writer.
    Snapshot(&'a NativeSql<'g>),
    /// In a request of the writer.
    Writer(&'a mut Transaction<'g, Effect>),
}

/// A call at a place.
pub(super) struct OnPlace<'a, 'g> {
    pub(super) place: Place<'a, 'g>,
    pub(super) plan: &'a PlannedCall,
    pub(super) progress: &'a mut CallProgress,
}

/// Rows on their way from the one trait to the other.
struct Rows<'a>(&'a mut dyn RowSink);

impl TrackedRows for Rows<'_> {
    fn columns(&mut self, names: &[&str]) {
        self.0.columns(names);
    }

    fn row(&mut self, row: &dyn Row) -> bool {
        self.0.row(row)
    }
}

impl<'g> OnPlace<'_, 'g> {
    fn sql(&self) -> NativeSql<'g> {
        match &self.place {
            Place::Snapshot(sql) => **sql,
            Place::Writer(transaction) => transaction.sql(),
        }
    }

    pub(super) fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> Result<Executed, DbFailure> {
        let executed = self.progress.run.execute(self.sql(), sql, parameters, &mut Rows(rows));
        let executed = executed.map_err(|failure| self.failed(failure))?;
        if executed.has_queued_intents {
            self.drain_intents()?;
        }
        Ok(Executed { changes: executed.changes, last_insert_rowid: executed.last_insert_rowid })
    }

    pub(super) fn savepoint(&mut self, step: SavepointStep) -> Result<(), DbFailure> {
        let (sql, run) = (self.sql(), &mut self.progress.run);
        let done = match step {
            SavepointStep::Begin => run.begin_savepoint(sql),
            SavepointStep::Release => run.release_savepoint(sql),
            SavepointStep::Rollback => run.rollback_savepoint(sql),
        };
        done.map_err(|failure| self.failed(failure))
    }

    pub(super) fn model(&mut self, call: &ModelCall<'_>) -> Result<String, DbFailure> {
        match &mut self.place {
            Place::Snapshot(_) => Err(needs_writer(self.plan, self.progress)),
            Place::Writer(transaction) => model::call(self.plan, self.progress, transaction, call),
        }
    }

    /// What SQL wrote to the views of collections goes through the engine of records, in the same transaction (FUN-81).
    fn drain_intents(&mut self) -> Result<(), DbFailure> {
        let Place::Writer(transaction) = &mut self.place else { return Ok(()) };
        let sql = transaction.sql();
        let client = format!("function:{}", self.plan.request.function);
        let author =
            intents::Author { client: &client, owner: self.plan.owner.as_deref(), inserts_anew: true };
        let drained = intents::drain_as(&SqliteRecords::new(&sql), self.plan.hub.clock.now().into(), &author);
        let touched = drained.map_err(|error| engine_failed(self.progress, error))?;
        for (owner, app, collection) in touched {
            note_collection(self.plan, self.progress, &app, &collection);
            changed_records(transaction, &owner, &app, collection, &client);
        }
        Ok(())
    }

    fn failed(&mut self, failure: StatementFailure) -> DbFailure {
        failed(self.plan, self.progress, failure)
    }
}

/// Ends a call's part of a commit: what it broke and nobody mended fails now, and those who follow learn what changed.
pub(super) fn finish(
    transaction: &mut Transaction<'_, Effect>,
    progress: &mut CallProgress,
    named: &[String],
) -> Result<(), StatementFailure> {
    progress.run.finish(transaction.sql())?;
    let writes = progress.run.writes();
    if !writes.is_empty() || !named.is_empty() {
        let named = named.iter().map(|name| Arc::from(name.as_str())).collect();
        transaction.effect(Effect::Functions(FunctionsEffect::Changed { writes: writes.into(), named }));
    }
    Ok(())
}
