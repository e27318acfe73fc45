//! Snapshots and writers that are lent, of whole databases: what is open, what is seen, what is new.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

use std::sync::{Arc, Mutex};

use ferry_database::{CaptureSettings, Database, Databases, FileLimits, ModelState, OpenFiles, Recheck};
use ferry_sqlite::NativeSql;
use ferry_types::{Clock, DatabaseId, Model, Reason, Result, Seq, UnixMillis, limits::LEASE_MAX_MS};

/// Keeps what was published.
#[derive(Default)]
pub struct Noted(Mutex<Vec<(Seq, i64)>>);

impl ModelState for Noted {
    type Effect = i64;
    const MODEL: Model = Model::Records;

    fn publish(&self, seq: Seq, effect: i64) {
        self.0.lock().unwrap().push((seq, effect));
    }

    fn create_tables(sql: &NativeSql<'_>) -> ferry_sqlite::Result<()> {
        Ok(sql.0.execute_batch("CREATE TABLE IF NOT EXISTS t(x)")?)
    }
}

ferry_database::models! { records: Records(Noted) }

struct NewYear;

impl Clock for NewYear {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }
}

#[derive(Clone)]
struct Anybody;

impl Recheck for Anybody {
    fn recheck(&self) -> Result<()> {
        Ok(())
    }
}

struct Hub {
    _dir: tempfile::TempDir,
    databases: Databases<Models>,
}

fn hub(limits: FileLimits) -> Hub {
    let dir = tempfile::tempdir().unwrap();
    let databases = Databases::new(
        dir.path(),
        OpenFiles::new(limits),
        Arc::default(),
        Arc::new(NewYear),
        CaptureSettings::default(),
    );
    Hub { _dir: dir, databases }
}

impl Hub {
    fn database(&self, number: u8) -> Arc<Database<Models>> {
        let id: DatabaseId = format!("db_00000000-0000-7000-8000-0000000000{number:02x}").parse().unwrap();
        let database = self.databases.get(id).unwrap();
        database.begins_with(Model::Records);
        database
    }
}

async fn insert(database: &Database<Models>, value: i64) -> Option<Seq> {
    let committed = database.submit(&Anybody, move |transaction| {
        transaction.connection().execute("INSERT INTO t VALUES (?1)", [value])?;
        transaction.effect(Effect::Records(value));
        Ok(())
    });
    committed.await.unwrap().seq
}

