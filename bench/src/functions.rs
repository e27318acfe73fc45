//! Functions: the hub beside a Durable Object with the same drizzle queries (functions specification, section 7).

mod client;
mod hostile;
mod memory;
mod peer;
mod precision;
mod start;
mod variety;

use std::process::ExitCode;

use self::peer::{Kind, Work};
use crate::{
    beside::{
        self, Kind as _, Place,
        load::Cell,
        options::{self, Options},
    },
    table::{self, figure},
};

const fn calls(name: &'static str, writers: usize) -> Cell {
    Cell { name, writers, batch: 1, readers: 0, every_ms: 0 }
}
const fn told(name: &'static str) -> Cell {
    Cell { name, writers: 1, batch: 1, readers: 500, every_ms: 50 }
}

/// Calls as fast as they are answered, and the bar of each.
const CALLS: [(Work, Cell, &str); 7] = [
    (Work::ById, calls("getUserById, 32 connections, uncached", 32), "≥ 2 ×, ≤ 270 CPU-µs"),
    (Work::ByIdKept, calls("getUserById, 32 connections, cached", 32), "≥ 6 ×, ≤ 80 CPU-µs"),
    (Work::All, calls("getUsers, 1000 rows, 8 connections, uncached", 8), "≥ 2 ×, ≤ 2,600 CPU-µs"),
    (Work::AllKept, calls("getUsers, 1000 rows, 8 connections, cached", 8), "≥ 8 ×, ≤ 600 CPU-µs"),
    (Work::Create, calls("createUser, 32 connections", 32), "≥ 2 ×, ≤ 350 CPU-µs"),
    (Work::Create, calls("createUser, 1 connection", 1), "–"),
    (Work::Ten, calls("ten statements, 32 connections", 32), "–"),
];
const TOLD: [(Work, Cell, &str); 2] = [
    (Work::Tell, told("push to 500 sockets"), "≥ 3 × faster, ≤ 10 CPU-µs"),
    (Work::Send, told("push to 500 sockets, results sent"), "–"),
];

const OWN_OPTIONS: &str = "  \
  --sockets N      idle sockets (1000)\n\n\
Servers: ferry, workerd. workerd needs Node 20 and npm; what cannot be had is left out and said.";

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let mut sockets = 1_000;
    let options = match Options::parse(words, &mut [("--sockets", &mut sockets)]) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\noptions of functions:\n{}\n{OWN_OPTIONS}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    ferry_testkit::process::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kinds: Vec<Kind> = beside::available(&options);
    runtime.block_on(async {
        let mut rows = Vec::new();
        for (work, cell, bar) in &CALLS {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.doing(*work)).collect();
            let places = beside::grid(std::slice::from_ref(cell), &kinds, &options).await;
            rows.extend(places.iter().map(|place| call_row(&places, place, bar)));
        }
        print_calls(&rows, &options);
        let mut rows = Vec::new();
        for (work, cell, bar) in &TOLD {
            let is_there = |kind: &&Kind| *work == Work::Tell || **kind == Kind::FERRY;
            let kinds: Vec<_> = kinds.iter().filter(is_there).map(|kind| kind.doing(*work)).collect();
            let places = beside::grid(std::slice::from_ref(cell), &kinds, &options).await;
            rows.extend(places.iter().map(|place| told_row(&places, place, bar)));
        }
        print_told(&rows, &options);
        if kinds.contains(&Kind::FERRY) {
            precision::run(&options).await;
            hostile::run(&options).await;
            variety::run(&options).await;
        }
        memory::run(&kinds, sockets, &options).await;
        start::run(&kinds, &options).await;
    });
    ExitCode::SUCCESS
}

fn bar_of(place: &Place<'_, Kind>, bar: &str) -> String {
    if place.kind.name() == Kind::FERRY.name() { bar.to_owned() } else { "–".to_owned() }
}

fn call_row(places: &[Place<'_, Kind>], place: &Place<'_, Kind>, bar: &str) -> Vec<String> {
    vec![
        place.cell.name.to_owned(),
        place.kind.name().to_owned(),
        figure(place.middle(|m| m.pushes_per_second), 0),
        figure(beside::ratio(places, place, Kind::WORKERD.doing(place.kind.work)), 2),
        figure(place.middle(|m| m.cpu_us_per_push), 0),
        place.pair(|m| m.push_ms),
        table::bytes(place.middle(|m| m.resident_bytes) as u64),
        load_average(),
        bar_of(place, bar),
    ]
}

fn print_calls(rows: &[Vec<String>], options: &Options) {
    let head = [
        "workload",
        "server",
        "calls/s",
        "ratio to workerd",
        "CPU-µs/call",
        "p50 / p99 ms",
        "resident",
        "load",
        "bar",
    ];
    print(
        "Functions: calls",
        &format!(
            "Medians of {} interleaved rounds of {:?}; each connection waits for its answer. Both servers run the same \
             TypeScript. A table of 1,000 users; ids at random, cached: ten of them. Uncached: the function has used \
             `Math.random()`. Ten statements: eight selects by id, an update, an insert. CPU is user + system of the \
             server. Load: average of the machine over the minute before.",
            options.rounds, options.round
        ),
        &head,
        rows,
    );
}

fn told_row(places: &[Place<'_, Kind>], place: &Place<'_, Kind>, bar: &str) -> Vec<String> {
    let base = Kind::WORKERD.doing(place.kind.work);
    let p50 = |place: &Place<'_, Kind>| place.middle(|m| m.delivery_ms.p50);
    let beside = places.iter().find(|other| other.kind == base).map_or(f64::NAN, p50);
    vec![
        place.cell.name.to_owned(),
        place.kind.name().to_owned(),
        figure(place.middle(|m| m.pushes_per_second), 1),
        figure(place.middle(|m| m.cpu_us_per_frame), 1),
        place.pair(|m| m.delivery_ms),
        figure(beside / p50(place), 1),
        table::bytes(place.middle(|m| m.bytes_per_reader) as u64),
        load_average(),
        bar_of(place, bar),
    ]
}

fn print_told(rows: &[Vec<String>], options: &Options) {
    let head = [
        "workload",
        "server",
        "writes/s",
        "CPU-µs/socket told",
        "delivery p50 / p99 ms",
        "times faster than workerd, p50",
        "memory each",
        "load",
        "bar",
    ];
    print(
        "Functions: push",
        &format!(
            "Medians of {} interleaved rounds of {:?}. 500 sessions show getUsers, a table of ten users that grows; one \
             connection creates a user every 50 ms. The writes are in the CPU. Delivery: from sending the call to the frame \
             at the socket, of the oldest write that the socket had not been told of.",
            options.rounds, options.round
        ),
        &head,
        rows,
    );
}

/// Prints a table, unless it is empty.
fn print(title: &str, note: &str, head: &[&str], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        table::print(title, note, head, rows);
    }
}

/// How many threads of the machine wanted to run, on average over the last minute.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
