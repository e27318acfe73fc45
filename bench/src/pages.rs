//! Push and pull over EdgeReplica's wire: CPU and memory of the hub and of `ferry`, each a process of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use ferry_sqlite::connection::open_file;
use ferry_testkit::{
    Direction, Hub, Session, edgereplica,
    hub::Options,
    process::{self, Usage},
    rng::Rng,
    sample, wait,
};
use rusqlite::OpenFlags;

use crate::{binary, table};

/// Rows of the 1 GiB database.
const LARGE_ROWS: u64 = sample::STANDARD_ROWS * 21 / 2;
/// Rounds of each measured transfer.
const ROUNDS: usize = 3;

pub(crate) fn run() {
    let ferry = binary::ferry();
    let dir = tempfile::tempdir().expect("a temporary folder");
    eprintln!("making the standard database");
    let standard = dir.path().join("standard.db");
    sample::standard(&standard, sample::STANDARD_ROWS, 1);
    transfers(ferry, &standard, dir.path());
    eprintln!("making a database of 1 GiB");
    let large = dir.path().join("large.db");
    sample::standard(&large, LARGE_ROWS, 1);
    memory(ferry, &large);
}

/// A hub with one user and one database.
struct Place {
    hub: Hub,
    user: Session,
    database: String,
}

impl Place {
    fn new(ferry: &Path) -> Self {
        let hub = Options::new(ferry).env("FERRY_LOG_LEVEL", "warn").start();
        let user = hub.signup("bench@example.com");
        let database = user.create_database("bench");
        Self { hub, user, database }
    }

    fn cpu_ms(&self) -> u64 {
        self.usage().cpu_ms
    }

    fn usage(&self) -> Usage {
        process::usage(self.hub.pid()).expect("the hub runs and this system has /proc")
    }

    fn push(&self, file: &Path) -> edgereplica::Report {
        let token = self.user.sync_token(&self.database, Direction::Push);
        edgereplica::push(self.hub.address(), &token, file).expect("the push is accepted")
    }

    fn pull(&self, file: &Path) -> edgereplica::Report {
        let token = self.user.sync_token(&self.database, Direction::Pull);
        edgereplica::pull(self.hub.address(), &token, file).expect("the pull succeeds")
    }
}

/// What one kind of transfer cost, over its rounds.
#[derive(Default)]
struct Cost {
    cpu_s: Vec<f64>,
    wall_s: Vec<f64>,
    last: Option<edgereplica::Report>,
}

impl Cost {
    fn add(&mut self, place: &Place, transfer: impl FnOnce() -> edgereplica::Report) {
        let before = place.cpu_ms();
        let (took, report) = wait::timed(transfer);
        self.cpu_s.push((place.cpu_ms() - before) as f64 / 1000.0);
        self.wall_s.push(took.as_secs_f64());
        self.last = Some(report);
    }

    fn row(mut self, name: &str, bar_s: Option<f64>) -> Vec<String> {
        let report = self.last.expect("BUG: at least one round ran");
        let cpu = table::median(&mut self.cpu_s);
        vec![
            name.to_owned(),
            report.pages.to_string(),
            table::bytes(report.moved.up),
            table::bytes(report.moved.down),
            format!("{cpu:.2}"),
            bar_s.map_or_else(|| "–".to_owned(), |bar| format!("{bar:.1}")),
            bar_s.map_or_else(|| "–".to_owned(), |bar| format!("{:.2}", cpu / bar)),
            if report.pages < 100 {
                "–".to_owned()
            } else {
                format!("{:.1}", cpu * 1e6 / report.pages as f64)
            },
            format!("{:.2}", table::median(&mut self.wall_s)),
        ]
    }
}