fn sum(sql: &NativeSql<'_>) -> ferry_sqlite::Result<i64> {
    Ok(sql.0.query_row("SELECT total(x) FROM t", [], |row| row.get::<_, f64>(0)).map(|sum| sum as i64)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lent_snapshot_shows_the_same_whatever_is_committed() {
    let hub = hub(FileLimits::AMPLE);
    let database = hub.database(1);
    insert(&database, 1).await;
    let mut lease = database.lend_snapshot().await.unwrap();
    assert_eq!(lease.seq(), Seq(1));
    insert(&database, 10).await;
    assert_eq!(lease.run(sum).unwrap(), 1);
    assert!(lease.run(|sql| Ok(sql.0.execute_batch("INSERT INTO t VALUES (5)")?)).is_err(), "it only reads");
    let elsewhere = tokio::task::spawn_blocking(move || (lease.run(sum).unwrap(), lease));
    let (seen, lease) = elsewhere.await.unwrap();
    assert_eq!(seen, 1);
    assert!(
        !hub.databases.sweep().await && !hub.databases.sweep().await,
        "a lent snapshot keeps the files open"
    );
    drop(lease);
    let mut again = database.lend_snapshot_inline().expect("the connection is free again").unwrap();
    assert_eq!((again.seq(), again.run(sum).unwrap()), (Seq(2), 11));
    assert!(database.lend_snapshot_inline().is_none(), "the only open connection is lent");
    drop(again);
    for _ in 0..1000 {
        if hub.databases.sweep().await {
            break;
        }
    }
    assert_eq!(hub.databases.files().open_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_a_snapshot_costs_its_connection_alone() {
    let hub = hub(FileLimits::AMPLE);
    let database = hub.database(1);
    insert(&database, 1).await;
    let mut lease = database.lend_snapshot().await.unwrap();
    let panics = std::panic::AssertUnwindSafe(|| lease.run::<()>(|_| panic!("on purpose")));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert!(lease.run(sum).is_err(), "it is over");
    drop(lease);
    assert!(database.lend_snapshot_inline().is_none());
    assert_eq!(database.lend_snapshot().await.unwrap().run(sum).unwrap(), 1);
}

// Verifies: FUN-14
#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_while_the_writer_is_lent() {
    let hub = hub(FileLimits::AMPLE);
    let database = hub.database(1);
    insert(&database, 1).await;
    let mut lease = database.lend_writer(&Anybody).await.unwrap();
    lease.run(|transaction| Ok(transaction.connection().execute("INSERT INTO t VALUES (10)", [])?)).unwrap();
    assert_eq!(database.read(sum).await.unwrap(), 1, "what is not committed is not seen");
    assert!(!hub.databases.sweep().await && !hub.databases.sweep().await, "a lent writer is not closed");
    lease
        .run(|transaction| {
            transaction.effect(Effect::Records(10));
            Ok(())
        })
        .unwrap();
    assert_eq!(lease.commit().await, Ok(Some(Seq(2))));
    assert_eq!(database.read(sum).await.unwrap(), 11);
    assert_eq!(*database.models().records.0.lock().unwrap(), [(Seq(1), 1), (Seq(2), 10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_of_a_database_may_be_a_lease() {
    let hub = hub(FileLimits::AMPLE);
    let database = hub.database(1);
    assert!(!database.has_file().await);
    let lent = Arc::clone(&database);
    let runtime = tokio::runtime::Handle::current();
    // As a call does that is on a blocking thread when it finds out that it writes.
    let writing = tokio::task::spawn_blocking(move || {
        let mut lease = lent.lend_writer_blocking(&Anybody, &runtime).unwrap();
        lease
            .run(|transaction| Ok(transaction.connection().execute("INSERT INTO t VALUES (3)", [])?))
            .unwrap();
        lease.commit_blocking()
    });
    assert_eq!(writing.await.unwrap(), Ok(Some(Seq(1))));
    assert_eq!(insert(&database, 4).await, Some(Seq(2)));
    assert_eq!(database.read(sum).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_writer_is_lent_does_not_give_its_room_away() {
    // Room for one database, with a writer and readers.
    let hub = hub(FileLimits { databases: 1, descriptors: 32 });
    let (one, two) = (hub.database(1), hub.database(2));
    let mut lease = one.lend_writer(&Anybody).await.unwrap();
    lease.run(|transaction| Ok(transaction.connection().execute("INSERT INTO t VALUES (1)", [])?)).unwrap();
    let other = tokio::spawn(async move { insert(&two, 2).await });
    ferry_testkit::wait::until("the other database waits for room", || {
        (!other.is_finished() && hub.databases.files().open_count() == 1).then_some(())
    });
    assert_eq!(lease.commit().await, Ok(Some(Seq(1))));
    assert_eq!(other.await.unwrap(), Some(Seq(1)), "the room is given away as soon as nobody needs it");
    assert_eq!(one.read(sum).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_lasts_too_long_is_over() {
    let hub = hub(FileLimits::AMPLE);
    let database = hub.database(1);
    insert(&database, 1).await;
    let mut lease = database.lend_snapshot().await.unwrap();
    tokio::time::advance(std::time::Duration::from_millis(LEASE_MAX_MS + 1)).await;
    let refused = lease.run(sum).unwrap_err().into_refusal();
    assert_eq!(refused.reason, Reason::Busy);
    assert!(refused.message.contains("more than 30000 ms"), "{refused}");
    assert!(database.lend_snapshot_inline().is_some(), "its connection serves others");
}
