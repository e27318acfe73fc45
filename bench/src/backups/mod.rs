//! Backups (operate specification, section 7): what they cost a hub with many databases, what those who write beside them
//! notice, and how fast they are verified and restored.

mod changes;
mod continuous;
mod large;
mod many;

use std::{path::Path, process::ExitCode, time::Duration};

use ferry_testkit::{
    command::{self, Ferry},
    hub::Options,
    process, wait,
};

use crate::{
    binary,
    load::usage,
    scale::{
        hub::Many,
        load::{self, Load},
    },
};

const USAGE: &str = "options of backups:\n  \
  --only PART    many, large, changes or continuous (all of them)\n  \
  --databases N  small databases of a hub (10000)\n  \
  --rows N       rows of the large database (4000000: 1 GB)\n  \
  --seconds N    each measured time of continuous backups (30)";

/// Databases that change between two backups.
const CHANGED: usize = 100;
/// Writes per second beside a backup, and the connections that send them.
const WRITES: usize = 1_000;
const WRITERS: usize = 8;
/// Longest a restore may take.
const RESTORE: Duration = Duration::from_secs(600);

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let (mut only, mut databases, mut rows, mut seconds) = (String::new(), 10_000, 4_000_000, 30);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = value.parse::<usize>().ok().filter(|number| *number > 0);
        match (&*word, number) {
            ("--only", _) if ["many", "large", "changes", "continuous"].contains(&&*value) => only = value,
            ("--databases", Some(number)) => databases = number,
            ("--rows", Some(number)) => rows = number,
            ("--seconds", Some(number)) => seconds = number,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let is_wanted = |part: &str| only.is_empty() || only == part;
    if is_wanted("many") {
        many::many(databases.max(CHANGED));
    }
    if is_wanted("large") {
        large::large(rows as u64);
    }
    if is_wanted("changes") {
        changes::changes();
    }
    if is_wanted("continuous") {
        continuous::continuous(seconds);
    }
    ExitCode::SUCCESS
}

/// What a command, and the hub meanwhile, took.
struct Cost {
    output: String,
    took: Duration,
    hub_cpu_ms: u64,
    /// How far the hub's memory rose above what it had.
    grown_bytes: u64,
}

/// The operator of a hub.
fn operator(many: &Many) -> Ferry {
    let token = std::fs::read_to_string(many.hub().data_dir().join("operator.token"));
    let token = token.expect("the hub has made it");
    Ferry::new(binary::ferry(), &many.hub().url()).env("FERRY_OPERATOR_TOKEN", token.trim())
}

fn cost(many: &Many, arguments: &[&str]) -> Cost {
    let (pid, _) = many.target();
    let (operator, before) = (operator(many), usage(pid));
    let (took, output) = wait::timed(|| operator.ok(arguments));
    let after = usage(pid);
    Cost {
        output,
        took,
        hub_cpu_ms: after.cpu_ms - before.cpu_ms,
        // A peak of long ago says nothing.
        grown_bytes: after.peak_bytes.max(before.resident_bytes) - before.resident_bytes,
    }
}

fn target(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn settings(options: Options, folder: &Path) -> Options {
    options
        .env("FERRY_BACKUP_TARGET", target(folder))
        .env("FERRY_BACKUP_EVERY", "0")
        .env("FERRY_BACKUP_VERIFY_EVERY", "0")
}

/// Bytes that a backup added to its target, as `ferry backup create` tells them.
fn new_bytes(output: &str) -> u64 {
    output.split('\t').nth(1).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Appends to the first database, so many a second: for some seconds, or until it is `over` and at most so long.
fn writes(many: &Many, seconds: usize, is_over: impl Fn() -> bool + Sync) -> Load {
    load::run_until(
        many.target(),
        (seconds * WRITES, Some(WRITES), WRITERS),
        |_| many.event(0, None),
        |_, answer| assert_eq!(answer.status, 201, "{}", answer.text()),
        is_over,
    )
}

/// Restores the hub from `target` into a new folder.
fn restore(many: &Many, from: &Path, to: &Path) -> Cost {
    let operator = operator(many);
    let (url, to) = (target(from), to.display().to_string());
    let arguments = ["backup", "restore", "--target", &url, "--to", &to];
    let (mut cpu_ms, mut peak) = (0, 0);
    let (took, output) = wait::timed(|| {
        let mut child = operator.spawn(&arguments);
        let ended = wait::within(RESTORE, || {
            if let Some(usage) = process::usage(child.id()) {
                (cpu_ms, peak) = (usage.cpu_ms.max(cpu_ms), usage.peak_bytes.max(peak));
            }
            child.try_wait().expect("it can be waited for")
        });
        ended.expect("it ends");
        command::finish(child)
    });
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    Cost { output: String::new(), took, hub_cpu_ms: cpu_ms, grown_bytes: peak }
}
