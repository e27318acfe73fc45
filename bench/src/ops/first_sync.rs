//! Spokes as processes of their own: appending offline, the first sync with a hub, and a beginning with a snapshot.

use std::time::Duration;

use ferry_testkit::{
    process,
    spoke::{Spoke, SpokeApp, SpokeOptions},
    wait,
};
use serde_json::{Value, json};

use super::{engine::Took, wire::Served};
use crate::{binary, clock};

/// Ops of one call of `op.append`.
const BATCH: u64 = 100;
/// Entities that the ops write to, so that most writes cover an earlier one.
const ENTITIES: u64 = 1_000;
/// Longest a sync may take.
const SYNC: Duration = Duration::from_secs(120);

fn cpu_ms(spoke: &Spoke) -> u64 {
    process::usage(spoke.pid()).expect("the spoke runs, on a system with /proc").cpu_ms
}

/// Appends so many ops while there is no hub; gives the options of the store, and what it took.
pub(super) fn append(ops: u64) -> (SpokeOptions, Took) {
    let alone = SpokeOptions::new(binary::ferry());
    let spoke = alone.start();
    let mut app: SpokeApp = spoke.connect();
    let (begin, before) = (clock::now(), cpu_ms(&spoke));
    for first in (0..ops).step_by(BATCH as usize) {
        let drafts: Vec<Value> = (first..ops.min(first + BATCH))
            .map(|number| {
                json!({"kind": "set", "entity": format!("node/{}", number % ENTITIES), "field": "title",
                    "value": format!("the {number}th title of a note about milk, tea, books and the library")})
            })
            .collect();
        app.call("op.append", &json!({"ops": drafts})).expect("the ops are appended");
    }
    let took = Took { wall: begin.elapsed(), cpu: Duration::from_millis(cpu_ms(&spoke) - before) };
    (alone, took)
}

/// Lets a store of these options sync with the hub until it holds `head` ops of it; gives the CPU time of both.
pub(super) fn sync(options: &SpokeOptions, hub: &Served, head: u64) -> Took {
    let url = format!("http://{}", hub.address());
    let options = options.clone().arg("--interval=24h").hub(&url, hub.token());
    let (begin, before) = (clock::now(), hub.usage().cpu_ms);
    let spoke = options.start();
    // An exchange takes what there is when it begins, and the spoke tells when it is over: to ask for its status again and
    // again would cost it more than the exchange.
    let is_whole = wait::within(SYNC, || {
        // Refused while the hub has not been found yet.
        let _ = spoke.try_call("sync.now", &json!({"timeout_ms": 30_000}));
        let status = spoke.status();
        let is_there = status["cursor"].as_u64() >= Some(head) && status["pending"].as_u64() == Some(0);
        is_there.then_some(())
    });
    assert!(is_whole.is_some(), "the spoke does not sync within {SYNC:?}: {}", spoke.status());
    let cpu = cpu_ms(&spoke) + hub.usage().cpu_ms - before;
    Took { wall: begin.elapsed(), cpu: Duration::from_millis(cpu) }
}

/// The same of a new store.
pub(super) fn fresh(hub: &Served, head: u64) -> Took {
    sync(&SpokeOptions::new(binary::ferry()), hub, head)
}
