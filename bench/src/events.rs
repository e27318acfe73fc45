//! Event sync: the hub beside LiveStore's own backend on the same wire, and beside a Durable Streams server.

mod cold;
mod idle;
mod livestore;
mod load;
mod options;
mod peer;
mod streams;

use std::process::ExitCode;

use self::{
    load::{Cell, Measure},
    options::Options,
    peer::{Kind, Peer},
};
use crate::table;

/// On LiveStore's wire.
const LIVESTORE: [Cell; 5] = [
    Cell { name: "1 writer, batch 1, 0 live", writers: 1, batch: 1, readers: 0 },
    Cell { name: "1 writer, batch 100, 0 live", writers: 1, batch: 100, readers: 0 },
    Cell { name: "1 writer, batch 1, 20 live", writers: 1, batch: 1, readers: 20 },
    Cell { name: "1 writer, batch 100, 20 live", writers: 1, batch: 100, readers: 20 },
    Cell { name: "64 writers of 64 stores, batch 1", writers: 64, batch: 1, readers: 0 },
];
/// Beside Durable Streams, which has a wire of its own.
const STREAMS: [Cell; 4] = [
    Cell { name: "append, 1 connection", writers: 1, batch: 1, readers: 0 },
    Cell { name: "append, 32 connections", writers: 32, batch: 1, readers: 0 },
    Cell { name: "500 subscribers, 1 connection appends", writers: 1, batch: 1, readers: 500 },
    Cell { name: "500 subscribers, 32 connections append", writers: 32, batch: 1, readers: 500 },
];
const COLD: &str = "cold pull";
const IDLE: &str = "idle live pulls";

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let options = match Options::parse(words) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kinds = available(&options);
    println!("\nWhat an answer means:\n");
    for kind in &kinds {
        println!("- {}: {}.", kind.name(), kind.durability());
    }
    runtime.block_on(async {
        let without = |left_out| kinds.iter().copied().filter(|kind| *kind != left_out).collect::<Vec<_>>();
        let wire = without(Kind::Streams);
        grid("Events on LiveStore's wire", &LIVESTORE, &wire, Kind::Reference, &options).await;
        cold(&wire, &options).await;
        idle(&wire, &options).await;
        let logs = without(Kind::Reference);
        grid("Durable append and delivery", &STREAMS, &logs, Kind::Streams, &options).await;
    });
    ExitCode::SUCCESS
}

/// The servers that can be had here.
fn available(options: &Options) -> Vec<Kind> {
    let mut found = Vec::new();
    for kind in [Kind::Ferry, Kind::Reference, Kind::Streams] {
        if options.leaves_out(kind.name()) {
            println!("Without {}: left out.", kind.name());
            continue;
        }
        match Peer::start(kind) {
            Ok(_) => found.push(kind),
            Err(reason) => println!("Without {}: {reason}.", kind.name()),
        }
    }
    found
}

fn start(kind: Kind) -> Peer {
    Peer::start(kind).unwrap_or_else(|reason| panic!("{}: {reason}", kind.name()))
}

/// Runs all cells against all servers, in turns, and prints the medians beside those of `base`.
async fn grid(title: &str, cells: &[Cell], kinds: &[Kind], base: Kind, options: &Options) {
    let cells: Vec<&Cell> = cells.iter().filter(|cell| options.wants(cell.name)).collect();
    let places: Vec<(&Cell, Kind)> =
        cells.iter().flat_map(|cell| kinds.iter().map(move |kind| (*cell, *kind))).collect();
    let mut rounds: Vec<Vec<Measure>> = places.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for ((cell, kind), measures) in places.iter().zip(&mut rounds) {
            // A server of its own: no round stands on what another one left.
            let peer = start(*kind);
            measures.push(load::run(&peer, cell, options.round).await);
        }
    }
    if places.is_empty() {
        return;
    }
    let rate = |place: usize| median(&rounds[place], |measure| measure.events_per_second);
    let rows: Vec<Vec<String>> = places
        .iter()
        .enumerate()
        .map(|(place, (cell, kind))| {
            let beside = places.iter().position(|(other, k)| other.name == cell.name && *k == base);
            let ratio = beside.map_or(f64::NAN, |beside| rate(place) / rate(beside));
            row(cell, *kind, ratio, &rounds[place])
        })
        .collect();
    table::print(
        title,
        &format!(
            "Medians of {} interleaved rounds of {:?}; each writer waits for its answer and has a log of its own. \
             Events carry `{{\"id\":\"x1\",\"text\":\"hello world\"}}`. CPU is user + system of the server's processes; per \
             event: appended, or with live readers delivered. Delivery: from sending the push to the reader.",
            options.rounds, options.round,
        ),
        &[
            "workload",
            "server",
            "pushes/s",
            "events/s",
            &format!("ratio to {}", base.name()),
            "CPU-µs/push",
            "CPU-µs/frame delivered",
            "CPU-µs/event",
            "push p50 / p99 ms",
            "delivery p50 / p99 ms",
        ],
        &rows,
    );
}

