//! Devices that pull: all of a long collection, one of many edits, nothing.

use std::time::Duration;

use super::{
    ferry::{self, Device, Pusher},
    peer::{Kind, Peer},
};
use crate::{
    beside::{Kind as _, Server as _, http::Connection, options::Options},
    clock,
    table::{self, figure, median_of},
};

const LONG: &str = "pull of all records";
const EDITED: &str = "pull of all records, 10 edits each";
const EMPTY: &str = "empty pull, 8 devices";
/// Changes per push while the collection is filled.
const BATCH: u64 = 1000;
const EDITS: u64 = 10;
/// Devices that pull nothing at once.
const DEVICES: usize = 8;

/// What one device's pull gave.
struct Pull {
    records: u64,
    bytes: u64,
    pages: u64,
    took: Duration,
    cpu_us: f64,
}

pub(super) async fn run(records: usize, options: &Options) {
    let server = Kind::Ferry.started();
    let mut rows = Vec::new();
    for (name, owner, edits) in [(LONG, "long", 0), (EDITED, "edited", EDITS)] {
        if options.wants(name) {
            let until = fill(&server, owner, records as u64, edits).await;
            rows.push(long(&server, name, owner, records as u64, options).await);
            if edits == 0 && options.wants(EMPTY) {
                rows.push(empty(&server, owner, &until, options).await);
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    table::print(
        "Records: pulls",
        &format!(
            "{records} records of one user, pages of 1,000; medians of {} pulls, each of a new device; empty pulls go on for \
             {:?}. Per core: by the hub's CPU time.",
            options.rounds, options.round
        ),
        &["workload", "pulls/s", "records/s", "records/s per core", "CPU-µs/pull", "bytes", "seconds", "bar"],
        &rows,
    );
}

/// Makes the records of `owner`, and edits each so often. Gives the cursor behind them.
async fn fill(server: &Peer, owner: &str, records: u64, edits: u64) -> String {
    let mut pusher = Pusher::connect(server.device(owner)).await;
    let batches = || (0..records).step_by(BATCH as usize).map(|first| first..records.min(first + BATCH));
    for batch in batches() {
        pusher.push(batch.end - batch.start).await;
    }
    for edit in 0..edits {
        for batch in batches() {
            pusher.edit(batch, edit).await;
        }
    }
    let mut last = ferry::EPOCH.to_owned();
    let device = server.device(owner);
    pages(&device, &mut last).await;
    last
}

/// Pulls until nothing is left behind `since`, which moves there.
async fn pages(device: &Device, since: &mut String) -> (u64, u64, u64) {
    let mut connection = Connection::open(device.address).await;
    let (mut records, mut bytes, mut pages) = (0, 0, 0);
    loop {
        let (status, answer) = connection.ask(&device.pull_request(since)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(status, 200, "the pull was refused: {answer}");
        records += answer.matches(ferry::MARK).count() as u64;
        bytes += answer.len() as u64;
        pages += 1;
        ferry::cursor(&answer).clone_into(since);
        if !answer.ends_with(&format!("\"hasMore\":true,\"syncedUntil\":\"{since}\"}}\n")) {
            return (records, bytes, pages);
        }
    }
}

async fn long(server: &Peer, name: &str, owner: &str, expected: u64, options: &Options) -> Vec<String> {
    let mut pulls = Vec::new();
    for _ in 0..options.rounds {
        let (cpu_before, begun) = (server.usage().cpu_ms, clock::now());
        let (records, bytes, pages) = pages(&server.device(owner), &mut ferry::EPOCH.to_owned()).await;
        let took = begun.elapsed();
        assert_eq!(records, expected, "a new device gets every record");
        let cpu_us = (server.usage().cpu_ms - cpu_before) as f64 * 1e3;
        pulls.push(Pull { records, bytes, pages, took, cpu_us });
    }
    let middle = |pick: fn(&Pull) -> f64| median_of(&pulls, pick);
    vec![
        name.to_owned(),
        figure(middle(|p| p.pages as f64 / p.took.as_secs_f64()), 0),
        figure(middle(|p| p.records as f64 / p.took.as_secs_f64()), 0),
        figure(middle(|p| p.records as f64 * 1e6 / p.cpu_us), 0),
        figure(middle(|p| p.cpu_us / p.pages as f64), 0),
        table::bytes(middle(|p| p.bytes as f64) as u64),
        figure(middle(|p| p.took.as_secs_f64()), 2),
        if name == LONG { "≥ 300,000 records/s per core" } else { "as unedited" }.to_owned(),
    ]
}

/// Devices that have everything and ask again.
async fn empty(server: &Peer, owner: &str, until: &str, options: &Options) -> Vec<String> {
    let mut asking = tokio::task::JoinSet::new();
    let devices: Vec<Device> = (0..DEVICES).map(|_| server.device(owner)).collect();
    let (cpu_before, begun) = (server.usage().cpu_ms, clock::now());
    let end = begun + options.round;
    for device in devices {
        let mut since = until.to_owned();
        asking.spawn(async move {
            let mut connection = Connection::open(device.address).await;
            let mut pulls = 0_u64;
            while clock::now() < end {
                let (status, answer) = connection.ask(&device.pull_request(&since)).await;
                assert_eq!(status, 200, "the pull was refused");
                ferry::cursor(&String::from_utf8_lossy(&answer)).clone_into(&mut since);
                pulls += 1;
            }
            pulls
        });
    }
    let mut pulls = 0;
    while let Some(ended) = asking.join_next().await {
        pulls += ended.expect("the device ends well");
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu_us = (server.usage().cpu_ms - cpu_before) as f64 * 1e3;
    let none = || "–".to_owned();
    vec![
        EMPTY.to_owned(),
        figure(pulls as f64 / took, 0),
        none(),
        none(),
        figure(cpu_us / pulls as f64, 1),
        none(),
        none(),
        "≤ 25 CPU-µs".to_owned(),
    ]
}
