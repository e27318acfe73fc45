//! A call that reads a snapshot, and is lent the writer once it writes.

use std::sync::Arc;

use ferry_core::{functions::live::TableNames, sql::Value};
use ferry_database::{SnapshotLease, WriterLease};
use ferry_functions::{DbFailure, Executed, FunctionDb, FunctionKind, ModelCall, RowSink, SavepointStep};
use ferry_sqlite::{fault, tracked::SqlAccess};
use ferry_types::{Error, Result, Seq};
use tokio::runtime::Handle;

use super::{
    PlannedCall, done,
    drive::{DrivenDb, Ran, begin_on_thread, drive},
    end::CallEnd,
    failing::abort,
    idempotency, outcome,
    place::{OnPlace, Place, finish},
    progress::CallProgress,
    resources::too_many,
};
use crate::database::Effect;

enum Held {
    /// Nothing was asked yet, and there is something to wait for.
    Nothing,
    Snapshot(SnapshotLease),
    Writer(WriterLease<Effect>),
}

struct LeaseDb {
    plan: PlannedCall,
    progress: CallProgress,
    held: Held,
    /// Once it writes it is lent the writer where it stands.
    in_place: bool,
    /// It has run a statement.
    has_begun: bool,
    /// What it had read before the present statement.
    reads_before: TableNames,
    runtime: Handle,
}

/// Runs a call so. `in_place`: it is lent the writer without beginning again.
pub(super) async fn run(plan: &PlannedCall, in_place: bool) -> Result<Ran> {
    let mut writer: Option<WriterLease<Effect>> = None;
    let mut placed = begin_on_thread(plan).await?;
    loop {
        let (held, access) = match writer.take() {
            Some(writer) => (Held::Writer(writer), SqlAccess::Alone),
            None => {
                let snapshot = match plan.database.lend_snapshot_inline() {
                    Some(snapshot) => snapshot,
                    None => {
                        placed.resources.end_step();
                        plan.database.lend_snapshot().await
                    }
                };
                (Held::Snapshot(snapshot?), SqlAccess::Snapshot)
            }
        };
        let mut progress = CallProgress::new(plan, access, placed.call.cpu(), placed.resources.clone());
        let mut held = held;
        if let Held::Snapshot(snapshot) = &mut held {
            let asked = snapshot.run(|sql| idempotency::ask(sql, plan, &mut progress));
            if asked.map_err(ferry_sqlite::Error::into_refusal)? {
                placed.give_back();
                return Ok(Ran::Done(done(plan, outcome::gone(), progress, (Seq(0), false))));
            }
        }
        let db = LeaseDb {
            plan: plan.clone(),
            progress,
            held,
            in_place,
            has_begun: false,
            reads_before: Arc::from([]),
            runtime: Handle::current(),
        };
        let (driven, db, outcome) = drive(plan, placed, db).await?;
        let LeaseDb { mut progress, held, .. } = db;
        match (&progress.end, outcome) {
            (Some(CallEnd::NeedsWriter), _) => {
                driven.give_back();
                return Ok(Ran::NeedsWriter);
            }
            (Some(CallEnd::Restart), _) => {
                // It has written nothing yet; it goes on with the same transaction.
                if let Held::Writer(lent) = held {
                    writer = Some(lent);
                }
                placed = driven.again(plan).await?;
            }
            (_, None) => return Ok(Ran::Done(done(plan, outcome::gone(), progress, (Seq(0), false)))),
            (_, Some(outcome)) => {
                driven.give_back();
                return end(plan, held, &mut progress, outcome)
                    .await
                    .map(|(outcome, seq, wrote)| Ran::Done(done(plan, outcome, progress, (seq, wrote))));
            }
        }
    }
}