fn row(cell: &Cell, kind: Kind, ratio: f64, rounds: &[Measure]) -> Vec<String> {
    let middle = |pick: fn(&Measure) -> f64| median(rounds, pick);
    vec![
        cell.name.to_owned(),
        kind.name().to_owned(),
        figure(middle(|m| m.pushes_per_second), 0),
        figure(middle(|m| m.events_per_second), 0),
        figure(ratio, 1),
        figure(middle(|m| m.cpu_us_per_push), 1),
        figure(middle(|m| m.cpu_us_per_frame), 1),
        figure(middle(|m| m.cpu_us_per_event), 2),
        format!("{} / {}", figure(middle(|m| m.push_ms.p50), 2), figure(middle(|m| m.push_ms.p99), 2)),
        format!(
            "{} / {}",
            figure(middle(|m| m.delivery_ms.p50), 2),
            figure(middle(|m| m.delivery_ms.p99), 2)
        ),
    ]
}

async fn cold(kinds: &[Kind], options: &Options) {
    if !options.wants(COLD) {
        return;
    }
    let mut peers = Vec::new();
    for kind in kinds {
        let peer = start(*kind);
        cold::fill(&peer, options.cold_events).await;
        peers.push((peer, Vec::new()));
    }
    for _ in 0..options.rounds {
        for (peer, pulls) in &mut peers {
            pulls.push(cold::pull(peer, options.cold_events).await);
        }
    }
    let rate = |pulls: &[cold::Pull]| median(pulls, |pull| pull.events_per_second);
    let reference = peers.iter().find(|(peer, _)| peer.kind == Kind::Reference);
    let base = reference.map_or(f64::NAN, |(_, pulls)| rate(pulls));
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|(peer, pulls)| {
            vec![
                peer.kind.name().to_owned(),
                figure(rate(pulls), 0),
                figure(rate(pulls) / base, 1),
                figure(median(pulls, |pull| pull.cpu_us_per_event), 2),
            ]
        })
        .collect();
    table::print(
        "Cold pull",
        &format!(
            "A new client pulls {} events, written in batches of 100; medians of {} pulls.",
            options.cold_events, options.rounds
        ),
        &["server", "events/s", "ratio to reference", "CPU-µs/event"],
        &rows,
    );
}

async fn idle(kinds: &[Kind], options: &Options) {
    if !options.wants(IDLE) {
        return;
    }
    let mut rows = Vec::new();
    for kind in kinds {
        let peer = start(*kind);
        let idle = idle::run(&peer, options.idle_pulls, options.round).await;
        rows.push(vec![
            kind.name().to_owned(),
            options.idle_pulls.to_string(),
            table::bytes(idle.bytes_each as u64),
            format!("{:.1} %", idle.core_percent),
        ]);
    }
    table::print(
        "Idle live pulls",
        &format!(
            "Each on a connection of its own, over 10 stores, with a Ping every 10 s. Growth of the server's resident \
             memory per connection; share of one core over {:?}.",
            options.round
        ),
        &["server", "live pulls", "memory each", "CPU of one core"],
        &rows,
    );
}

fn median<T>(rounds: &[T], pick: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(pick).collect();
    table::median(&mut values)
}

/// A figure, or a dash where there is none.
fn figure(value: f64, decimals: usize) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.decimals$}") }
}
