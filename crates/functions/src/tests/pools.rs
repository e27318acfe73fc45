use std::{collections::HashSet, thread};

use ferry_core::sql::Value;

use super::support::{LIMITS, NOW_MS, Owned, RoteDb, drive, load_with, pool, request};
use crate::*;

fn call(pool: &Pool, args: &str) -> FunctionOutcome {
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", args));
    let outcome = drive(&mut call, &mut RoteDb::default(), |_| None);
    pool.give_back(call);
    outcome
}

#[test]
fn contexts_are_used_again_until_they_are_spent() {
    // Verifies: FUN-19
    let bundle = "let calls = 0; export function f(ctx, { loop, abort }) { calls++; if (loop) for (;;); if (abort) ctx.sql('abort'); return calls; }";
    let limits = RunLimits { calls_per_context: 3, cpu_ms: 50, ..LIMITS };
    let pool = Pool::new(load_with(bundle, None, limits).expect("it loads"), 2);
    let counts: Vec<_> =
        (0..5).map(|_| call(&pool, "{}").result.expect("it ran").expect("a count")).collect();
    assert_eq!(counts, ["1", "2", "3", "1", "2"], "after three calls a context is dropped");
    assert_eq!(call(&pool, r#"{"abort":true}"#).result, Err(CallFailure::Aborted));
    assert_eq!((pool.idle(), pool.live()), (0, 0), "an aborted context is dropped");
    assert_eq!(call(&pool, r#"{"loop":true}"#).result, Err(CallFailure::Limit(Limit::Cpu)));
    assert_eq!((pool.idle(), pool.live()), (0, 0), "so is one that breached a limit");
    assert_eq!(call(&pool, "{}").result, Ok(Some("1".to_owned())));
    let (one, two) = (pool.take(NOW_MS).expect("warm"), pool.take(NOW_MS).expect("fresh"));
    assert_eq!(pool.take(NOW_MS).err(), Some(TakeError::Full));
    drop((one, two));
    assert_eq!(pool.live(), 0);
    call(&pool, "{}");
    pool.shrink(0);
    assert_eq!((pool.idle(), pool.live()), (0, 0));
    let running = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    pool.retire();
    pool.give_back(running);
    assert_eq!((pool.idle(), pool.live()), (0, 0), "a retired pool keeps nothing");
}

/// Notes which call asked it.
struct OwnDb(i64, HashSet<i64>);

impl FunctionDb for OwnDb {
    fn execute(
        &mut self,
        _: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> Result<Executed, DbFailure> {
        let Owned::Integer(caller) = Owned::of(parameters[0]) else { panic!("no integer") };
        self.1.insert(caller);
        rows.columns(&["own"]);
        Ok(Executed { changes: 0, last_insert_rowid: self.0 })
    }

    fn savepoint(&mut self, _: SavepointStep) -> Result<(), DbFailure> {
        Ok(())
    }

    fn model(&mut self, _: &ModelCall<'_>) -> Result<String, DbFailure> {
        Ok(String::new())
    }

    fn seq(&mut self) -> Result<u64, DbFailure> {
        Ok(0)
    }
}

#[test]
fn interleaved_calls_on_many_threads_keep_to_their_own_database() {
    // Verifies: FUN-15
    let pool = pool(
        r#"export async function f(ctx, id) {
          for (let turn = 0; turn < 20; turn++) {
            const own = ctx.host.execute("x", [id], 0).lastInsertRowid;
            if (own !== id) return [turn, own];
            ctx.host.invalidate([`t${id}`]);
            await new Promise((resolve) => setTimeout(resolve, 1));
            if (turn === 10) await ctx.host.sign("{}", "1s");
          }
          return id;
        }"#,
    );
    let threads: Vec<_> = (0..8_i64)
        .map(|thread| {
            let pool = pool.clone();
            thread::spawn(move || {
                for round in 0..5_i64 {
                    // Two calls at once, stepped in turn.
                    let ids = [thread * 100 + round * 2, thread * 100 + round * 2 + 1];
                    let mut calls = ids.map(|id| {
                        let instance = pool.take(NOW_MS).expect("a context");
                        let call = FunctionCall::begin(instance, request("f", &id.to_string()));
                        (id, call, OwnDb(id, HashSet::new()), Vec::new(), None)
                    });
                    let mut now_ms = NOW_MS;
                    while calls.iter().any(|(.., outcome)| outcome.is_none()) {
                        now_ms += 1;
                        for (_, call, db, answers, outcome) in &mut calls {
                            if outcome.is_some() {
                                continue;
                            }
                            // Each step on another thread: a call may move.
                            let step = thread::scope(|scope| {
                                scope.spawn(|| call.step(db, std::mem::take(answers), now_ms)).join()
                            });
                            match step.expect("no panic") {
                                Step::Done(done) => *outcome = Some(done),
                                Step::Waiting { asks, .. } => {
                                    let signed = |(id, _)| (id, AskAnswer::Sign(Ok(String::new())));
                                    answers.extend(asks.into_iter().map(signed));
                                }
                            }
                        }
                    }
                    for (id, call, db, _, outcome) in calls {
                        let outcome = outcome.expect("it is done");
                        assert_eq!(outcome.result, Ok(Some(id.to_string())));
                        assert_eq!(outcome.invalidate, [format!("t{id}")]);
                        assert_eq!(db.1, HashSet::from([id]));
                        pool.give_back(call);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert!(pool.live() <= 16);
}