/// Commits what it did, or undoes it.
async fn end(
    plan: &PlannedCall,
    held: Held,
    progress: &mut CallProgress,
    mut outcome: ferry_functions::FunctionOutcome,
) -> Result<(ferry_functions::FunctionOutcome, Seq, bool)> {
    match held {
        Held::Nothing | Held::Snapshot(_) if outcome.result.is_ok() && plan.idempotency.is_some() => {
            let shown = match &held {
                Held::Snapshot(snapshot) => snapshot.seq(),
                _ => newest(plan),
            };
            drop(held);
            idempotency::keep_alone(plan, progress, outcome, shown).await
        }
        Held::Nothing => Ok((outcome, newest(plan), false)),
        Held::Snapshot(snapshot) => Ok((outcome, snapshot.seq(), false)),
        Held::Writer(writer) if outcome.result.is_err() => {
            let seq = writer.seq();
            writer.roll_back();
            Ok((outcome, Seq(seq.0.saturating_sub(1)), false))
        }
        Held::Writer(mut writer) => {
            let before = Seq(writer.seq().0.saturating_sub(1));
            let finished = writer.run(|transaction| {
                // An equal call may have been first.
                if idempotency::ask(&transaction.sql(), plan, progress)? {
                    return Ok(Ok(false));
                }
                if let Err(failure) = finish(transaction, progress, &outcome.invalidate) {
                    return Ok(Err(failure));
                }
                idempotency::keep(transaction, plan, progress, &outcome)?;
                fault::point("functions.applied")?;
                Ok(Ok(true))
            });
            match finished.map_err(ferry_sqlite::Error::into_refusal)? {
                Ok(false) => {
                    writer.roll_back();
                    Ok((outcome::gone(), before, false))
                }
                Ok(true) => {
                    let seq = writer.commit().await?;
                    let (seq, wrote) = progress.made(before, seq);
                    Ok((outcome, seq, wrote))
                }
                Err(failure) => {
                    outcome.result = Err(outcome::failed(&failure));
                    writer.roll_back();
                    Ok((outcome, before, false))
                }
            }
        }
    }
}

impl LeaseDb {
    fn on<T>(
        &mut self,
        work: impl FnOnce(&mut OnPlace<'_, '_>) -> std::result::Result<T, DbFailure>,
    ) -> std::result::Result<T, DbFailure> {
        let Self { plan, progress, held, .. } = self;
        let ran = match held {
            Held::Nothing => return Err(abort(progress, CallEnd::Refused(Error::internal()))),
            Held::Snapshot(snapshot) => snapshot.run(|sql| {
                Ok(work(&mut OnPlace { place: Place::Snapshot(sql), plan, progress: &mut *progress }))
            }),
            Held::Writer(writer) => writer.run(|transaction| {
                Ok(work(&mut OnPlace { place: Place::Writer(transaction), plan, progress: &mut *progress }))
            }),
        };
        match ran {
            Ok(done) => done,
            Err(error) => Err(abort(progress, CallEnd::Refused(error.into_refusal()))),
        }
    }

    /// Whether a statement that was refused for being on a snapshot may be tried again.
    fn may_go_on<T>(&mut self, tried: &std::result::Result<T, DbFailure>) -> bool {
        let needs_writer = matches!(self.progress.end, Some(CallEnd::NeedsWriter));
        if tried.is_ok() || !needs_writer || !(self.in_place || self.progress.has_fetched) {
            return false;
        }
        self.progress.end = None;
        self.take_writer()
    }

    /// Is lent the writer. False if the run ends here.
    fn take_writer(&mut self) -> bool {
        let Held::Snapshot(snapshot) = &self.held else { return true };
        let seen = snapshot.seq();
        let Some(waits) = self.progress.resources.block() else {
            self.progress.end = Some(CallEnd::Refused(too_many()));
            return false;
        };
        let writer = match self.plan.database.lend_writer_blocking(&self.plan.by, &self.runtime) {
            Ok(writer) => writer,
            Err(refusal) => {
                self.progress.end = Some(CallEnd::Refused(refusal));
                return false;
            }
        };
        drop(waits);
        // Nobody commits any more, and all commits before are known.
        let state = &self.plan.database.models().functions;
        let reads = std::mem::replace(&mut self.reads_before, Arc::from([]));
        let has_changed = if seen.0 + 1 == writer.seq().0 {
            false
        } else {
            state
                .look_at_live(|live| live.queries.changes().changed_after(&reads, seen))
                .unwrap_or(!reads.is_empty())
        };
        self.held = Held::Writer(writer);
        if has_changed {
            self.progress.end =
                Some(if self.progress.has_fetched { CallEnd::Conflict } else { CallEnd::Restart });
            return false;
        }
        self.progress.run.set_access(SqlAccess::Alone);
        true
    }

