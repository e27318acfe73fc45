//! Running a function: where its statements run, and what becomes of its call (functions specification, 3.2).
//!
//! A call that is not known to write reads a snapshot, beside everybody. Its first write undoes it, unseen, and it runs
//! again inside a request of the writer, among others of a group. One that waits for the outside is lent the writer
//! instead, so that nobody else's commit waits for it for longer than `functions.hold_ms`. An action commits statement by
//! statement.

mod action;
mod asks;
mod collections;
mod cpu_scheduler;
mod drive;
mod end;
mod failing;
mod group;
mod idempotency;
mod lease;
mod model;
mod outcome;
mod place;
mod progress;
mod resources;

use std::sync::{Arc, atomic::Ordering};

use ferry_control::Requester;
use ferry_core::functions::live::{Reads, TableNames};
use ferry_functions::{CallFailure, CallRequest, FunctionKind, FunctionOutcome};
use ferry_types::{Error, Seq};

pub(super) use cpu_scheduler::CpuScheduler;
pub(super) use end::CallEnd;
pub(super) use idempotency::Idempotency;
pub(super) use outcome::{StoredBody, answer_tables};
use progress::CallProgress;
pub(super) use progress::StoredAnswer;

use super::{deployed::LoadedFunctions, state::FunctionsState};
use crate::{
    database::Database,
    events::{deliver_pushed, open_store},
    hub::Hub,
};

/// Whether a call may write, and what it is told that may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// It may.
    Allowed,
    /// It is a query (FUN-03).
    Query,
    /// Its credential only reads (FUN-52).
    Credential,
    /// It is a hook that decides (FUN-85).
    Hook,
    /// It came by GET (FUN-03).
    Get,
    /// It is run to see whether its result changed (FUN-31).
    Gate,
}

/// A call that is to be made.
#[derive(Clone)]
pub(super) struct PlannedCall {
    pub(super) hub: Arc<Hub>,
    pub(super) database: Arc<Database>,
    pub(super) by: Arc<Requester>,
    /// Whose records it writes; `None`: nobody's.
    pub(super) owner: Option<Arc<str>>,
    pub(super) deployed: Arc<LoadedFunctions>,
    pub(super) request: CallRequest,
    pub(super) kind: FunctionKind,
    pub(super) writes: Writes,
    pub(super) idempotency: Option<Idempotency>,
}

/// A call that was made.
pub(super) struct CallDone {
    pub(super) outcome: FunctionOutcome,
    /// Why the database ended it, if it did.
    pub(super) end: Option<CallEnd>,
    /// The commit that it read, or made.
    pub(super) seq: Seq,
    /// Whether it made one.
    pub(super) wrote: bool,
    /// The tables that its result depends on.
    pub(super) reads: TableNames,
    /// The same, and which rows of them where that is known.
    pub(super) depends_on: Reads,
    /// The tables of its SELECT statements.
    pub(super) selected: TableNames,
    /// The tables that it changed.
    pub(super) written: TableNames,
    /// Whether SQL gave it what is no row: the time, randomness.
    pub(super) is_volatile: bool,
    /// The answer that was stored under its key before: nothing was run.
    pub(super) stored: Option<StoredAnswer>,
}

impl CallDone {
    /// Why it has no result.
    pub(super) fn failure(&self) -> Option<&CallFailure> {
        self.outcome.result.as_ref().err()
    }
}

/// How a call is run.
#[derive(Clone, Copy)]
enum Mode {
    /// On a snapshot, and on a writer that is lent once it writes; `in_place`: without beginning again.
    Lease { in_place: bool },
    /// In a request of the writer.
    Group,
    /// Statement by statement.
    Action,
}

/// Makes a call.
///
/// # Errors
/// What is no failure of the function: too many calls, a right that ended, a disk that is full.
pub(super) async fn run(plan: PlannedCall) -> Result<CallDone, Error> {
    let mut span = ferry_trace::span("function");
    span.set("code.function.name", || plan.request.function.to_string());
    let done = span.scope(run_in_modes(plan)).await;
    if done.as_ref().map_or(true, |done| done.failure().is_some()) {
        span.fail();
    }
    done
}

async fn run_in_modes(plan: PlannedCall) -> Result<CallDone, Error> {
    let _counted = Counted::new(&plan)?;
    let state = Arc::clone(&plan.database.models().functions);
    let function = Arc::clone(&plan.request.function);
    let mut mode = first_mode(&plan, &state);
    loop {
        let done = match mode {
            Mode::Lease { in_place } => lease::run(&plan, in_place).await?,
            Mode::Group => group::run(&plan).await?,
            Mode::Action => action::run(&plan).await?,
        };
        mode = match done {
            drive::Ran::Done(done) if matches!(&done.end, Some(CallEnd::OpenStore(_))) => {
                let Some(CallEnd::OpenStore(store)) = &done.end else { continue };
                open_store(&plan.hub, &plan.database, store, Some(&plan.by)).await?;
                mode
            }
            drive::Ran::Done(done) => {
                if plan.writes == Writes::Allowed {
                    state.note_habit(&function, |habit| habit.writes = done.wrote);
                }
                return Ok(*done);
            }
            drive::Ran::NeedsWriter => Mode::Group,
            drive::Ran::Waits => {
                state.note_habit(&function, |habit| habit.waits = true);
                Mode::Lease { in_place: true }
            }
        };
    }
}

fn first_mode(plan: &PlannedCall, state: &FunctionsState) -> Mode {
    if plan.kind == FunctionKind::Action {
        return Mode::Action;
    }
    let habit = state.habit(&plan.request.function);
    let writes = plan.writes == Writes::Allowed
        && (plan.kind == FunctionKind::Mutation || habit.writes || plan.idempotency.is_some());
    match (writes, habit.waits) {
        (true, false) => Mode::Group,
        (_, waits) => Mode::Lease { in_place: waits },
    }
}

/// A place among the calls of the database, for as long as this lives.
struct Counted(Arc<FunctionsState>);

impl Counted {
    fn new(plan: &PlannedCall) -> Result<Self, Error> {
        let counted = Self(Arc::clone(&plan.database.models().functions));
        let before = counted.0.calls.fetch_add(1, Ordering::AcqRel);
        if before >= plan.hub.config.functions.waiting_calls {
            return Err(resources::too_many());
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Puts together what a call came to. Event stores that it appended to tell their hooks.
fn done(
    plan: &PlannedCall,
    outcome: FunctionOutcome,
    progress: CallProgress,
    (seq, wrote): (Seq, bool),
) -> Box<CallDone> {
    progress.stores.iter().for_each(|store| deliver_pushed(&plan.hub, &plan.database, store));
    metrics::histogram!("ferry_functions_cpu_seconds").record(outcome.cpu_us as f64 / 1e6);
    Box::new(CallDone {
        outcome,
        seq,
        wrote,
        reads: progress.reads(),
        depends_on: progress.depends_on(),
        selected: progress.selected(),
        written: progress.shown_written(plan),
        is_volatile: progress.is_volatile(),
        end: progress.end,
        stored: progress.stored,
    })
}
