//! An action: each of its statements, and each of its transactions, commits alone (FUN-11).

use ferry_core::sql::Value;
use ferry_database::WriterLease;
use ferry_functions::{DbFailure, Executed, FunctionDb, ModelCall, RowSink, SavepointStep};
use ferry_sqlite::tracked::SqlAccess;
use ferry_types::{Result, Seq};
use tokio::runtime::Handle;

use super::{
    PlannedCall, done,
    drive::{DrivenDb, Ran, begin_on_thread, drive},
    end::CallEnd,
    failing::{abort, failed, needs_writer},
    lease::lend_snapshot,
    outcome,
    place::{OnPlace, Place, finish},
    progress::{CallProgress, tracked_run},
    resources::too_many,
};
use crate::database::Effect;

struct ActionDb {
    plan: PlannedCall,
    progress: CallProgress,
    /// Of the transaction that is open, and how deep it is.
    writer: Option<(WriterLease<Effect>, u32)>,
    /// The newest commit that it saw or made.
    seq: Seq,
    wrote: bool,
    runtime: Handle,
}

/// Runs a call so.
pub(super) async fn run(plan: &PlannedCall) -> Result<Ran> {
    let placed = begin_on_thread(plan).await?;
    let progress = CallProgress::new(plan, SqlAccess::Snapshot, placed.call.cpu(), placed.resources.clone());
    let db = ActionDb {
        plan: plan.clone(),
        progress,
        writer: None,
        seq: Seq(0),
        wrote: false,
        runtime: Handle::current(),
    };
    let (placed, db, outcome) = drive(plan, placed, db).await?;
    let ActionDb { progress, writer, seq, wrote, .. } = db;
    if let Some((writer, _)) = writer {
        writer.roll_back();
    }
    let outcome = match outcome {
        Some(outcome) => {
            placed.give_back();
            outcome
        }
        None => outcome::gone(),
    };
    // Names are invalidated by what it commits; without that, now.
    let named: Vec<std::sync::Arc<str>> =
        outcome.invalidate.iter().map(|name| name.as_str().into()).collect();
    if !named.is_empty() {
        let state = &plan.database.models().functions;
        state.with_live(|live| {
            let newest = live.queries.changes().newest();
            live.committed(newest, &[], &named);
        });
    }
    Ok(Ran::Done(done(plan, outcome, progress, (seq, wrote))))
}

type Told<T> = std::result::Result<T, DbFailure>;

impl ActionDb {
    /// Does `work` on a snapshot of its own, or on the writer if it writes or a transaction is open.
    fn alone<T>(&mut self, mut work: impl FnMut(&mut OnPlace<'_, '_>) -> Told<T>) -> Told<T> {
        if self.writer.is_some() {
            return self.on_writer(work);
        }
        let snapshot = lend_snapshot(&self.plan, &self.progress, &self.runtime);
        let mut snapshot =
            snapshot.map_err(|refusal| abort(&mut self.progress, CallEnd::Refused(refusal)))?;
        self.seq = self.seq.max(snapshot.seq());
        self.begin_part(SqlAccess::Snapshot);
        let Self { plan, progress, .. } = self;
        let tried = snapshot.run(|sql| {
            Ok(work(&mut OnPlace { place: Place::Snapshot(sql), plan, progress: &mut *progress }))
        });
        drop(snapshot);
        let tried = match tried {
            Ok(tried) => tried,
            Err(error) => return Err(abort(&mut self.progress, CallEnd::Refused(error.into_refusal()))),
        };
        if tried.is_ok() || !matches!(self.progress.end, Some(CallEnd::NeedsWriter)) {
            return tried;
        }
        self.progress.end = None;
        self.open()?;
        let done = self.on_writer(work);
        if done.is_ok() {
            self.commit()?;
        } else if let Some((writer, _)) = self.writer.take() {
            writer.roll_back();
        }
        done
    }