    /// A mutation works on the writer from its first statement on.
    fn begin_statement(&mut self) -> std::result::Result<(), DbFailure> {
        self.has_begun = true;
        if matches!(self.held, Held::Nothing) {
            let lent = lend_snapshot(&self.plan, &self.progress, &self.runtime);
            let lent = lent.map_err(|refusal| abort(&mut self.progress, CallEnd::Refused(refusal)))?;
            self.held = Held::Snapshot(lent);
        }
        if matches!(self.held, Held::Snapshot(_)) {
            // What the statement itself reads it will read where it writes.
            self.reads_before = self.progress.reads();
        }
        let is_first = matches!(self.held, Held::Snapshot(_)) && self.plan.kind == FunctionKind::Mutation;
        if is_first && self.plan.writes == super::Writes::Allowed && !self.take_writer() {
            return Err(DbFailure::Abort);
        }
        Ok(())
    }
}

impl FunctionDb for LeaseDb {
    fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> std::result::Result<Executed, DbFailure> {
        self.begin_statement()?;
        let executed = self.on(|place| place.execute(sql, parameters, rows));
        if self.may_go_on(&executed) {
            return self.on(|place| place.execute(sql, parameters, rows));
        }
        executed
    }

    fn savepoint(&mut self, step: SavepointStep) -> std::result::Result<(), DbFailure> {
        self.begin_statement()?;
        // A transaction is begun where it may write.
        if matches!(self.held, Held::Snapshot(_)) && self.plan.writes == super::Writes::Allowed {
            if !(self.in_place || self.progress.has_fetched) {
                return Err(abort(&mut self.progress, CallEnd::NeedsWriter));
            }
            if !self.take_writer() {
                return Err(DbFailure::Abort);
            }
        }
        self.on(|place| place.savepoint(step))
    }

    fn model(&mut self, call: &ModelCall<'_>) -> std::result::Result<String, DbFailure> {
        self.begin_statement()?;
        let done = self.on(|place| place.model(call));
        if self.may_go_on(&done) {
            return self.on(|place| place.model(call));
        }
        done
    }

    fn go_on(&mut self) -> bool {
        self.progress.go_on()
    }

    fn seq(&mut self) -> std::result::Result<u64, DbFailure> {
        self.has_begun = true;
        self.progress.used_seq();
        Ok(match &self.held {
            Held::Nothing => newest(&self.plan).0,
            Held::Snapshot(snapshot) => snapshot.seq().0,
            Held::Writer(writer) => writer.seq().0.saturating_sub(1),
        })
    }
}

impl DrivenDb for LeaseDb {
    fn holds_writer(&self) -> bool {
        matches!(self.held, Held::Writer(_))
    }

    fn fetched(&mut self) {
        self.progress.has_fetched = true;
        let state = &self.plan.database.models().functions;
        let function: &Arc<str> = &self.plan.request.function;
        state.note_habit(function, |habit| habit.waits = true);
    }

    fn waits(&mut self) {
        if !self.has_begun && matches!(self.held, Held::Snapshot(_)) {
            // What it reads after waiting is to be as new as then.
            self.held = Held::Nothing;
        }
    }

    fn end(&mut self, end: CallEnd) {
        self.progress.end = Some(end);
    }
}

/// A snapshot for a step that runs.
pub(super) fn lend_snapshot(
    plan: &PlannedCall,
    progress: &CallProgress,
    runtime: &Handle,
) -> Result<SnapshotLease> {
    if let Some(lent) = plan.database.lend_snapshot_inline() {
        return lent;
    }
    let _waits = progress.resources.block().ok_or_else(too_many)?;
    runtime.block_on(plan.database.lend_snapshot())
}

/// The newest commit that functions know of.
fn newest(plan: &PlannedCall) -> Seq {
    let state = &plan.database.models().functions;
    state.look_at_live(|live| live.queries.changes().newest()).unwrap_or_default()
}