fn transfers(ferry: &Path, standard: &Path, dir: &Path) {
    let (mut bootstrap, mut first_pull) = (Cost::default(), Cost::default());
    let (mut same_push, mut same_pull) = (Cost::default(), Cost::default());
    let (mut row_push, mut many_push, mut many_pull) = (Cost::default(), Cost::default(), Cost::default());
    for round in 0..ROUNDS {
        // A working copy, so that every round begins with the same file.
        let file = dir.join(format!("work-{round}.db"));
        std::fs::copy(standard, &file).expect("the copy is made");
        let place = Place::new(ferry);
        bootstrap.add(&place, || place.push(&file));
        let copy = dir.join(format!("copy-{round}.db"));
        first_pull.add(&place, || place.pull(&copy));
        same_push.add(&place, || place.push(&file));
        same_pull.add(&place, || place.pull(&copy));
        change(&file, "UPDATE t SET amount = amount + 1 WHERE id = 200000");
        row_push.add(&place, || place.push(&file));
        let mut rng = Rng::new(round as u64);
        let ids: Vec<String> =
            (0..4000).map(|_| (1 + rng.below(sample::STANDARD_ROWS)).to_string()).collect();
        change(&file, &format!("UPDATE t SET amount = amount + 1 WHERE id IN ({})", ids.join(",")));
        many_push.add(&place, || place.push(&file));
        many_pull.add(&place, || place.pull(&copy));
        for path in [file, copy] {
            std::fs::remove_file(path).expect("the file can be removed");
        }
    }
    table::print(
        "EdgeReplica's wire, standard database (102 MB, pages of 4096)",
        &format!(
            "CPU is user + system of the hub's process; bytes are those of all frames; the client is the imitation of \
             EdgeReplica's program in crates/testkit. Hub: WAL, synchronous=FULL. Medians of {ROUNDS} rounds; bar = \
             pages specification, section 7."
        ),
        &["transfer", "pages", "up", "down", "hub CPU s", "bar s", "ratio", "CPU-µs/page", "wall s"],
        &[
            bootstrap.row("push into an empty database", Some(1.2)),
            first_pull.row("pull into a new file", Some(0.6)),
            same_push.row("push, nothing changed", None),
            same_pull.row("pull, nothing changed", None),
            row_push.row("push, 1 row changed", None),
            many_push.row("push, 4,000 random rows changed", None),
            many_pull.row("pull of those", None),
        ],
    );
}

fn change(file: &Path, sql: &str) {
    let connection = open_file(file, OpenFlags::default()).expect("the file opens");
    connection.execute_batch(sql).expect("the change is made");
}

/// Peak memory of hub and client while `ferry sync push` and `pull` move 1 GiB.
fn memory(ferry: &Path, large: &Path) {
    let place = Place::new(ferry);
    let size = std::fs::metadata(large).expect("the file is there").len();
    let token = place.user.sync_token(&place.database, Direction::Push);
    let (push_s, pushed) = watched(ferry, &place, "push", large, &token);
    let after_push = place.usage();
    let copy: PathBuf = large.with_file_name("large-copy.db");
    let token = place.user.sync_token(&place.database, Direction::Pull);
    let (pull_s, pulled) = watched(ferry, &place, "pull", &copy, &token);
    let after_pull = place.usage();
    let row = |name: &str, took: Duration, hub: Usage, hub_cpu_ms: u64, client: Usage| {
        vec![
            name.to_owned(),
            format!("{:.1}", took.as_secs_f64()),
            table::bytes(hub.peak_bytes),
            table::bytes(client.peak_bytes),
            format!("{:.2}", hub_cpu_ms as f64 / 1000.0),
            format!("{:.2}", client.cpu_ms as f64 / 1000.0),
        ]
    };
    table::print(
        &format!("{} over EdgeReplica's wire by `ferry sync`", table::bytes(size)),
        "Peak resident memory (VmHWM) of each process since its start; the hub's second row includes the first.",
        &["transfer", "wall s", "hub peak", "client peak", "hub CPU s", "client CPU s"],
        &[
            row("push", push_s, after_push, after_push.cpu_ms, pushed),
            row("pull into a new file", pull_s, after_pull, after_pull.cpu_ms - after_push.cpu_ms, pulled),
        ],
    );
}

/// Runs `ferry sync` to its end and gives its last seen usage.
fn watched(ferry: &Path, place: &Place, verb: &str, file: &Path, token: &str) -> (Duration, Usage) {
    let mut command = Command::new(ferry);
    command
        .args(["sync", verb, "--db"])
        .arg(file)
        .env("FERRY_SERVER", place.hub.url())
        .env("FERRY_SYNC_TOKEN", token);
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary starts");
    let mut usage = Usage::default();
    let limit = Duration::from_secs(600);
    let (took, status) = wait::timed(|| {
        wait::within(limit, || {
            // What is read of a process that just ended is nothing: the look before it counts.
            usage = process::usage(child.id()).filter(|seen| seen.peak_bytes > 0).unwrap_or(usage);
            child.try_wait().expect("our own child can be waited for")
        })
    });
    assert!(status.is_some_and(|status| status.success()), "ferry sync {verb} failed: {status:?}");
    (took, usage)
}
