//! The task of a database that runs what is due and hands out what is to be told, as long as somebody is there.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::functions::live::{Evaluated, LiveOutput, PushReason, QueryId, Reads};
use ferry_types::{Model, Seq};
use tokio::{task::JoinSet, time::Instant};

use super::super::{
    deployed,
    live_result::{LiveAnswer, Rerun},
    mailbox::Fresh,
    refusal::CallRefusal,
    rpc::{NotMade, evaluate},
    state::Live,
};
use super::due::{DueQueries, DueQuery};
use crate::{
    database::Database,
    hub::Hub,
    monotonic::{instant, now_ms},
};

/// CPU for runs that only see whether a result changed: so many milliseconds at once, and this share of the time (FUN-32).
const BUDGET_MAX_MS: f64 = 50.0;
const BUDGET_SHARE: f64 = 0.25;
/// The same for results that sockets keep: beyond it they are told to fetch, which they do as fast as they can.
const KEPT_BUDGET_MAX_MS: f64 = 500.0;
const KEPT_BUDGET_SHARE: f64 = 0.5;

/// Looks after the live results of databases, a task for each that has some, as long as the hub runs.
pub(in crate::functions) fn start(hub: &Arc<Hub>) {
    let Some(mut needed) = hub.services.functions.take_needed() else { return };
    let waiting = Arc::clone(hub);
    hub.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = waiting.stopping.cancelled() => return,
                database = needed.recv() => {
                    let Some(database) = database else { return };
                    let hub = Arc::clone(&waiting);
                    waiting.tasks.spawn(async move { run(&hub, &database).await });
                }
            }
        }
    });
}

struct Budget {
    left_ms: f64,
    max_ms: f64,
    share: f64,
    since: Instant,
}

impl Budget {
    fn new(max_ms: f64, share: f64) -> Self {
        Self { left_ms: max_ms, max_ms, share, since: Instant::now() }
    }

    fn refill(&mut self) {
        let elapsed = self.since.elapsed().as_secs_f64() * 1000.0;
        self.since = Instant::now();
        self.left_ms = (self.left_ms + elapsed * self.share).min(self.max_ms);
    }

    fn spend(&mut self, cpu_us: u64) {
        self.left_ms -= cpu_us as f64 / 1000.0;
    }
}

/// CPU for runs of both kinds.
struct Budgets {
    gated: Budget,
    kept: Budget,
}

/// A run that is over.
struct RunOver {
    query: QueryId,
    /// It only sees whether the result changed.
    is_gated: bool,
    made: Result<Option<(Evaluated, LiveAnswer)>, NotMade>,
}

async fn run(hub: &Arc<Hub>, database: &Arc<Database>) {
    let state = Arc::clone(&database.models().functions);
    let (stopping, closed) = (hub.stopping.clone(), database.closed().clone());
    let mut budgets = Budgets {
        gated: Budget::new(BUDGET_MAX_MS, BUDGET_SHARE),
        kept: Budget::new(KEPT_BUDGET_MAX_MS, KEPT_BUDGET_SHARE),
    };
    let mut due = DueQueries::default();
    let mut runs = JoinSet::new();
    loop {
        let (next_ms, is_empty) = state
            .look_at_live(|live| {
                let outputs = live.queries.take_outputs(now_ms());
                deliver(live, outputs, None);
                let more = live.queries.take_due();
                due.add(live, more);
                (live.queries.due_ms(), live.queries.is_empty())
            })
            .unwrap_or((None, true));
        let mut is_told = false;
        while let Some((query, is_kept)) = due.next(Instant::now()) {
            budgets.gated.refill();
            budgets.kept.refill();
            let id = query.0;
            if !begin_run(hub, database, query, is_kept, &budgets, &mut runs).await {
                due.ended(id, Instant::now());
                is_told = true;
            }
        }
        if is_told {
            // Who is told without a run is due now.
            continue;
        }
        if is_empty && runs.is_empty() {
            // Who comes in between finds that there is a task, or begins one.
            state.has_task.store(false, Ordering::Release);
            let is_needed = state.look_at_live(|live| !live.queries.is_empty()).unwrap_or(false);
            if !is_needed || state.has_task.swap(true, Ordering::AcqRel) {
                return;
            }
            continue;
        }
        let next = async {
            match next_ms.map(instant).into_iter().chain(due.changes_at()).min() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = closed.cancelled() => return,
            Some(over) = runs.join_next() => {
                match over {
                    Ok(over) => {
                        due.ended(over.query, Instant::now());
                        end_run(database, over, &mut budgets);
                    }
                    // It panicked, and which one it was is not told.
                    Err(_) => due.forget_running(),
                }
            }
            () = state.woken.notified() => {}
            () = next => {}
        }
    }
}

