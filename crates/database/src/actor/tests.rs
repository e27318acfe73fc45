//! The actor: groups, failures, panics, publication, idleness.

mod lease;
mod traced;

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

type Published = Arc<Mutex<Vec<(Seq, Vec<i64>)>>>;

struct Fixture {
    _dir: tempfile::TempDir,
    actor: Actor<i64>,
    published: Published,
    opened: Arc<AtomicU64>,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("main.db");
    let (published, opened) = (Published::default(), Arc::new(AtomicU64::new(0)));
    let (publish, opens) = (Arc::clone(&published), Arc::clone(&opened));
    let open = move || {
        opens.fetch_add(1, Ordering::Relaxed);
        let mut writer = Writer::open(&path)?;
        writer.connection().execute_batch("CREATE TABLE IF NOT EXISTS t(x)")?;
        Ok(writer)
    };
    let actor = Actor::new(&Arc::default(), None, open, move |commit| {
        publish.lock().unwrap().push((commit.seq, commit.effects));
    });
    Fixture { _dir: dir, actor, published, opened }
}

fn insert(value: i64) -> impl FnOnce(&mut Transaction<'_, i64>) -> ferry_sqlite::Result<i64> + Send {
    move |transaction| {
        transaction.connection().execute("INSERT INTO t VALUES (?1)", [value])?;
        transaction.effect(value);
        Ok(value)
    }
}

async fn count(actor: &Actor<i64>) -> i64 {
    let count = actor.exclusive(|exclusive| {
        Ok(exclusive.writer()?.connection().query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
    });
    count.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_published_in_order_of_seq_before_they_are_answered() {
    let fixture = fixture();
    let tasks: Vec<_> = (0..200)
        .map(|value| {
            let (actor, published) = (fixture.actor.clone(), Arc::clone(&fixture.published));
            tokio::spawn(async move {
                let committed = actor.submit(insert(value)).await.unwrap();
                let seq = committed.seq.unwrap();
                assert!(published.lock().unwrap().iter().any(|(s, e)| *s == seq && e == &[value]));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let seqs: Vec<_> = fixture.published.lock().unwrap().iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    assert_eq!(count(&fixture.actor).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_of_its_own_committed_is_published_before_it_is_answered() {
    let fixture = fixture();
    fixture.actor.submit(insert(1)).await.unwrap();
    let committed = fixture.actor.exclusive(|writer| {
        writer.close()?;
        writer.committed(Seq(2), vec![20]);
        Ok(())
    });
    committed.await.unwrap();
    assert_eq!(*fixture.published.lock().unwrap(), [(Seq(1), vec![1]), (Seq(2), vec![20])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_outside_a_request_closes_the_file_and_the_next_job_reopens_it() {
    let fixture = fixture();
    fixture.actor.submit(insert(1)).await.unwrap();
    let panicked = fixture.actor.exclusive::<(), _>(|_| panic!("on purpose")).await;
    assert_eq!(panicked, Err(Error::internal()));
    fixture.actor.submit(insert(2)).await.unwrap();
    assert_eq!(count(&fixture.actor).await, 2);
    assert_eq!(fixture.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_file_is_closed_and_opened_again_by_the_next_job() {
    let fixture = fixture();
    fixture.actor.submit(insert(1)).await.unwrap();
    // The answer leaves before the writer is put back.
    while !fixture.actor.close_if_idle() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.opened.load(Ordering::Relaxed), 1);
    let again = fixture.actor.submit(insert(2)).await.unwrap();
    assert_eq!(again.seq, Some(Seq(2)), "the sequence goes on where it stood");
    assert_eq!(fixture.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_actor_finishes_what_it_accepted_and_refuses_the_rest() {
    let fixture = fixture();
    let accepted: Vec<_> = (0..50)
        .map(|value| {
            let actor = fixture.actor.clone();
            tokio::spawn(async move { actor.submit(insert(value)).await })
        })
        .collect();
    while fixture.published.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let refusal = Error::new(Reason::NotFound, "database not found");
    fixture.actor.retire(refusal.clone()).await;
    let mut stored = 0;
    for task in accepted {
        match task.await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(error, refusal),
        }
    }
    assert_eq!(fixture.published.lock().unwrap().len(), stored);
    assert_eq!(fixture.actor.submit(insert(99)).await, Err(refusal));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_taken_back_before_it_began_changes_nothing() {
    let fixture = fixture();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let blocker = fixture.actor.clone();
    let blocking = tokio::spawn(async move {
        blocker.exclusive(move |_| wait.recv().map_err(|_| Error::internal().into())).await
    });
    let actor = fixture.actor.clone();
    let taken_back = tokio::spawn(async move { actor.submit(insert(1)).await });
    while fixture.actor.shared.lock().queue.is_empty() {
        tokio::task::yield_now().await;
    }
    taken_back.abort();
    assert!(taken_back.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    blocking.await.unwrap().unwrap();
    assert_eq!(count(&fixture.actor).await, 0);
}

// A group runs on the worker thread that happened to look after sockets and timers. Were nobody to take that over while
// the group waits for a slow disk, the whole hub would stand still with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_group_takes_long_sockets_are_looked_after() {
    let fixture = fixture();
    fixture.actor.submit(insert(1)).await.unwrap();
    let (begins, begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let (start, started) = (udp().await, udp().await);
    let (start_at, started_at) = (start.local_addr().unwrap(), started.local_addr().unwrap());
    let (waiting, waits) =
        (Arc::new(AtomicU64::new(0)), |waiting: &AtomicU64| waiting.fetch_add(1, Ordering::Relaxed));
    let waiting_too = Arc::clone(&waiting);
    tokio::spawn(async move {
        waits(&waiting_too);
        started.recv(&mut [0; 8]).await.unwrap();
        release.send(()).unwrap();
    });
    let (actor, waiting_too) = (fixture.actor.clone(), Arc::clone(&waiting));
    let writes = tokio::spawn(async move {
        waits(&waiting_too);
        start.recv(&mut [0; 8]).await.unwrap();
        let group = actor.submit(move |transaction| {
            begins.send(()).unwrap();
            released.recv_timeout(Duration::from_secs(20)).expect("the datagram was received meanwhile");
            insert(2)(transaction)
        });
        group.await.unwrap();
    });
    let workers = tokio::runtime::Handle::current().metrics();
    let peer = std::thread::spawn(move || {
        let hello = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sleeps = |worker| workers.worker_park_unpark_count(worker) % 2 == 1;
        ferry_testkit::wait::until("both tasks wait and both workers sleep", || {
            (waiting.load(Ordering::Relaxed) == 2 && sleeps(0) && sleeps(1)).then_some(())
        });
        // So the group begins on the worker that looks after sockets, while the other one sleeps.
        hello.send_to(b"start", start_at).unwrap();
        begun.recv().unwrap();
        hello.send_to(b"started", started_at).unwrap();
    });
    writes.await.unwrap();
    peer.join().unwrap();
}

async fn udp() -> tokio::net::UdpSocket {
    tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap()
}
