//! Backups (operate specification, section 7): what they cost a hub with many databases, what those who write beside them
//! notice, and how fast they are verified and restored.

use std::{
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ferry_testkit::{
    command::{self, Ferry},
    hub::Options,
    process, sample, wait,
};

use crate::{
    binary,
    load::usage,
    scale::{
        hub::Many,
        load::{self, Load},
    },
    table,
};

const USAGE: &str = "options of backups:\n  \
  --databases N  small databases of a hub (10000)\n  \
  --rows N       rows of the large database (4000000: 1 GB)";

/// Connections that make the databases.
const CONNECTIONS: usize = 16;
/// Databases that change between two backups.
const CHANGED: usize = 100;
/// Writes per second beside a backup, and the connections that send them.
const WRITES: usize = 1_000;
const WRITERS: usize = 8;
/// Longest a restore may take.
const RESTORE: Duration = Duration::from_secs(600);
/// How long writes alone are measured.
const ALONE: Duration = Duration::from_secs(10);

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let (mut databases, mut rows) = (10_000_usize, 4_000_000_u64);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let number = words.next().and_then(|text| text.parse::<usize>().ok()).filter(|number| *number > 0);
        match (&*word, number) {
            ("--databases", Some(number)) => databases = number,
            ("--rows", Some(number)) => rows = number as u64,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    many(databases.max(CHANGED));
    large(rows);
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

fn many(databases: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = settings(Options::new(binary::ferry()), folder.path()).descriptors(1024);
    let mut many = Many::of(options.env("FERRY_IDLE_CLOSE_SECONDS", "10"));
    eprintln!("making {databases} databases");
    many.create(databases, CONNECTIONS);
    many.issue_tokens(CONNECTIONS);
    many.write_records(0..databases, CONNECTIONS);
    many.closed();
    let mut rows = Vec::new();
    let mut add = |name: &str, cost: &Cost, bar: &str| {
        rows.push(vec![
            name.to_owned(),
            format!("{:.2}", cost.took.as_secs_f64()),
            format!("{:.2}", cost.hub_cpu_ms as f64 / 1e3),
            table::bytes(new_bytes(&cost.output)),
            table::bytes(cost.grown_bytes),
            bar.to_owned(),
        ]);
    };
    let create = ["backup", "create"];
    add("the first", &cost(&many, &create), "–");
    // So that the peak is that of the next one.
    many.restart();
    add("nothing changed", &cost(&many, &create), "≤ 2 s, 50 MiB");
    many.append_events(0..CHANGED, CONNECTIONS);
    add(&format!("{CHANGED} changed"), &cost(&many, &create), "–");
    let (ready, ()) = wait::timed(|| many.restart());
    table::print(
        &format!("A backup of a hub with {databases} databases, at most 1,024 open files"),
        "`ferry backup create` to a folder on the same disk; each database holds a record. CPU is the hub's user + system.",
        &["backup", "seconds", "hub CPU s", "new bytes", "memory above", "bar"],
        &rows,
    );
    println!("\nThe hub ends and is ready again after {:.0} ms.", ready.as_secs_f64() * 1e3);
}

fn large(size: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let mut many = Many::of(settings(Options::new(binary::ferry()), &at("first")));
    many.create(1, 1);
    many.issue_tokens(1);
    many.append_events(0..1, 1);
    eprintln!("making a database of {size} rows");
    let user = Ferry::new(binary::ferry(), &many.hub().url()).env("FERRY_TOKEN", &many.user().token);
    sample::standard(&user.file("large.db"), size, 1);
    let bytes = user.file("large.db").metadata().expect("it is there").len();
    user.ok(&["db", "create", "large"]);
    user.ok(&["push", "large.db", "large"]);
    let rate = |took: Duration| format!("{:.0} MB/s", bytes as f64 / 1e6 / took.as_secs_f64());
    let mut rows = Vec::new();
    let mut add = |name: &str, cost: &Cost, beside: String, bar: &str| {
        rows.push(vec![
            name.to_owned(),
            format!("{:.2}", cost.took.as_secs_f64()),
            rate(cost.took),
            format!("{:.2}", cost.hub_cpu_ms as f64 / 1e3),
            table::bytes(cost.grown_bytes),
            beside,
            bar.to_owned(),
        ]);
    };
    let first = cost(&many, &["backup", "create"]);
    add("create", &first, "–".into(), "≥ 150 MB/s");
    let alone = writes(&many, None).latencies_ms();
    // Everything once more, to a target of its own.
    many.restart_with(|options| settings(options, &at("second")));
    let over = AtomicBool::new(false);
    let (second, beside) = thread::scope(|scope| {
        let creating = scope.spawn(|| {
            let cost = cost(&many, &["backup", "create"]);
            over.store(true, Ordering::Release);
            cost
        });
        let beside = writes(&many, Some(&over)).latencies_ms();
        (creating.join().expect("the backup is taken"), beside)
    });
    let told = |(p50, p99): (f64, f64)| format!("{p50:.2} / {p99:.2}");
    let times = format!("{} (alone {}; {:.1} ×)", told(beside), told(alone), beside.1 / alone.1);
    add(&format!("create beside {WRITES} writes/s"), &second, times, "p99 ≤ 1.5 ×");
    let verify = cost(&many, &["backup", "verify"]);
    add("verify", &verify, "–".into(), "≥ 200 MB/s");
    let restored = restore(&many, &at("second"), &at("restored"));
    add("restore, without a hub", &restored, "–".into(), "≥ 200 MB/s, ≤ 128 MiB");
    table::print(
        &format!("Backups of a database of {}", table::bytes(bytes)),
        "Targets are folders on the same disk. CPU and memory: of the hub, above what it had; of a restore, the command's. Beside: \
         appends of one event to another database, p50 / p99 in ms from when each was due.",
        &["command", "seconds", "", "CPU s", "memory above", "beside", "bar"],
        &rows,
    );
}

/// Appends to the first database, so many a second: for a while, or until `over`.
fn writes(many: &Many, over: Option<&AtomicBool>) -> Load {
    let most = if over.is_some() { 600 } else { ALONE.as_secs() as usize };
    load::run_until(
        many.target(),
        (most * WRITES, Some(WRITES), WRITERS),
        |_| many.event(0, None),
        |_, answer| assert_eq!(answer.status, 201, "{}", answer.text()),
        || over.is_some_and(|over| over.load(Ordering::Acquire)),
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
