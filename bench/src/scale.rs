//! Very many databases on one hub that may open few files: made, written once, touched at random, left alone.

pub(crate) mod hub;
pub(crate) mod load;

use std::{process::ExitCode, time::Duration};

use ferry_testkit::wait;

use self::{
    hub::{Many, State},
    load::{Load, Pace},
};
use crate::{binary, table};

const USAGE: &str = "options of scale:\n  \
  --databases N    databases (20000)\n  \
  --descriptors N  limit of open files (1024)\n  \
  --rate N         touches per second (1000)\n  \
  --seconds N      how long they are touched (30)";

/// Connections of the load: the hub has descriptors for some 450 sockets under the usual limit.
const CONNECTIONS: usize = 16;
/// Seconds without use after which the hub closes files.
const IDLE_SECONDS: u64 = 10;

struct Options {
    databases: usize,
    descriptors: usize,
    rate: usize,
    seconds: usize,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { databases: 20_000, descriptors: 1024, rate: 1000, seconds: 30 };
        while let Some(word) = words.next() {
            let place = match word.as_str() {
                "--databases" => &mut options.databases,
                "--descriptors" => &mut options.descriptors,
                "--rate" => &mut options.rate,
                "--seconds" => &mut options.seconds,
                other => return Err(format!("{other}: no such option")),
            };
            let number = words.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
            *place = number.ok_or_else(|| format!("{word} needs a number"))?;
        }
        Ok(options)
    }
}

/// One line of the table.
struct Phase {
    name: String,
    load: Option<Load>,
    state: State,
}

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let options = match Options::parse(words.into_iter()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut many = Many::start(binary::ferry(), options.descriptors, IDLE_SECONDS);
    let mut phases = vec![Phase { name: "started".into(), load: None, state: many.state() }];
    let mut add = |name: String, load: Option<Load>, many: &Many| {
        let state = many.state();
        eprintln!("{name}: {}", row(&Phase { name: String::new(), load: load.clone(), state }).join(" "));
        phases.push(Phase { name, load, state });
    };
    // The first and the last thousand apart: making one must cost the same at any number.
    let step = 1000.min(options.databases);
    let middle = options.databases.saturating_sub(2 * step);
    for (name, count) in [("first", step), ("next", middle), ("last", options.databases - step - middle)] {
        if count > 0 {
            let load = many.create(count, CONNECTIONS);
            add(format!("made, {name} {count}"), Some(load), &many);
        }
    }
    many.issue_tokens(CONNECTIONS);
    let (records, events) = (options.databases / 2, options.databases - options.databases / 2);
    let load = many.write_records(0..records, CONNECTIONS);
    add(format!("written once, {records} with a record"), Some(load), &many);
    let load = many.append_events(records..options.databases, CONNECTIONS);
    add(format!("written once, {events} with an event"), Some(load), &many);
    many.closed();
    add(format!("closed, {IDLE_SECONDS} s after the last write"), None, &many);
    let (per_record, per_event) = many.disk(records);
    let pace = Pace { per_second: options.rate, seconds: options.seconds };
    let load = many.touch(records, pace, CONNECTIONS);
    add(format!("touched at random for {} s", options.seconds), Some(load), &many);
    many.closed();
    let before = many.state();
    crate::load::pause(10);
    let idle = Load::idle(Duration::from_secs(10), many.state().cpu_ms - before.cpu_ms);
    add("idle for 10 s".into(), Some(idle), &many);
    let (listed, count) = wait::timed(|| many.list());
    let (restarted, ()) = wait::timed(|| many.restart());
    add("started again".into(), None, &many);
    print(&options, &phases);
    println!(
        "\nDisk of a database after its first write, closed: {} with a record, {} with an event. A list of all {count} takes \
         {:.0} ms in pages of 1,000; the hub is ready {:.0} ms after a start.",
        table::bytes(per_record),
        table::bytes(per_event),
        listed.as_secs_f64() * 1e3,
        restarted.as_secs_f64() * 1e3
    );
    ExitCode::SUCCESS
}

fn print(options: &Options, phases: &[Phase]) {
    table::print(
        &format!("{} databases under a limit of {} open files", options.databases, options.descriptors),
        &format!(
            "{CONNECTIONS} kept connections on the same machine. Every write is fsynced before its answer. Touched: half \
             reads, half writes, {} a second asked for, each of any database. CPU is the hub's user + system.",
            options.rate
        ),
        &[
            "phase",
            "requests/s",
            "p50 / p99 ms",
            "hub CPU-µs each",
            "refused",
            "resident",
            "open files",
            "databases open",
        ],
        &phases.iter().map(row).collect::<Vec<_>>(),
    );
}

fn row(phase: &Phase) -> Vec<String> {
    let state = &phase.state;
    let mut cells = vec![phase.name.clone()];
    cells.extend(phase.load.as_ref().map_or_else(|| vec!["–".to_owned(); 4], Load::cells));
    cells.push(table::bytes(state.resident_bytes));
    cells.push(state.open_files.to_string());
    cells.push(state.open_databases.to_string());
    cells
}
