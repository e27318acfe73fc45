//! Memory of databases that nobody uses at the moment.

use std::sync::Arc;

use ferry_control::Requester;
use ferry_hub::database::{Databases, FileLimits, OpenFiles};
use ferry_testkit::process;
use ferry_types::DatabaseId;
use uuid::Uuid;

use crate::table;

/// Open databases: each has its files and connections open.
const OPEN: u128 = 500;
/// Closed databases: somebody holds the handle, no file is open.
const CLOSED: u128 = 100_000;

fn id(number: u128) -> DatabaseId {
    DatabaseId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let databases = Databases::new(
        dir.path(),
        OpenFiles::new(FileLimits::AMPLE),
        Arc::default(),
        Arc::new(ferry_hub::clock::SystemClock),
        ferry_database::CaptureSettings::default(),
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");

    let before = resident();
    let closed: Vec<_> =
        (0..CLOSED).map(|number| databases.get(id(number)).expect("the hub is not stopping")).collect();
    let per_closed = resident().saturating_sub(before) / CLOSED as u64;
    drop(closed);

    // One is opened first, so that what all share is there already.
    runtime.block_on(open(&databases, CLOSED));
    let before = resident();
    runtime.block_on(async {
        for number in 1..=OPEN {
            open(&databases, CLOSED + number).await;
        }
    });
    let per_open = resident().saturating_sub(before) / OPEN as u64;
    table::print(
        "Memory of an idle database",
        "Growth of the resident memory of the process, divided by the number of databases. Open: one row written, WAL \
         mode, writer connection kept. Closed: the handle alone.",
        &["state", "databases", "bytes each"],
        &[
            vec!["open, idle".into(), OPEN.to_string(), table::bytes(per_open)],
            vec!["closed".into(), CLOSED.to_string(), table::bytes(per_closed)],
        ],
    );
}

async fn open(databases: &Databases, number: u128) {
    let database: Arc<_> = databases.get(id(number)).expect("the hub is not stopping");
    let hub = Requester::hub();
    let written = database.submit(&hub, |transaction| {
        transaction.connection().execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
        Ok(())
    });
    written.await.expect("the row is committed");
}

fn resident() -> u64 {
    process::usage(std::process::id()).expect("this system has /proc").resident_bytes
}
