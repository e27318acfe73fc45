//! Record sync: the hub beside PocketBase (records specification, section 7).

mod ferry;
mod peer;
mod pocketbase;
mod pull;

use std::process::ExitCode;

use self::peer::Kind;
use crate::{
    beside::{
        self, Kind as _, Place,
        load::Cell,
        options::{self, Options},
    },
    table::{self, figure},
};

/// What both servers are asked to do: records of equal content, made one by one.
const CREATES: [Cell; 1] =
    [Cell { name: "push of 1, 32 clients", writers: 32, batch: 1, readers: 0, every_ms: 0 }];
const BATCHES: [Cell; 1] =
    [Cell { name: "push of 200, 8 clients", writers: 8, batch: 200, readers: 0, every_ms: 0 }];
const STREAMS: [Cell; 1] =
    [Cell { name: "500 streams, 1 client pushes", writers: 1, batch: 1, readers: 500, every_ms: 0 }];
const SOCKETS: [Cell; 1] =
    [Cell { name: "500 sockets, a push each 50 ms", writers: 1, batch: 1, readers: 500, every_ms: 50 }];

const OWN_OPTIONS: &str = "  \
  --records N      records of the long pulls (100000)\n\n\
Servers: ferry, pocketbase. PocketBase comes with pip at the first run; what cannot be had is left out and said.\n\
What the browser client costs is measured by packages/client: npm run size, npm run bench.";

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let mut records = 100_000;
    let options = match Options::parse(words, &mut [("--records", &mut records)]) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\noptions of records:\n{}\n{OWN_OPTIONS}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kinds: Vec<Kind> = beside::available(&options);
    let hub: Vec<Kind> = kinds.iter().copied().filter(|kind| *kind == Kind::Ferry).collect();
    let sockets = if hub.is_empty() { &[][..] } else { &[Kind::Sockets] };
    runtime.block_on(async {
        let mut writes = beside::grid(&CREATES, &kinds, &options).await;
        writes.extend(beside::grid(&BATCHES, &hub, &options).await);
        print_writes(&writes, &options);
        let mut news = beside::grid(&STREAMS, &kinds, &options).await;
        news.extend(beside::grid(&SOCKETS, sockets, &options).await);
        print_news(&news, &options);
        if !hub.is_empty() {
            pull::run(records, &options).await;
        }
    });
    ExitCode::SUCCESS
}

fn print_writes(places: &[Place<'_, Kind>], options: &Options) {
    let row = |place: &Place<'_, Kind>| {
        let bar = match (place.kind, place.cell.batch) {
            (Kind::PocketBase, _) => "–",
            (_, 1) => "≤ 60 CPU-µs, ≥ 3 × PocketBase",
            _ => "≤ 10 CPU-µs per change",
        };
        vec![
            place.cell.name.to_owned(),
            place.kind.name().to_owned(),
            figure(place.middle(|m| m.pushes_per_second), 0),
            figure(place.middle(|m| m.events_per_second), 0),
            figure(beside::ratio(places, place, Kind::PocketBase), 1),
            figure(place.middle(|m| m.cpu_us_per_push), 1),
            figure(place.middle(|m| m.cpu_us_per_event), 1),
            place.pair(|m| m.push_ms),
            table::bytes(place.middle(|m| m.resident_bytes) as u64),
            bar.to_owned(),
        ]
    };
    print(
        "Records: pushes",
        &format!(
            "Medians of {} interleaved rounds of {:?}. Each client is a user of its own with one device, and makes new \
             records with a title, a flag and a time; PocketBase's clients create the same in one collection. CPU is user \
             + system of the server.",
            options.rounds, options.round
        ),
        &[
            "workload",
            "server",
            "requests/s",
            "changes/s",
            "ratio to pocketbase",
            "CPU-µs/request",
            "CPU-µs/change",
            "p50 / p99 ms",
            "resident",
            "bar",
        ],
        &places.iter().map(row).collect::<Vec<_>>(),
    );
}

fn print_news(places: &[Place<'_, Kind>], options: &Options) {
    let row = |place: &Place<'_, Kind>| {
        let is_ours = place.kind != Kind::PocketBase;
        vec![
            place.cell.name.to_owned(),
            place.kind.name().to_owned(),
            figure(place.middle(|m| m.pushes_per_second), 0),
            figure(place.middle(|m| m.cpu_us_per_frame), 1),
            figure(place.middle(|m| m.cpu_us_per_event), 1),
            table::bytes(place.middle(|m| m.bytes_per_reader) as u64),
            place.pair(|m| m.delivery_ms),
            if is_ours { "≤ 4.4 CPU-µs, ≤ 2 KiB each" } else { "–" }.to_owned(),
        ]
    };
    print(
        "Records: notification",
        &format!(
            "Medians of {} interleaved rounds of {:?}. All subscribers are devices of the user who pushes, each on a \
             connection of its own and with an id of its own. A frame is one event of a stream or one message of a socket; \
             it may tell of several pushes. The pushes are in the CPU. Delivery: from \
             sending the push to the reader.",
            options.rounds, options.round
        ),
        &[
            "workload",
            "server",
            "pushes/s",
            "CPU-µs/frame",
            "CPU-µs/change delivered",
            "memory each",
            "delivery p50 / p99 ms",
            "bar",
        ],
        &places.iter().map(row).collect::<Vec<_>>(),
    );
}

/// Prints a table, unless it is empty.
fn print(title: &str, note: &str, head: &[&str], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        table::print(title, note, head, rows);
    }
}
