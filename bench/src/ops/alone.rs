//! Tables of the engine alone.

use std::path::Path;

use ferry_testkit::process;

use super::{
    BATCH, BODY_BYTES, NAIVE, PUSHED,
    engine::{self, Log, Took, measured},
    load,
    naive::Naive,
    row, texts,
};
use crate::table::{self, figure};

/// Edits of a text, each of one character, and half of them: whoever is linear takes as long for each.
const EDITS: [u64; 2] = [5_000, 10_000];

/// Logs beside the naive one.
pub(super) fn logs(dir: &Path, long: u64, naive: &Naive, naive_push: Took) {
    let mut rows = vec![row("naive: push, a transaction per op", naive_push, NAIVE, None, "–")];
    let (naive_pull, body) = measured(|| naive.pull(""));
    assert!(body.len() > NAIVE as usize * load::OP_BYTES, "the naive pull gives every op");
    rows.push(row("naive: pull of everything", naive_pull, NAIVE, None, "–"));

    for (name, make, via_shim, bar) in [
        (
            "push, batches of 500 Ferry ops",
            load::ferry as fn(u64) -> String,
            false,
            "≥ 20 × naive, ≤ 15 CPU-µs",
        ),
        ("push, batches of 500 foreign ops", load::foreign, true, "≥ 20 × naive, ≤ 8 CPU-µs"),
    ] {
        let mut log = Log::open(&dir.join(format!("push-{via_shim}.db")));
        let took = push(&mut log, make, via_shim, PUSHED);
        rows.push(row(name, took, PUSHED, Some(naive_push.per_second(NAIVE)), bar));
    }
    rows.extend(long_log(&dir.join("long.db"), long, naive_pull));
    let before = resident();
    let (took, ops) = measured(|| engine::scan(BODY_BYTES));
    let grown = table::bytes(peak_since(before));
    rows.push(row(&format!("shim: 100 MiB of a body read, memory + {grown}"), took, ops, None, "≤ 32 MiB"));
    table::print(
        "Ops: the engine alone",
        "Sets and foreign ops of 250 bytes, on one thread and one connection: WAL, synchronous=FULL, one transaction per \
         batch. Ratio: ops per second beside the naive log, which stores each op in a transaction of its own behind one \
         mutex, and pulls everything by HLC. CPU is the thread's, which makes the ops of the load beforehand but for the \
         shim's body, where it makes them, too.",
        &["workload", "ops/s", "ratio to naive", "CPU-µs/op", "bar"],
        &rows,
    );
}

/// Texts that are typed.
pub(super) fn texts(dir: &Path) {
    let mut rows = Vec::new();
    for edits in EDITS {
        let typed = texts::run(dir, edits);
        let cells = |name: &str, took: Took, bar: &str| {
            vec![format!("{edits} edits: {name}"), figure(took.cpu_us_per(edits), 1), bar.to_owned()]
        };
        rows.push(cells("a spoke writes them", typed.written, "–"));
        rows.push(cells("a hub merges them, batches of 500", typed.merged, "≤ 25 CPU-µs, linear"));
        rows.push(cells("the text is read once", typed.read, "–"));
    }
    table::print(
        "Ops: a text, typed",
        "One character at the end per op; the engine alone, as above. CPU per edit.",
        &["workload", "CPU-µs/edit", "bar"],
        &rows,
    );
}

/// Pushes so many ops in batches.
fn push(log: &mut Log, make: fn(u64) -> String, via_shim: bool, ops: u64) -> Took {
    let mut total = Took::default();
    for first in (0..ops).step_by(BATCH as usize) {
        let batch = load::batch(make, first, BATCH.min(ops - first));
        let (took, ()) = measured(|| log.push(&batch, via_shim));
        total += took;
    }
    total
}

/// What reads a log of many ops.
fn long_log(path: &Path, ops: u64, naive: Took) -> Vec<Vec<String>> {
    let mut log = Log::open(path);
    let filled = push(&mut log, load::ferry, false, ops);
    let beside = Some(naive.per_second(NAIVE));
    let mut rows = vec![row(&format!("push of {ops} Ferry ops"), filled, ops, None, "–")];
    let before = resident();
    let (took, (pulled, _)) = measured(|| log.pull());
    assert_eq!(pulled, ops, "every op is pulled");
    let name = format!("pull of {ops} ops, pages of 1 MiB, memory + {}", table::bytes(peak_since(before)));
    rows.push(row(&name, took, ops, beside, "≤ 1.5 CPU-µs, ≤ 4 pages"));
    let (took, bytes) = measured(|| log.snapshot());
    rows.push(row(&format!("snapshot, {}", table::bytes(bytes)), took, ops, beside, "≥ 200,000 ops/s"));
    let (took, bytes) = measured(|| log.shim_pull());
    rows.push(row(&format!("shim: pull of everything, {}", table::bytes(bytes)), took, ops, beside, "–"));
    rows
}

fn resident() -> u64 {
    process::usage(std::process::id()).expect("this system has /proc").resident_bytes
}

/// How far the peak lies above what was resident.
fn peak_since(before: u64) -> u64 {
    let peak = process::usage(std::process::id()).expect("this system has /proc").peak_bytes;
    peak.saturating_sub(before)
}
