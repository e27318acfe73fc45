//! Tables of the hub over HTTP, and of spokes.

use super::{Asked, BATCH, BODY_BYTES, PUSHED, engine::Took, first_sync, load, row, streams, wire::Served};
use crate::table::{self, figure};

/// Connections that push one by one.
const CONNECTIONS: u64 = 64;
/// How much each of them pushes.
const EACH: u64 = 300;
/// Ops of a spoke's first sync.
const SYNCED: u64 = 100_000;
/// Small ops of one page.
const SMALL: u64 = 5_000;
/// Idle streams. Of 20,000 descriptors a hub gives connections 9,744.
const STREAMS: usize = 9_000;

pub(super) async fn run(asked: &Asked, naive: f64) {
    if asked.has("hub") {
        pushes(naive).await;
        long_log(asked.long).await;
        small_ops().await;
    }
    if asked.has("ones") {
        ones(naive).await;
    }
    if asked.has("spokes") {
        spokes().await;
    }
    if asked.has("streams") {
        idle_streams().await;
    }
}

const NOTE: &str = "Durability: fsync before the answer, one per group of commits. CPU is user + system of the hub. Memory: how far \
     the peak lies above what was resident before.";
const HEAD: [&str; 5] = ["workload", "ops/s", "ratio to naive", "CPU-µs/op", "bar"];

async fn pushes(naive: f64) {
    let hub = Served::start();
    let mut rows = Vec::new();
    let (used, ()) = hub.measured(hub.push(load::ferry, 0..PUSHED, BATCH)).await;
    let bar = "≥ 20 × naive, ≤ 15 CPU-µs";
    rows.push(row("push, batches of 500 Ferry ops", used.took, PUSHED, Some(naive), bar));
    let (used, ()) = hub.measured(hub.push(load::foreign, 0..PUSHED, BATCH)).await;
    let bar = "≥ 20 × naive, ≤ 8 CPU-µs";
    rows.push(row("push, batches of 500 foreign ops", used.took, PUSHED, Some(naive), bar));
    let (used, ops) = hub.measured(hub.shim_push(BODY_BYTES, PUSHED)).await;
    let grown = table::bytes(used.peak_growth_bytes);
    let name = format!("shim push of 100 MiB, memory + {grown}");
    rows.push(row(&name, used.took, ops, None, "≤ 32 MiB"));
    table::print("Ops: the hub over HTTP", NOTE, &HEAD, &rows);
}

/// Pushes of one op each, by many connections at once.
async fn ones(naive: f64) {
    let hub = Served::start();
    hub.push(load::ferry, 0..PUSHED, BATCH).await;
    let groups = hub.groups().await;
    let (used, ()) = hub.measured(hub.push_one_by_one(CONNECTIONS, EACH, PUSHED)).await;
    let ones = CONNECTIONS * EACH;
    let each = ones as f64 / (hub.groups().await - groups).max(1.0);
    let name = format!("push, batch 1, 64 connections; {each:.1} acknowledgements per fsync");
    let bar = "≤ 80 CPU-µs, ≥ 8 per fsync";
    table::print("Ops: pushes of one op", NOTE, &HEAD, &[row(&name, used.took, ones, Some(naive), bar)]);
}

/// Reads of a long log.
async fn long_log(ops: u64) {
    let hub = Served::start();
    hub.push(load::ferry, 0..ops, BATCH).await;
    let (used, pulled) = hub.measured(hub.pull()).await;
    assert_eq!(pulled, ops, "every op is pulled");
    let name =
        format!("pull of {ops} ops, pages of 1 MiB, memory + {}", table::bytes(used.peak_growth_bytes));
    let mut rows = vec![row(&name, used.took, ops, None, "≤ 1.5 CPU-µs, ≤ 4 pages")];
    let (used, bytes) = hub.measured(hub.snapshot()).await;
    let (bytes, grown) = (table::bytes(bytes), table::bytes(used.peak_growth_bytes));
    rows.push(row(&format!("snapshot, {bytes}, memory + {grown}"), used.took, ops, None, "≥ 200,000 ops/s"));
    table::print("Ops: a long log over HTTP", NOTE, &HEAD, &rows);
}

async fn small_ops() {
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

async fn idle_streams() {
    ferry_testkit::process::raise_descriptors();
    let hub = Served::start();
    let idle = streams::run(&hub, STREAMS).await;
    let nudge = figure(idle.nudges.cpu_us_per(idle.arrived), 1);
    table::print(
        &format!("Ops: {STREAMS} idle streams"),
        "Growth of the hub's resident memory per stream; then CPU of the hub per nudge that arrived.",
        &["workload", "value", "bar"],
        &[
            vec!["memory of a stream".into(), table::bytes(idle.bytes_each as u64), "≤ 16 KiB".into()],
            vec!["a nudge, CPU-µs".into(), nudge, "≤ 5".into()],
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