/// Runs it, if it may be run. False: it was told without.
async fn begin_run(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    (query, key, rerun): DueQuery,
    is_kept: bool,
    budgets: &Budgets,
    runs: &mut JoinSet<RunOver>,
) -> bool {
    let state = &database.models().functions;
    let may_run = if is_kept {
        let was_run = state.look_at_live(|live| live.queries.was_run(query)).unwrap_or(false);
        budgets.kept.left_ms > 0.0 || !was_run
    } else {
        budgets.gated.left_ms > 0.0 && !rerun.caller.is_over()
    };
    let deployed = if may_run { deployed::current(hub, database).await.ok().flatten() } else { None };
    let Some(deployed) = deployed else {
        not_run(database, query, None, None);
        return false;
    };
    let (hub, database_id) = (Arc::clone(hub), database.id());
    runs.spawn(async move {
        let kind = deployed.pool.program().function(&key.function).map(|info| info.kind);
        let rerun = Rerun { caller: rerun.caller.clone(), kind: kind.unwrap_or(rerun.kind) };
        let made = match kind {
            Some(_) => {
                let span = hub.traces.message("live query", Model::Functions, database_id);
                span.scope(evaluate(&hub, deployed, &key, &rerun)).await
            }
            None => {
                let message = format!("NOT_FOUND: Function \"{}\" does not exist.", key.function);
                Err(CallRefusal::new(message).into())
            }
        };
        RunOver { query, is_gated: !is_kept, made }
    });
    true
}

fn end_run(database: &Arc<Database>, over: RunOver, budgets: &mut Budgets) {
    let RunOver { query, is_gated, made } = over;
    match made {
        Ok(None) => not_run(database, query, None, None),
        Ok(Some((evaluated, answer))) => {
            let budget = if is_gated { &mut budgets.gated } else { &mut budgets.kept };
            budget.spend(answer.cpu_us);
            database.models().functions.look_at_live(|live| {
                let compared = live.queries.evaluated(query, &evaluated, now_ms());
                let changed = if compared.differed { "true" } else { "false" };
                metrics::counter!("ferry_functions_gate_runs_total", "changed" => changed).increment(1);
                deliver(live, compared.outputs, Some(&Fresh::Result(Arc::new(answer), false)));
            });
        }
        Err(NotMade { refusal, failed }) => {
            not_run(database, query, Some(Fresh::Failed(Arc::new(refusal))), failed.as_ref());
        }
    }
}

fn not_run(database: &Arc<Database>, query: QueryId, fresh: Option<Fresh>, failed: Option<&(Reads, Seq)>) {
    database.models().functions.look_at_live(|live| {
        let outputs = live.queries.not_run(query, failed.map(|(reads, seq)| (reads, *seq)), now_ms());
        let stale = Fresh::Stale(live.queries.changes().newest());
        deliver(live, outputs, Some(&fresh.unwrap_or(stale)));
    });
}

/// Puts what is to be told into the mailboxes of its sockets. It is counted before: who was told finds it in the metrics.
fn deliver(live: &mut Live, outputs: Vec<LiveOutput>, fresh: Option<&Fresh>) {
    count_pushes(live);
    for output in outputs {
        match output {
            LiveOutput::Invalidate { socket, tables, seq } => {
                live.sockets.get(&socket).inspect(|mailbox| mailbox.invalidate(tables, seq));
            }
            LiveOutput::Result { socket, id, same } => {
                let Some(mailbox) = live.sockets.get(&socket) else { continue };
                match fresh {
                    Some(Fresh::Result(answer, _)) => {
                        mailbox.fresh(id, Fresh::Result(Arc::clone(answer), same));
                    }
                    Some(fresh) => mailbox.fresh(id, fresh.clone()),
                    None => {}
                }
            }
        }
    }
}

fn count_pushes(live: &mut Live) {
    metrics::counter!("ferry_functions_spared_total").increment(live.queries.take_spared());
    for (reason, count) in live.queries.take_pushes() {
        let reason = match reason {
            PushReason::Changed => "changed",
            PushReason::Unrun => "unrun",
        };
        metrics::counter!("ferry_functions_pushes_total", "reason" => reason).increment(count);
    }
}
