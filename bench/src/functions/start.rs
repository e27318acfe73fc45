//! The first call after a start.

use ferry_testkit::wait;
use serde_json::json;

use super::{
    client::Caller,
    load_average,
    peer::{self, Kind, Which},
    print,
};
use crate::{
    beside::{Kind as _, options::Options},
    clock,
    table::{figure, median_of},
};

const COLD: &str = "cold start";

struct Start {
    listens_ms: f64,
    first_ms: f64,
    second_ms: f64,
}

pub(super) async fn run(kinds: &[Kind], options: &Options) {
    if !options.wants(COLD) {
        return;
    }
    let mut hub = None;
    let mut starts: Vec<(Kind, Vec<Start>)> = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..options.rounds.max(5) {
        for (kind, starts) in &mut starts {
            if kind.which == Which::Ferry {
                let old = hub.take().unwrap_or_else(peer::hub);
                let (took, started) = wait::timed(|| old.restart());
                starts.push(first_calls(started.address(), took.as_secs_f64() * 1000.0).await);
                hub = Some(started);
            } else {
                let (took, started) = wait::timed(|| kind.started());
                starts.push(first_calls(started.address, took.as_secs_f64() * 1000.0).await);
            }
        }
    }
    let row = |(kind, starts): &(Kind, Vec<Start>)| {
        vec![
            kind.name().to_owned(),
            figure(median_of(starts, |start| start.listens_ms), 0),
            figure(median_of(starts, |start| start.first_ms), 1),
            figure(median_of(starts, |start| start.second_ms), 1),
            load_average(),
        ]
    };
    print(
        "Functions: cold start",
        "From the start of the process (of the hub: from killing the last one) until it listens; then the first call of \
         getUserById, and the second. The hub's database has its functions deployed; the reference makes its table in the \
         first call.",
        &["server", "listens after ms", "first call ms", "second call ms", "load"],
        &starts.iter().map(row).collect::<Vec<_>>(),
    );
}

async fn first_calls(address: std::net::SocketAddr, listens_ms: f64) -> Start {
    let mut caller = Caller::connect(address, None).await;
    let mut times = [0.0; 2];
    for time in &mut times {
        let begun = clock::now();
        caller.call("getUserById", json!({"id": 1})).await;
        *time = begun.elapsed().as_secs_f64() * 1000.0;
    }
    Start { listens_ms, first_ms: times[0], second_ms: times[1] }
}
