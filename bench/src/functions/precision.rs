//! Who is told of a write: 10,000 subscriptions, of which it affects one in a hundred.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use ferry_testkit::http;
use serde_json::json;
use tokio::{
    task::LocalSet,
    time::{Instant, interval_at},
};

use super::{
    client::{Caller, Said, Socket},
    load_average,
    peer::{FERRY, Kind, Peer},
    print,
};
use crate::{
    beside::{Kind as _, Server as _, options::Options},
    clock, table,
};

const PRECISION: &str = "precision";
const SOCKETS: usize = 1_000;
/// Subscriptions of a socket.
const EACH: usize = 10;
const ALL: usize = SOCKETS * EACH;
/// Subscriptions that a write affects.
const AFFECTED: usize = ALL / 100;
const WRITES: usize = 5;
/// Nothing more comes when nothing came for so long.
pub(super) const QUIET: Duration = Duration::from_millis(1_000);

/// What the sockets have been told since the last write, by subscription.
struct Told {
    results: RefCell<Vec<u32>>,
    stale: RefCell<Vec<u32>>,
    count: Cell<usize>,
}

/// What came of the writes, on average.
struct Outcome {
    right: f64,
    wrong: f64,
    missed: f64,
    cpu_ms: f64,
}

impl Outcome {
    fn average(self) -> Self {
        let average = |value: f64| value / WRITES as f64;
        Self {
            right: average(self.right),
            wrong: average(self.wrong),
            missed: average(self.missed),
            cpu_ms: average(self.cpu_ms),
        }
    }
}

pub(super) async fn run(options: &Options) {
    if !options.wants(PRECISION) {
        return;
    }
    let mut rows = Vec::new();
    for (name, distinct) in [("100 results, each of 100 pages", AFFECTED), ("10,000 results", ALL)] {
        let peer = Kind::FERRY.started();
        peer.fill(distinct).await;
        let outcome = LocalSet::new().run_until(measure(&peer, distinct)).await;
        rows.push(row(name, &outcome));
    }
    for (name, distinct) in
        [("EdgePod's dialect: 100 results", AFFECTED), ("EdgePod's dialect: 10,000 results", ALL)]
    {
        let peer = Kind::FERRY.started();
        peer.fill(distinct).await;
        let outcome = LocalSet::new().run_until(sessions(&peer, distinct)).await;
        rows.push(row(name, &outcome));
    }
    print(
        "Functions: 10,000 subscriptions, of which a write affects 100",
        &format!(
            "{SOCKETS} sockets of Ferry's dialect with {EACH} subscriptions to getUserById each; a write renames one user \
             that 100 show, or 100 users that one shows each. Averages of {WRITES} writes, each once the last one's frames \
             have come; who is told `stale` subscribes anew. False: told, though the result is the same. At table level \
             each of the 10,000 would be told. EdgePod's dialect: the same as sessions that call over HTTP, all anew after each \
             write; a frame names the table, and what the hub counts as told is taken (affected ones first).",
        ),
        &[
            "subscriptions to",
            "true pushes",
            "false pushes",
            "of the unaffected",
            "not told",
            "false at table level",
            "CPU-ms per write",
            "load",
            "bar",
        ],
        &rows,
    );
}

fn row(name: &str, outcome: &Outcome) -> Vec<String> {
    vec![
        name.to_owned(),
        table::figure(outcome.right, 0),
        table::figure(outcome.wrong, 0),
        format!("{:.2} %", outcome.wrong * 100.0 / (ALL - AFFECTED) as f64),
        table::figure(outcome.missed, 0),
        (ALL - AFFECTED).to_string(),
        table::figure(outcome.cpu_ms, 0),
        load_average(),
        "≤ 1 %".to_owned(),
    ]
}

