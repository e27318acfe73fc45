//! Continuous backups: what they take of a busy hub, how far the target is behind, and how much is put there.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ferry_testkit::{
    http,
    hub::{self, Options},
    wait,
};

use super::{WRITES, settings, writes};
use crate::{
    binary,
    load::percentile,
    scale::{hub::Many, load::Load},
    table,
};

/// Rounds of each, one after the other in turns.
const ROUNDS: usize = 3;
/// The lag that is set, in seconds.
const LAG: u64 = 2;
/// How often it is looked at how far behind the target is.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn continuous(seconds: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut many = Many::of(settings(Options::new(binary::ferry()), &folder.path().join("unused")));
    many.create(1, 1);
    many.issue_tokens(1);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (mut lags, mut put, mut intervals) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        many.restart_with(|options| shipped(options, 0));
        without.push(watched(&many, seconds).0);
        let target = folder.path().join(format!("target{round}"));
        many.restart_with(|options| shipped(settings(options, &target), LAG));
        begun(&many);
        let earlier = objects(&target);
        let (load, seen) = watched(&many, seconds);
        with.push(load);
        lags.extend(seen);
        all_shipped(&many);
        let new: Vec<_> = objects(&target).into_iter().filter(|name| !earlier.contains(name)).collect();
        put += new.len();
        intervals += new.iter().map(|name| interval(name)).collect::<BTreeSet<_>>().len();
    }
    let cpu = |rounds: &[Load]| table::median_of(rounds, Load::cpu_us);
    let p99 = |rounds: &[Load]| table::median_of(rounds, |load| load.latencies_ms().1);
    let (alone, beside) = (cpu(&without), cpu(&with));
    let behind = (percentile(&mut lags, 0.5), percentile(&mut lags, 0.99));
    table::print(
        &format!("Continuous backups at {WRITES} writes/s"),
        &format!(
            "Appends of one event to a database, {ROUNDS} rounds of {seconds} s in turns, medians; a lag of {LAG} s to a folder on the \
             same disk. Lag: the age of the oldest commit that the target lacks, as `/metrics` tells it each {} ms.",
            LOOK.as_millis()
        ),
        &["", "without", "with", "bar"],
        &[
            vec![
                "CPU-µs of the hub for a write".into(),
                table::figure(alone, 1),
                format!("{} ({:+.1} %)", table::figure(beside, 1), (beside / alone - 1.0) * 100.0),
                "≤ 10 % more".into(),
            ],
            vec![
                "p99 of the writes, ms".into(),
                table::figure(p99(&without), 2),
                table::figure(p99(&with), 2),
                "–".into(),
            ],
            vec![
                "lag p50 / p99, s".into(),
                "–".into(),
                format!("{:.2} / {:.2}", behind.0, behind.1),
                format!("p99 ≤ {} s", LAG + 1),
            ],
            vec![
                "objects put, intervals".into(),
                "–".into(),
                format!("{put}, {intervals}"),
                "one each".into(),
            ],
        ],
    );
}

/// These with what changes shipped after so many seconds; 0: nothing is.
pub(super) fn shipped(options: Options, lag_seconds: u64) -> Options {
    options.env("FERRY_BACKUP_LAG_SECONDS", lag_seconds.to_string())
}

/// How far behind the target is, in seconds, if that is known.
fn lag(many: &Many) -> Option<f64> {
    let metrics = http::get(many.hub().address(), "/metrics").expect("the hub answers").text();
    let line = metrics.lines().find(|line| line.starts_with("ferry_backup_lag_seconds{"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits for the backup that the log goes on from.
pub(super) fn begun(many: &Many) {
    wait::until("the first backup is taken", || {
        let metrics = http::get(many.hub().address(), "/metrics").expect("the hub answers").text();
        metrics.contains("ferry_backup_target_ok{target=\"1\"} 1").then_some(())
    });
}

/// Waits until the target has all that was written.
pub(super) fn all_shipped(many: &Many) {
    wait::until("all is shipped", || lag(many).filter(|lag| *lag == 0.0));
}

/// The names of the log's objects in a folder, but for those that only tell of others.
pub(super) fn objects(target: &Path) -> BTreeSet<String> {
    let log = target.join("log");
    let listed = if log.exists() { hub::listing(&log) } else { Vec::new() };
    let names = listed.into_iter().map(|(name, _)| name);
    names.filter(|name| !name.contains(".head.") && !name.ends_with(".pruned")).collect()
}

/// Run and number, which the name of an object begins with.
fn interval(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Writes for so long, and how far behind the target was meanwhile, as often as it was looked at.
fn watched(many: &Many, seconds: usize) -> (Load, Vec<f64>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = Vec::new();
            while !over.load(Ordering::Acquire) {
                seen.extend(lag(many));
                // The pace of looking, and no wait for anything.
                thread::park_timeout(LOOK);
            }
            seen
        });
        let load = writes(many, seconds, || false);
        over.store(true, Ordering::Release);
        (load, watching.join().expect("the lag can be read"))
    })
}
