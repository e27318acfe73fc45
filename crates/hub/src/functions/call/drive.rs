//! Driving the machine of a call: its steps on threads that may block, and what it waits for in between.

use std::time::Duration;

use ferry_functions::{AskAnswer, FunctionCall, FunctionDb, Step, TakeError};
use ferry_trace::SpanContext;
use ferry_types::{Error, Result};
use tokio::time::{Instant, timeout_at};

use super::{
    CallDone, PlannedCall,
    asks::Asks,
    end::CallEnd,
    resources::{CallResources, too_many},
};
use crate::{functions::deployed::refusal_of_load, hub::Hub};

/// What running a call once came to.
pub(super) enum Ran {
    /// It is over.
    Done(Box<CallDone>),
    /// It writes: it has to run where it may.
    NeedsWriter,
    /// It waits in a group of the writer, or takes long there.
    Waits,
}

/// A context for a call, as soon as there is a place for it.
///
/// # Errors
/// `BUSY` when there was none for long.
pub(super) async fn begin(plan: &PlannedCall) -> Result<PlacedCall> {
    place_call(plan, CallResources::begin(plan).await?).await
}

/// The same, with what its first step needs: contexts and snapshots are held by calls that run, and not by all that wait for a
/// thread. Who waits for something else first gives the thread back ([`CallResources::end_step`]).
///
/// # Errors
/// As [`begin`].
pub(super) async fn begin_on_thread(plan: &PlannedCall) -> Result<PlacedCall> {
    let resources = CallResources::begin(plan).await?;
    if !resources.begin_step(false).await {
        return Err(too_many());
    }
    place_call(plan, resources).await
}

async fn place_call(plan: &PlannedCall, resources: CallResources) -> Result<PlacedCall> {
    let pool = plan.deployed.pool.clone();
    let now_ms = wall_ms(&plan.hub);
    // A warm one costs nothing; a new one some milliseconds.
    let (instance, resources) = if pool.idle() > 0 {
        (pool.take(now_ms), resources)
    } else {
        let pool = pool.clone();
        // The place goes with what is made in it, though the caller may not wait for it.
        let making = tokio::task::spawn_blocking(move || (pool.take(now_ms), resources));
        making.await.map_err(|_| Error::internal())?
    };
    let instance = instance.map_err(|error| {
        tracing::error!(database = %plan.database.id(), ?error, "no context for a function");
        match &error {
            TakeError::Load(error) => refusal_of_load(error),
            TakeError::Full => too_many(),
        }
    })?;
    Ok(PlacedCall { call: FunctionCall::begin(instance, plan.request.clone()), pool, resources })
}

/// The wall clock, as functions see it.
pub(super) fn wall_ms(hub: &Hub) -> u64 {
    u64::try_from(hub.clock.now().0).unwrap_or(0)
}

/// A call in its place among those of the database.
pub(super) struct PlacedCall {
    pub(super) call: FunctionCall,
    pool: ferry_functions::Pool,
    pub(super) resources: CallResources,
}

impl PlacedCall {
    /// The same call from its beginning, in the same place: who holds the writer must not wait for one.
    pub(super) async fn again(self, plan: &PlannedCall) -> Result<Self> {
        self.pool.give_back(self.call);
        place_call(plan, self.resources).await
    }

    /// Keeps the context for the next call, if it is fit.
    pub(super) fn give_back(self) {
        self.pool.give_back(self.call);
    }
}

/// A database that a call is driven with.
pub(super) trait DrivenDb: FunctionDb + Send + 'static {
    /// Since when the writer is held, if it is.
    fn holds_writer(&self) -> bool;

    /// The function used `fetch`.
    fn fetched(&mut self);

    /// The function waits.
    fn waits(&mut self);

    /// The driver ends the call.
    fn end(&mut self, end: CallEnd);
}

/// Drives a call to its end. `None`: it waited for too long, or its time was over; the database was told why.
pub(super) async fn drive<D: DrivenDb>(
    plan: &PlannedCall,
    mut placed: PlacedCall,
    mut db: D,
) -> Result<(PlacedCall, D, Option<ferry_functions::FunctionOutcome>)> {
    let config = &plan.hub.config.functions;
    let resources = placed.resources.clone();
    let over = resources.over();
    let mut held = Duration::from_millis(config.hold_ms);
    let mut asks = Asks::default();
    let mut answers: Vec<(u32, AskAnswer)> = Vec::new();
    loop {
        if !resources.begin_step(db.holds_writer()).await {
            db.end(CallEnd::RanTooLong);
            return Ok((placed, db, None));
        }
        let now_ms = wall_ms(&plan.hub);
        let given = std::mem::take(&mut answers);
        let request = ferry_trace::current();
        let stepping = tokio::task::spawn_blocking(move || {
            let step = SpanContext::enter(request, || placed.call.step(&mut db, given, now_ms));
            placed.resources.end_step();
            (placed, db, step)
        });
        let step;
        (placed, db, step) = step_of(stepping.await)?;
        let due_ms = match step {
            Step::Done(outcome) => return Ok((placed, db, Some(outcome))),
            Step::Waiting { asks: new, due_ms } => {
                for (id, ask) in new {
                    if asks.begin(plan, id, ask) {
                        db.fetched();
                    }
                }
                due_ms
            }
        };
        if !resources.wait(&placed.call, db.holds_writer()) {
            db.end(CallEnd::Refused(too_many()));
            return Ok((placed, db, None));
        }
        db.waits();
        let began = Instant::now();
        let (limit, end) = match db.holds_writer() {
            true if began + held < over => (began + held, CallEnd::HeldTooLong),
            _ => (over, CallEnd::RanTooLong),
        };
        let due = due_ms.map(|due| began + Duration::from_millis(due.saturating_sub(wall_ms(&plan.hub))));
        let wait = async {
            match due {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => Vec::new(),
                    answer = asks.next() => vec![answer],
                },
                None => vec![asks.next().await],
            }
        };
        match timeout_at(limit, wait).await {
            Ok(given) => answers = given,
            Err(_) => {
                db.end(end);
                return Ok((placed, db, None));
            }
        }
        if db.holds_writer() {
            held = held.saturating_sub(began.elapsed());
        }
    }
}

fn step_of<T>(step: std::result::Result<T, tokio::task::JoinError>) -> Result<T> {
    step.map_err(|error| {
        tracing::error!(%error, "a function's step panicked");
        Error::internal()
    })
}
