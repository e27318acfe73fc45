//! Event sync: the hub beside LiveStore's own backend on the same wire, and beside a Durable Streams server.

mod cold;
mod idle;
mod livestore;
mod new_stores;
mod peer;
mod streams;

use std::process::ExitCode;

use self::peer::Kind;
use crate::{
    beside::{
        self, Kind as _, Place,
        load::Cell,
        options::{self, Options},
    },
    table::{self, figure, median_of},
};

/// On LiveStore's wire.
const LIVESTORE: [Cell; 5] = [
    Cell { name: "1 writer, batch 1, 0 live", writers: 1, batch: 1, readers: 0, every_ms: 0 },
    Cell { name: "1 writer, batch 100, 0 live", writers: 1, batch: 100, readers: 0, every_ms: 0 },
    Cell { name: "1 writer, batch 1, 20 live", writers: 1, batch: 1, readers: 20, every_ms: 0 },
    Cell { name: "1 writer, batch 100, 20 live", writers: 1, batch: 100, readers: 20, every_ms: 0 },
    Cell { name: "64 writers of 64 stores, batch 1", writers: 64, batch: 1, readers: 0, every_ms: 0 },
];
/// Beside Durable Streams, which has a wire of its own.
const STREAMS: [Cell; 4] = [
    Cell { name: "append, 1 connection", writers: 1, batch: 1, readers: 0, every_ms: 0 },
    Cell { name: "append, 32 connections", writers: 32, batch: 1, readers: 0, every_ms: 0 },
    Cell { name: "500 subscribers, 1 connection appends", writers: 1, batch: 1, readers: 500, every_ms: 0 },
    Cell { name: "500 subscribers, 32 connections append", writers: 32, batch: 1, readers: 500, every_ms: 0 },
];
const COLD: &str = "cold pull";
const IDLE: &str = "idle live pulls";
const NEW_STORES: &str = "new stores";

const OWN_OPTIONS: &str = "  \
  --cold N         events of the cold pull (100000)\n  \
  --idle N         idle live pulls (10000)\n  \
  --stores N       stores of the database in which new ones are made (20000)\n\n\
Servers: ferry, reference, streams. The reference needs Node 20 and npm, durable-streams is built with cargo; what cannot\n\
be had is left out and said.";

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let (mut events, mut pulls, mut stores) = (100_000, 10_000, 20_000);
    let counts = &mut [("--cold", &mut events), ("--idle", &mut pulls), ("--stores", &mut stores)];
    let parsed = Options::parse(words, counts);
    let options = match parsed {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\noptions of events:\n{}\n{OWN_OPTIONS}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kinds: Vec<Kind> = beside::available(&options);
    runtime.block_on(async {
        let without = |left_out| kinds.iter().copied().filter(|kind| *kind != left_out).collect::<Vec<_>>();
        let wire = without(Kind::Streams);
        grid("Events on LiveStore's wire", &LIVESTORE, &wire, Kind::Reference, &options).await;
        cold(&wire, events as u64, &options).await;
        idle(&wire, pulls, &options).await;
        if kinds.contains(&Kind::Ferry) {
            new_stores(stores as u64, &options).await;
        }
        let logs = without(Kind::Reference);
        grid("Durable append and delivery", &STREAMS, &logs, Kind::Streams, &options).await;
    });
    ExitCode::SUCCESS
}

/// Runs all cells against all servers and prints the medians beside those of `base`.
async fn grid(title: &str, cells: &[Cell], kinds: &[Kind], base: Kind, options: &Options) {
    let places = beside::grid(cells, kinds, options).await;
    if places.is_empty() {
        return;
    }
    let row = |place: &Place<'_, Kind>| {
        vec![
            place.cell.name.to_owned(),
            place.kind.name().to_owned(),
            figure(place.middle(|m| m.pushes_per_second), 0),
            figure(place.middle(|m| m.events_per_second), 0),
            figure(beside::ratio(&places, place, base), 1),
            figure(place.middle(|m| m.cpu_us_per_push), 1),
            figure(place.middle(|m| m.cpu_us_per_frame), 1),
            figure(place.middle(|m| m.cpu_us_per_event), 2),
            place.pair(|m| m.push_ms),
            place.pair(|m| m.delivery_ms),
        ]
    };
    let rows: Vec<_> = places.iter().map(row).collect();
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

async fn cold(kinds: &[Kind], events: u64, options: &Options) {
    if !options.wants(COLD) {
        return;
    }
    let mut peers = Vec::new();
    for kind in kinds {
        let peer = kind.started();
        cold::fill(&peer, events).await;
        peers.push((peer, Vec::new()));
    }
    for _ in 0..options.rounds {
        for (peer, pulls) in &mut peers {
            pulls.push(cold::pull(peer, events).await);
        }
    }
    let rate = |pulls: &[cold::Pull]| median_of(pulls, |pull| pull.events_per_second);
    let reference = peers.iter().find(|(peer, _)| peer.kind == Kind::Reference);
    let base = reference.map_or(f64::NAN, |(_, pulls)| rate(pulls));
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|(peer, pulls)| {
            vec![
                peer.kind.name().to_owned(),
                figure(rate(pulls), 0),
                figure(rate(pulls) / base, 1),
                figure(median_of(pulls, |pull| pull.cpu_us_per_event), 2),
            ]
        })
        .collect();
    table::print(
        "Cold pull",
        &format!(
            "A new client pulls {} events, written in batches of 100; medians of {} pulls.",
            events, options.rounds
        ),
        &["server", "events/s", "ratio to reference", "CPU-µs/event"],
        &rows,
    );
}

async fn new_stores(stores: u64, options: &Options) {
    if !options.wants(NEW_STORES) {
        return;
    }
    let found = new_stores::run(&Kind::Ferry.started(), stores).await;
    table::print(
        "New stores of one database",
        &format!(
            "Each is made by its first push, over HTTP; CPU of the hub per store, of {} each. The database has {stores} \
             stores before the last ones are made, by 32 connections and by one.",
            new_stores::MEASURED,
        ),
        &["first, CPU-µs", "last, CPU-µs", "last, one connection, CPU-µs"],
        &[vec![figure(found.first, 0), figure(found.last, 0), figure(found.alone, 0)]],
    );
}

async fn idle(kinds: &[Kind], pulls: usize, options: &Options) {
    if !options.wants(IDLE) {
        return;
    }
    let mut rows = Vec::new();
    for kind in kinds {
        let peer = kind.started();
        let idle = idle::run(&peer, pulls, options.round).await;
        rows.push(vec![
            kind.name().to_owned(),
            pulls.to_string(),
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
