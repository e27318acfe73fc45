//! How long a small push takes whose client leaves Nagle's algorithm on and writes frame by frame, as EdgeReplica's does:
//! each frame waits until the hub has acknowledged the one before.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ferry_sqlite::connection::open_file;
use ferry_testkit::{Direction, edgereplica, hub::Options, sample::Shape, wait};
use rusqlite::OpenFlags;

use crate::{binary, table};

const ROUNDS: usize = 20;
/// Pause of the writer beside the last pushes.
const WRITE_EVERY: Duration = Duration::from_millis(50);
const CHANGE: &str = "UPDATE item SET price = price + 1 WHERE id = 7";

pub(crate) fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("small.db");
    Shape::default().create(&file, 1000, 1);
    let pages = edgereplica::pages(&file).len();
    let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
    let user = hub.signup("bench@example.com");
    let token = user.sync_token(&user.create_database("bench"), Direction::Push);
    let push = || edgereplica::push(hub.address(), &token, &file);
    push().expect("the first push is accepted");
    let (mut same, mut row) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        same.push(milliseconds(push));
        change(&file);
        row.push(milliseconds(push));
    }
    let is_over = AtomicBool::new(false);
    let accepted = thread::scope(|scope| {
        scope.spawn(|| {
            while wait::within(WRITE_EVERY, || is_over.load(Ordering::Relaxed).then_some(())).is_none() {
                change(&file);
            }
        });
        let accepted = (0..ROUNDS).filter(|_| push().is_ok()).count();
        is_over.store(true, Ordering::Relaxed);
        accepted
    });
    table::print(
        &format!("Small pushes over EdgeReplica's wire ({pages} pages of 4096, Nagle's algorithm on)"),
        &format!(
            "{ROUNDS} pushes each, by the imitation of EdgeReplica's program in crates/testkit. Beside a writer that commits a \
             row every {} ms, {accepted} of {ROUNDS} pushes were accepted; the others were torn.",
            WRITE_EVERY.as_millis()
        ),
        &["push", "median ms", "fastest ms", "slowest ms"],
        &[measured("nothing changed", same), measured("1 row changed", row)],
    );
}

fn change(file: &Path) {
    let connection = open_file(file, OpenFlags::default()).expect("the file opens");
    connection.busy_timeout(Duration::from_secs(10)).expect("SQLite takes a timeout");
    connection.execute_batch(CHANGE).expect("the change is made");
}

fn milliseconds<T, E: std::fmt::Debug>(push: impl FnOnce() -> Result<T, E>) -> f64 {
    let (took, pushed) = wait::timed(push);
    pushed.expect("the push is accepted");
    took.as_secs_f64() * 1000.0
}

fn measured(name: &str, mut rounds: Vec<f64>) -> Vec<String> {
    let median = table::median(&mut rounds);
    let (fastest, slowest) =
        rounds.iter().fold((f64::MAX, 0.0), |(low, high), round| (round.min(low), round.max(high)));
    vec![name.to_owned(), format!("{median:.0}"), format!("{fastest:.0}"), format!("{slowest:.0}")]
}