    fn on_writer<T>(&mut self, mut work: impl FnMut(&mut OnPlace<'_, '_>) -> Told<T>) -> Told<T> {
        let Self { plan, progress, writer, .. } = self;
        let Some((writer, _)) = writer else { return Err(DbFailure::Abort) };
        let ran = writer.run(|transaction| {
            Ok(work(&mut OnPlace { place: Place::Writer(transaction), plan, progress: &mut *progress }))
        });
        ran.unwrap_or_else(|error| Err(abort(progress, CallEnd::Refused(error.into_refusal()))))
    }

    fn begin_part(&mut self, access: SqlAccess) {
        let CallProgress { cpu, resources, .. } = &self.progress;
        let run = tracked_run(&self.plan, access, cpu, resources);
        self.progress.begin_part(run);
    }

    fn open(&mut self) -> Told<()> {
        let Some(_waits) = self.progress.resources.block() else {
            return Err(abort(&mut self.progress, CallEnd::Refused(too_many())));
        };
        let lent = self.plan.database.lend_writer_blocking(&self.plan.by, &self.runtime);
        let writer = lent.map_err(|refusal| abort(&mut self.progress, CallEnd::Refused(refusal)))?;
        self.begin_part(SqlAccess::Alone);
        self.writer = Some((writer, 0));
        Ok(())
    }

    fn commit(&mut self) -> Told<()> {
        let Some((mut writer, _)) = self.writer.take() else { return Ok(()) };
        let progress = &mut self.progress;
        let finished = writer.run(|transaction| Ok(finish(transaction, progress, &[])));
        match finished {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                writer.roll_back();
                return Err(failed(&self.plan, &mut self.progress, failure));
            }
            Err(error) => return Err(abort(&mut self.progress, CallEnd::Refused(error.into_refusal()))),
        }
        match writer.commit_blocking() {
            Ok(seq) => {
                self.wrote |= seq.is_some();
                self.seq = self.seq.max(seq.unwrap_or(Seq(0)));
                Ok(())
            }
            Err(refusal) => Err(abort(&mut self.progress, CallEnd::Refused(refusal))),
        }
    }
}

impl FunctionDb for ActionDb {
    fn execute(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Told<Executed> {
        self.alone(|place| place.execute(sql, parameters, rows))
    }

    fn savepoint(&mut self, step: SavepointStep) -> Told<()> {
        match (step, &mut self.writer) {
            (SavepointStep::Begin, None) => {
                if self.plan.writes != super::Writes::Allowed {
                    return Err(needs_writer(&self.plan, &mut self.progress));
                }
                self.open()
            }
            (SavepointStep::Begin, Some((_, depth))) => {
                *depth += 1;
                self.on_writer(|place| place.savepoint(step))
            }
            (SavepointStep::Release, Some((_, 0))) => self.commit(),
            (SavepointStep::Rollback, Some((_, 0))) => {
                if let Some((writer, _)) = self.writer.take() {
                    writer.roll_back();
                }
                // What it read stays known, what it wrote is undone.
                self.begin_part(SqlAccess::Snapshot);
                Ok(())
            }
            (_, Some((_, depth))) => {
                *depth -= 1;
                self.on_writer(|place| place.savepoint(step))
            }
            (_, None) => Err(DbFailure::Abort),
        }
    }

    fn model(&mut self, call: &ModelCall<'_>) -> Told<String> {
        self.alone(|place| place.model(call))
    }

    fn go_on(&mut self) -> bool {
        self.progress.go_on()
    }

    fn seq(&mut self) -> Told<u64> {
        self.progress.used_seq();
        Ok(self.seq.0)
    }
}

impl DrivenDb for ActionDb {
    fn holds_writer(&self) -> bool {
        self.writer.is_some()
    }

    fn fetched(&mut self) {}

    fn waits(&mut self) {}

    fn end(&mut self, end: CallEnd) {
        self.progress.end = Some(end);
    }
}
