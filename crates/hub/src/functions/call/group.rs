//! A call inside a request of the writer, with the others of a group (FUN-12).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferry_core::sql::Value;
use ferry_functions::{
    DbFailure, Executed, FunctionDb, FunctionOutcome, ModelCall, RowSink, SavepointStep, Step,
};
use ferry_sqlite::{Transaction, fault, tracked::SqlAccess};
use ferry_types::{Error, Result, Seq};

use super::{
    PlannedCall, done,
    drive::{PlacedCall, Ran, begin, wall_ms},
    end::CallEnd,
    idempotency, outcome,
    place::{OnPlace, Place, finish},
    progress::CallProgress,
};
use crate::database::{Effect, seq_of};

/// CPU that a call in a group may use: all others of the group wait for it, maybe on a thread that serves the network. One
/// that needs more is run again by itself.
const GROUP_CPU_MAX: Duration = Duration::from_millis(25);

/// What a run in a group came to.
struct GroupRun {
    placed: PlacedCall,
    progress: CallProgress,
    /// `None`: it waits, or takes long.
    outcome: Option<FunctionOutcome>,
    /// The newest commit before it.
    before: Seq,
    /// It is to be committed.
    is_kept: bool,
}

/// Runs a call so.
pub(super) async fn run(plan: &PlannedCall) -> Result<Ran> {
    let placed = begin(plan).await?;
    let slot: Arc<Mutex<Option<GroupRun>>> = Arc::default();
    let committed = {
        let (plan, slot) = (plan.clone(), Arc::clone(&slot));
        let database = Arc::clone(&plan.database);
        let by = Arc::clone(&plan.by);
        let work = move |transaction: &mut Transaction<'_, Effect>| {
            let ran = run_in(&plan, placed, transaction)?;
            let is_kept = ran.is_kept;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
            // What is not kept is rolled back by an error, which nobody sees.
            if is_kept { Ok(()) } else { Err(Error::internal().into()) }
        };
        database.submit(&by, work).await
    };
    let ran = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (ran, seq) = match (ran, committed) {
        (Some(ran), Ok(committed)) => (ran, committed.seq),
        (Some(ran), Err(_)) if !ran.is_kept => (ran, None),
        (_, Err(refusal)) => return Err(refusal),
        (None, Ok(_)) => return Err(Error::internal()),
    };
    let GroupRun { placed, progress, outcome, before, .. } = ran;
    placed.give_back();
    let Some(outcome) = outcome else { return Ok(Ran::Waits) };
    let made = progress.made(before, seq);
    Ok(Ran::Done(done(plan, outcome, progress, made)))
}

fn run_in(
    plan: &PlannedCall,
    mut placed: PlacedCall,
    transaction: &mut Transaction<'_, Effect>,
) -> ferry_sqlite::Result<GroupRun> {
    let before = Seq(transaction.seq().0.saturating_sub(1));
    let mut progress = CallProgress::new(plan, SqlAccess::Group, placed.call.cpu(), placed.resources.clone());
    if idempotency::ask(&transaction.sql(), plan, &mut progress)? {
        return Ok(GroupRun { placed, progress, outcome: Some(outcome::gone()), before, is_kept: false });
    }
    let now_ms = wall_ms(&plan.hub);
    let step = {
        let mut place = OnPlace { place: Place::Writer(&mut *transaction), plan, progress: &mut progress };
        placed.call.step(&mut place, Vec::new(), now_ms)
    };
    let is_long = matches!(progress.end, Some(CallEnd::LongInGroup));
    let Some(mut outcome) = done_in_group(step).filter(|_| !is_long) else {
        return Ok(GroupRun { placed, progress, outcome: None, before, is_kept: false });
    };
    if outcome.result.is_ok()
        && let Err(failure) = finish(transaction, &mut progress, &outcome.invalidate)
    {
        outcome.result = Err(outcome::failed(&failure));
    }
    let is_kept = outcome.result.is_ok();
    if is_kept {
        idempotency::keep(transaction, plan, &progress, &outcome)?;
        fault::point("functions.applied")?;
    }
    Ok(GroupRun { placed, progress, outcome: Some(outcome), before, is_kept })
}

fn done_in_group(step: Step) -> Option<FunctionOutcome> {
    match step {
        Step::Done(outcome) => Some(outcome),
        Step::Waiting { .. } => None,
    }
}

impl FunctionDb for OnPlace<'_, '_> {
    fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> std::result::Result<Executed, DbFailure> {
        OnPlace::execute(self, sql, parameters, rows)
    }

    fn savepoint(&mut self, step: SavepointStep) -> std::result::Result<(), DbFailure> {
        OnPlace::savepoint(self, step)
    }

    fn model(&mut self, call: &ModelCall<'_>) -> std::result::Result<String, DbFailure> {
        OnPlace::model(self, call)
    }

    fn go_on(&mut self) -> bool {
        if self.progress.cpu.used() < GROUP_CPU_MAX {
            return true;
        }
        self.progress.end.get_or_insert(CallEnd::LongInGroup);
        false
    }

    fn seq(&mut self) -> std::result::Result<u64, DbFailure> {
        self.progress.used_seq();
        Ok(match &self.place {
            Place::Writer(transaction) => transaction.seq().0.saturating_sub(1),
            Place::Snapshot(sql) => seq_of(sql).map_or(0, |seq| seq.0),
        })
    }
}
