//! Op-log sync beside a naive log (ops specification, section 7).

mod engine;
mod first_sync;
mod load;
mod naive;
mod wire;

use std::process::ExitCode;

use ferry_testkit::process;

use self::{
    engine::{Log, Took, measured},
    naive::Naive,
    wire::Served,
};
use crate::table::{self, figure};

/// Ops that each of the pushes stores.
const PUSHED: u64 = 50_000;
/// Ops of a batch.
const BATCH: u64 = 500;
/// Ops that the naive log stores: it takes a second for a few thousand.
const NAIVE: u64 = 3_000;
/// Bytes of the body that the shim reads.
const BODY_BYTES: usize = 100 << 20;

/// Connections that push one by one.
const CONNECTIONS: u64 = 64;
/// How much each of them pushes.
const EACH: u64 = 300;
/// Ops of a spoke's first sync.
const SYNCED: u64 = 100_000;
/// Small ops of one page.
const SMALL: u64 = 5_000;

const USAGE: &str = "  --ops N     ops of the long pulls and of the snapshot (1000000)";

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let mut words = words.into_iter();
    let long = match (words.next().as_deref(), words.next().map(|number| number.parse())) {
        (None, _) => 1_000_000,
        (Some("--ops"), Some(Ok(number))) => number,
        _ => {
            eprintln!("options of ops:\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut rows = Vec::new();
    let naive = Naive::open(&dir.path().join("naive.db"));
    let all = load::batch(load::foreign, 0, NAIVE);
    let (naive_push, ()) = measured(|| naive.push(&all));
    rows.push(row("naive: push, a transaction per op", naive_push, NAIVE, None, "–"));
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
        let mut log = Log::open(&dir.path().join(format!("push-{via_shim}.db")));
        let took = push(&mut log, make, via_shim, PUSHED);
        rows.push(row(name, took, PUSHED, Some(naive_push.per_second(NAIVE)), bar));
    }
    rows.extend(long_log(&dir.path().join("long.db"), long, naive_pull));
    let before = resident();
    let (took, ops) = measured(|| engine::scan(BODY_BYTES));
    let grown = table::bytes(peak().saturating_sub(before));
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(served(naive_push.per_second(NAIVE)));
    ExitCode::SUCCESS
}

/// The hub over HTTP.
async fn served(naive: f64) {
    let hub = Served::start();
    let mut rows = Vec::new();
    let (used, ()) = hub.measured(hub.push(load::ferry, 0..PUSHED, BATCH)).await;
    rows.push(row(
        "push, batches of 500 Ferry ops",
        used.took,
        PUSHED,
        Some(naive),
        "≥ 20 × naive, ≤ 15 CPU-µs",
    ));
    let (used, ops) = hub.measured(hub.pull()).await;
    rows.push(row("pull, pages of 1 MiB", used.took, ops, None, "≤ 1.5 CPU-µs"));
    let (used, bytes) = hub.measured(hub.snapshot()).await;
    let name = format!("snapshot, {}", table::bytes(bytes));
    rows.push(row(&name, used.took, ops, None, "≥ 200,000 ops/s"));
    let (used, ()) = hub.measured(hub.push(load::foreign, 0..PUSHED, BATCH)).await;
    rows.push(row(
        "push, batches of 500 foreign ops",
        used.took,
        PUSHED,
        Some(naive),
        "≥ 20 × naive, ≤ 8 CPU-µs",
    ));
    let (used, ()) = hub.measured(hub.push_one_by_one(CONNECTIONS, EACH, PUSHED)).await;
    let ones = CONNECTIONS * EACH;
    rows.push(row("push, batch 1, 64 connections", used.took, ones, Some(naive), "≤ 80 CPU-µs"));
    let (used, ops) = hub.measured(hub.shim_push(BODY_BYTES, PUSHED)).await;
    let grown = table::bytes(used.peak_growth_bytes);
    let name = format!("shim push of 100 MiB, memory + {grown}");
    rows.push(row(&name, used.took, ops, None, "≤ 32 MiB"));
    table::print(
        "Ops: the hub over HTTP",
        "Durability: fsync before the answer, one per group of commits. CPU is user + system of the hub. Memory: how far the \
         peak lies above what was resident before.",
        &["workload", "ops/s", "ratio to naive", "CPU-µs/op", "bar"],
        &rows,
    );
    spokes().await;
    let small = Served::start();
    small.push(load::small, 0..SMALL, BATCH).await;
    let plain = small.page_bytes("identity", SMALL).await;
    let packed = small.page_bytes("gzip", SMALL).await;
    table::print(
        "Ops: bytes on the wire",
        "A page of 5,000 sets of one short value each, as a spoke pulls it.",
        &["encoding", "bytes/op", "bar"],
        &[
            vec!["none".into(), figure(plain as f64 / SMALL as f64, 1), "–".into()],
            vec!["gzip".into(), figure(packed as f64 / SMALL as f64, 1), "≤ 60".into()],
        ],
    );
}

/// What spokes cost, alone and with their hub.
async fn spokes() {
    let hub = Served::start();
    let (store, appended) = first_sync::append(SYNCED);
    let sent = first_sync::sync(&store, &hub, SYNCED);
    let replayed = first_sync::fresh(&hub, SYNCED);
    let dropped = hub.compact().await;
    let begun = first_sync::fresh(&hub, SYNCED);
    let both = |took: Took| format!("{:.2}", took.cpu.as_secs_f64());
    let cells = |name: &str, took: Took, bar: &str| {
        vec![
            name.to_owned(),
            figure(took.wall.as_secs_f64(), 2),
            both(took),
            figure(took.cpu_us_per(SYNCED), 1),
            bar.into(),
        ]
    };
    table::print(
        "Ops: spokes",
        &format!(
            "{SYNCED} sets of 1,000 entities, appended through the socket, 100 in a call; then a hub on the same machine. CPU \
             is user + system of spoke and hub together, the spoke's start included. Compaction dropped {dropped} ops."
        ),
        &["workload", "seconds", "CPU-seconds", "CPU-µs/op", "bar"],
        &[
            cells("op.append offline, batches of 100", appended, "≤ 20 CPU-µs and one fsync per batch"),
            cells("first sync: the spoke pushes all", sent, "≤ 3 CPU-s"),
            cells("a fresh spoke pulls all", replayed, "–"),
            cells("a fresh spoke begins with a snapshot", begun, "10 times faster than pulling all"),
        ],
    );
}

fn row(name: &str, took: Took, ops: u64, beside: Option<f64>, bar: &str) -> Vec<String> {
    vec![
        name.to_owned(),
        figure(took.per_second(ops), 0),
        beside.map_or_else(|| "–".to_owned(), |beside| figure(took.per_second(ops) / beside, 1)),
        figure(took.cpu_us_per(ops), 2),
        bar.to_owned(),
    ]
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
fn long_log(path: &std::path::Path, ops: u64, naive: Took) -> Vec<Vec<String>> {
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

fn peak() -> u64 {
    process::usage(std::process::id()).expect("this system has /proc").peak_bytes
}

/// How far the peak lies above what was resident.
fn peak_since(before: u64) -> u64 {
    peak().saturating_sub(before)
}
