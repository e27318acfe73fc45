//! Durable commits: the actor beside a bare SQLite loop with one fsync per commit, and a WAL that grows beside one
//! that is overwritten in place. WAL mode, synchronous=FULL throughout.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ferry_database::Actor;
use ferry_sqlite::{Writer, connection::open_file};
use ferry_testkit::{process, wait};
use rusqlite::{Connection, OpenFlags};

use crate::table;

/// Rounds per contender; rounds of all contenders take turns, so that a busy moment hits all alike.
const ROUNDS: usize = 9;
/// Length of one round.
const ROUND: Duration = Duration::from_secs(1);
/// Callers that each wait for their answer before they ask again.
const REQUESTERS: [usize; 3] = [1, 8, 64];
/// Payload of one row: a small event or record.
const PAYLOAD_BYTES: usize = 120;

/// What one round gave.
struct Round {
    per_second: f64,
    cpu_us: f64,
}

pub(crate) fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bare = Bare::open(&dir.path().join("bare.db"));
    let actor = open_actor(&dir.path().join("actor.db"));
    let mut rounds: Vec<(String, Vec<Round>)> = std::iter::once("bare loop, 1 fsync per commit".to_owned())
        .chain(REQUESTERS.iter().map(|count| format!("actor, {count} requesters")))
        .map(|name| (name, Vec::new()))
        .collect();
    for _ in 0..ROUNDS {
        rounds[0].1.push(measure(|stop, done| bare.commit_until(stop, done)));
        for (place, count) in REQUESTERS.iter().enumerate() {
            let round = measure(|stop, done| runtime.block_on(submit_until(&actor, *count, stop, done)));
            rounds[place + 1].1.push(round);
        }
    }
    print(&mut rounds);
    wal(dir.path());
}

fn print(rounds: &mut [(String, Vec<Round>)]) {
    let medians: Vec<(f64, f64)> = rounds
        .iter()
        .map(|(_, rounds)| {
            let mut rates: Vec<f64> = rounds.iter().map(|round| round.per_second).collect();
            let mut costs: Vec<f64> = rounds.iter().map(|round| round.cpu_us).collect();
            (table::median(&mut rates), table::median(&mut costs))
        })
        .collect();
    let rows: Vec<Vec<String>> = rounds
        .iter()
        .zip(&medians)
        .map(|((name, rounds), (rate, cost))| {
            vec![
                name.clone(),
                format!("{rate:.0}"),
                spread(rounds),
                format!("{:.2}", rate / medians[0].0),
                format!("{cost:.1}"),
            ]
        })
        .collect();
    table::print(
        "Durable commits",
        &format!(
            "One INSERT of {PAYLOAD_BYTES} bytes per commit; WAL, synchronous=FULL: an answer means fsynced. Medians of \
             {ROUNDS} interleaved rounds of {ROUND:?}; CPU is user + system of the whole process."
        ),
        &["contender", "commits/s", "lowest–highest", "ratio to bare", "CPU-µs/commit"],
        &rows,
    );
}

/// Lowest and highest rate of the rounds: disks have moods.
fn spread(rounds: &[Round]) -> String {
    let rates = rounds.iter().map(|round| round.per_second);
    let (low, high) = (rates.clone().fold(f64::INFINITY, f64::min), rates.fold(0.0, f64::max));
    format!("{low:.0}–{high:.0}")
}

/// Runs `work` for one round; it counts what it has done until it is stopped.
fn measure(work: impl FnOnce(&Arc<AtomicBool>, &Arc<AtomicU64>)) -> Round {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let timer = Arc::clone(&stop);
    let cpu_before = cpu_ms();
    let (took, ()) = wait::timed(|| {
        let timer = std::thread::spawn(move || {
            std::thread::park_timeout(ROUND);
            timer.store(true, Ordering::Relaxed);
        });
        work(&stop, &done);
        timer.join().expect("the timer ends");
    });
    let count = done.load(Ordering::Relaxed) as f64;
    Round { per_second: count / took.as_secs_f64(), cpu_us: (cpu_ms() - cpu_before) as f64 * 1000.0 / count }
}

fn cpu_ms() -> u64 {
    process::usage(std::process::id()).expect("this system has /proc").cpu_ms
}

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS row(id INTEGER PRIMARY KEY, payload BLOB)";
const INSERT: &str = "INSERT INTO row(payload) VALUES (?1)";

struct Bare(Connection);

impl Bare {
    fn open(path: &Path) -> Self {
        let connection = open_file(path, OpenFlags::default()).expect("the file can be made");
        connection
            .execute_batch(&format!("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {SCHEMA}"))
            .expect("the schema is made");
        Self(connection)
    }

    fn commit_until(&self, stop: &AtomicBool, done: &AtomicU64) {
        while !stop.load(Ordering::Relaxed) {
            self.commit();
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn commit(&self) {
        let mut insert = self.0.prepare_cached(INSERT).expect("the statement is good");
        insert.execute([[7_u8; PAYLOAD_BYTES]]).expect("the row is committed");
    }
}

fn open_actor(path: &Path) -> Actor<()> {
    let path = path.to_owned();
    let open = move || {
        let mut writer = Writer::open(&path)?;
        writer.connection().execute_batch(SCHEMA)?;
        Ok(writer)
    };
    Actor::new(&Arc::default(), None, open, |_| ())
}

async fn submit_until(actor: &Actor<()>, requesters: usize, stop: &Arc<AtomicBool>, done: &Arc<AtomicU64>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..requesters {
        let (actor, stop, done) = (actor.clone(), Arc::clone(stop), Arc::clone(done));
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let insert = actor.submit(|transaction| {
                    let mut insert = transaction.connection().prepare_cached(INSERT)?;
                    Ok(insert.execute([[7_u8; PAYLOAD_BYTES]])?)
                });
                insert.await.expect("the request is committed");
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the requester ends well");
    }
}

/// Commits into a WAL that grows with each, beside one that stands at its full size and is overwritten.
fn wal(dir: &Path) {
    const COMMITS: u64 = 500;
    let open = |name: &str| {
        let bare = Bare::open(&dir.join(name));
        bare.0.execute_batch("PRAGMA wal_autocheckpoint=0").expect("SQLite takes the setting");
        bare
    };
    let (growing, in_place) = (open("growing.db"), open("in-place.db"));
    let checkpoint = |bare: &Bare, mode: &str| {
        bare.0
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
            .expect("the checkpoint runs");
    };
    // One pass makes the WAL that the later ones overwrite.
    (0..COMMITS).for_each(|_| in_place.commit());
    let (mut grown, mut overwritten) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        checkpoint(&growing, "TRUNCATE");
        let (took, ()) = wait::timed(|| (0..COMMITS).for_each(|_| growing.commit()));
        grown.push(COMMITS as f64 / took.as_secs_f64());
        checkpoint(&in_place, "RESTART");
        let (took, ()) = wait::timed(|| (0..COMMITS).for_each(|_| in_place.commit()));
        overwritten.push(COMMITS as f64 / took.as_secs_f64());
    }
    let (grown, overwritten) = (table::median(&mut grown), table::median(&mut overwritten));
    table::print(
        "The WAL: growing or overwritten in place",
        &format!(
            "Bare loop, {COMMITS} commits a round, synchronous=FULL; medians of {ROUNDS} interleaved rounds."
        ),
        &["WAL", "commits/s", "ratio"],
        &[
            vec!["grows".into(), format!("{grown:.0}"), "1.00".into()],
            vec![
                "overwritten in place (RESTART)".into(),
                format!("{overwritten:.0}"),
                format!("{:.2}", overwritten / grown),
            ],
        ],
    );
}