async fn measure(peer: &Peer, distinct: usize) -> Outcome {
    let told = Rc::new(Told {
        results: RefCell::new(vec![0; ALL]),
        stale: RefCell::new(vec![0; ALL]),
        count: Cell::new(0),
    });
    for number in 0..SOCKETS {
        let mut socket = Socket::open(peer.address, &session(number), Some(FERRY)).await;
        let subscriptions: Vec<_> = (number * EACH..(number + 1) * EACH).collect();
        for subscription in &subscriptions {
            socket.subscribe(*subscription, "getUserById", json!({"id": subscription % distinct + 1})).await;
        }
        for _ in &subscriptions {
            while !matches!(socket.next().await, Said::Result(_)) {}
        }
        tokio::task::spawn_local(follow(socket, distinct, Rc::clone(&told)));
    }
    let mut writer = Caller::connect(peer.address, None).await;
    let affected = distinct / 100;
    let mut sum = Outcome { right: 0.0, wrong: 0.0, missed: 0.0, cpu_ms: 0.0 };
    for write in 0..WRITES {
        let first = write * affected;
        let before = peer.usage().cpu_ms;
        let args = json!({"from": first + 1, "count": affected, "name": format!("name {write}")});
        writer.call("rename", args).await;
        quiet(&told).await;
        let (results, stale) = (told.results.take(), told.stale.take());
        told.results.replace(vec![0; ALL]);
        told.stale.replace(vec![0; ALL]);
        for subscription in 0..ALL {
            let is_told = results[subscription] + stale[subscription] > 0;
            let is_affected = (first..first + affected).contains(&(subscription % distinct));
            match (is_affected, is_told) {
                (true, true) => sum.right += 1.0,
                (true, false) => sum.missed += 1.0,
                (false, true) => sum.wrong += 1.0,
                (false, false) => {}
            }
        }
        sum.cpu_ms += (peer.usage().cpu_ms - before) as f64;
    }
    sum.average()
}

/// The same over EdgePod's wire, where a frame names tables and not results: what the hub counts as told.
async fn sessions(peer: &Peer, distinct: usize) -> Outcome {
    for number in 0..SOCKETS {
        let mut socket = Socket::open(peer.address, &session(number), None).await;
        tokio::task::spawn_local(async move {
            loop {
                socket.next().await;
            }
        });
    }
    let mut writer = Caller::connect(peer.address, None).await;
    let affected = distinct / 100;
    let mut sum = Outcome { right: 0.0, wrong: 0.0, missed: 0.0, cpu_ms: 0.0 };
    for write in 0..WRITES {
        // Who is told reads again, and until then is told of everything; here all read.
        for number in 0..SOCKETS {
            let mut caller = Caller::connect(peer.address, Some(&session(number))).await;
            for subscription in number * EACH..(number + 1) * EACH {
                caller.call("getUserById", json!({"id": subscription % distinct + 1})).await;
            }
        }
        settle().await;
        let (before, cpu_before) = (pushes(peer), peer.usage().cpu_ms);
        let args = json!({"from": write * affected + 1, "count": affected, "name": format!("name {write}")});
        writer.call("rename", args).await;
        let mut told = f64::NAN;
        while told != pushes(peer) - before {
            told = pushes(peer) - before;
            settle().await;
        }
        sum.right += told.min(AFFECTED as f64);
        sum.wrong += (told - AFFECTED as f64).max(0.0);
        sum.missed += (AFFECTED as f64 - told).max(0.0);
        sum.cpu_ms += (peer.usage().cpu_ms - cpu_before) as f64;
    }
    sum.average()
}

fn session(number: usize) -> String {
    format!("session-{number}")
}

/// Subscriptions that were told so far, for whatever reason.
fn pushes(peer: &Peer) -> f64 {
    let metrics = http::get(peer.address, "/metrics").expect("the hub is reachable").text();
    let counts = metrics.lines().filter(|line| line.starts_with("ferry_functions_pushes_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn follow(mut socket: Socket, distinct: usize, told: Rc<Told>) {
    // The answers to its own subscriptions are no pushes.
    let mut awaited = Vec::new();
    loop {
        match socket.next().await {
            Said::Result(id) => match awaited.iter().position(|waiting| *waiting == id) {
                Some(place) => {
                    awaited.swap_remove(place);
                }
                None => told.results.borrow_mut()[id] += 1,
            },
            Said::Stale(id) => {
                told.stale.borrow_mut()[id] += 1;
                awaited.push(id);
                socket.subscribe(id, "getUserById", json!({"id": id % distinct + 1})).await;
            }
            Said::Invalidate | Said::Other => {}
        }
        told.count.set(told.count.get() + 1);
    }
}

/// Waits until nothing more comes.
async fn quiet(told: &Told) {
    let begun = clock::now();
    loop {
        let before = told.count.get();
        settle().await;
        if told.count.get() == before {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the sockets are told for ever");
    }
}

/// Gives what is on its way time to arrive.
async fn settle() {
    interval_at(Instant::now() + QUIET, QUIET).tick().await;
}
