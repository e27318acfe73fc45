//! A large database: what a backup takes, what those who write beside it notice, and how fast it is verified and restored.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ferry_testkit::{command::Ferry, hub::Options, sample};

use super::{Cost, WRITES, continuous, cost, restore, settings, writes};
use crate::{binary, scale::hub::Many, table};

/// Seconds that writes alone are measured, and the most beside a backup.
const ALONE: usize = 10;
const AT_MOST: usize = 600;
/// Seconds of writes that the log has upon which a restore is measured.
const LOGGED: usize = 60;

pub(super) fn large(size: u64) {
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
    let alone = writes(&many, ALONE, || false).latencies_ms();
    // Everything once more, to a target of its own.
    many.restart_with(|options| settings(options, &at("second")));
    let over = AtomicBool::new(false);
    let (second, beside) = thread::scope(|scope| {
        let creating = scope.spawn(|| {
            let cost = cost(&many, &["backup", "create"]);
            over.store(true, Ordering::Release);
            cost
        });
        let beside = writes(&many, AT_MOST, || over.load(Ordering::Acquire)).latencies_ms();
        (creating.join().expect("the backup is taken"), beside)
    });
    let told = |(p50, p99): (f64, f64)| format!("{p50:.2} / {p99:.2}");
    let times = format!("{} (alone {}; {:.1} ×)", told(beside), told(alone), beside.1 / alone.1);
    add(&format!("create beside {WRITES} writes/s"), &second, times, "p99 ≤ 1.5 ×");
    let verify = cost(&many, &["backup", "verify"]);
    add("verify", &verify, "–".into(), "≥ 200 MB/s");
    let restored = restore(&many, &at("second"), &at("restored"));
    add("restore, without a hub", &restored, "–".into(), "≥ 200 MB/s, ≤ 128 MiB");
    // The same with a log behind the backup.
    many.restart_with(|options| continuous::shipped(settings(options, &at("third")), 1));
    continuous::begun(&many);
    writes(&many, LOGGED, || false);
    continuous::all_shipped(&many);
    let objects = continuous::objects(&at("third"));
    let replayed = restore(&many, &at("third"), &at("replayed"));
    let name = format!("restore with {} parts of the log, {} writes", objects.len(), LOGGED * WRITES);
    add(&name, &replayed, "–".into(), "≤ 2 × the restore without");
    table::print(
        &format!("Backups of a database of {}", table::bytes(bytes)),
        "Targets are folders on the same disk. CPU and memory: of the hub, above what it had; of a restore, the command's. Beside: \
         appends of one event to another database, p50 / p99 in ms from when each was due.",
        &["command", "seconds", "", "CPU s", "memory above", "beside", "bar"],
        &rows,
    );
}
