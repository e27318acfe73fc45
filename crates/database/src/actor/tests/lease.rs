//! The writer, lent: order, failure, cancellation, panics.

use super::*;

fn allowed() -> Result<()> {
    Ok(())
}

fn revoked() -> Error {
    Error::new(Reason::TokenRevoked, "the credential was revoked")
}

fn write(lease: &mut WriterLease<i64>, value: i64) {
    lease.run(|transaction| insert(value)(transaction)).unwrap();
}

/// A request that waits behind a lease.
async fn waiting(fixture: &Fixture, value: i64) -> tokio::task::JoinHandle<Result<Committed<i64>>> {
    let actor = fixture.actor.clone();
    let waiting = tokio::spawn(async move { actor.submit(insert(value)).await });
    while fixture.actor.shared.lock().queue.is_empty() {
        tokio::task::yield_now().await;
    }
    waiting
}

// Verifies: FUN-14
#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_while_the_writer_is_lent_and_all_go_on_in_order() {
    let fixture = fixture();
    fixture.actor.submit(insert(1)).await.unwrap();
    let mut lease = fixture.actor.lend(allowed).await.unwrap();
    assert_eq!(lease.seq(), Seq(2));
    let behind = waiting(&fixture, 3).await;
    write(&mut lease, 2);
    tokio::task::yield_now().await;
    write(&mut lease, 20);
    assert!(!behind.is_finished() && !fixture.actor.is_idle() && !fixture.actor.close_if_idle());
    assert_eq!(lease.commit().await, Ok(Some(Seq(2))));
    assert_eq!(
        fixture.published.lock().unwrap()[1],
        (Seq(2), vec![2, 20]),
        "published before it is answered"
    );
    assert_eq!(behind.await.unwrap().unwrap().seq, Some(Seq(3)));
    let seqs: Vec<_> = fixture.published.lock().unwrap().iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(count(&fixture.actor).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_dropped_or_rolled_back_leaves_nothing() {
    let fixture = fixture();
    let mut lease = fixture.actor.lend(allowed).await.unwrap();
    write(&mut lease, 1);
    let behind = waiting(&fixture, 2).await;
    drop(lease);
    assert_eq!(behind.await.unwrap().unwrap().seq, Some(Seq(1)), "it took no number");
    let mut lease = fixture.actor.lend(allowed).await.unwrap();
    write(&mut lease, 3);
    lease.roll_back();
    let lease = fixture.actor.lend(allowed).await.unwrap();
    assert_eq!(lease.commit().await, Ok(None), "what changes nothing takes no number");
    assert_eq!(*fixture.published.lock().unwrap(), [(Seq(1), vec![2])]);
    assert_eq!(count(&fixture.actor).await, 1);
    assert_eq!(fixture.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_cancelled_or_panics_gives_the_writer_back() {
    let fixture = fixture();
    let (actor, (has, held)) = (fixture.actor.clone(), oneshot::channel());
    let cancelled = tokio::spawn(async move {
        let mut lease = actor.lend(allowed).await.unwrap();
        write(&mut lease, 1);
        has.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(lease);
    });
    held.await.unwrap();
    let behind = waiting(&fixture, 2).await;
    cancelled.abort();
    behind.await.unwrap().unwrap();
    let actor = fixture.actor.clone();
    let panicked = tokio::spawn(async move {
        let mut lease = actor.lend(allowed).await.unwrap();
        write(&mut lease, 3);
        lease.run::<()>(|_| panic!("on purpose")).unwrap();
    });
    assert!(panicked.await.unwrap_err().is_panic());
    fixture.actor.submit(insert(4)).await.unwrap();
    assert_eq!(count(&fixture.actor).await, 2);
    assert_eq!(fixture.opened.load(Ordering::Relaxed), 1, "the file stayed open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_has_gone_before_its_turn_is_lent_nothing() {
    let fixture = fixture();
    let first = fixture.actor.lend(allowed).await.unwrap();
    let actor = fixture.actor.clone();
    let gone = tokio::spawn(async move { actor.lend(allowed).await.map(drop) });
    while fixture.actor.shared.lock().queue.is_empty() {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let behind = waiting(&fixture, 1).await;
    drop(first);
    behind.await.unwrap().unwrap();
}

// Verifies: TOK-17
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_any_more_is_refused_at_the_beginning_and_at_the_end() {
    let fixture = fixture();
    let refused = fixture.actor.lend(|| Err(revoked())).await.map(drop);
    assert_eq!(refused, Err(revoked()));
    let is_revoked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&is_revoked);
    let still_may = move || if asked.load(Ordering::Relaxed) { Err(revoked()) } else { Ok(()) };
    let mut lease = fixture.actor.lend(still_may).await.unwrap();
    write(&mut lease, 1);
    is_revoked.store(true, Ordering::Relaxed);
    assert_eq!(lease.commit().await, Err(revoked()));
    assert_eq!(count(&fixture.actor).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_actor_waits_for_the_lease_and_then_closes() {
    let fixture = fixture();
    let mut lease = fixture.actor.lend(allowed).await.unwrap();
    write(&mut lease, 1);
    let refusal = Error::new(Reason::NotFound, "database not found");
    let (actor, told) = (fixture.actor.clone(), refusal.clone());
    let retiring = tokio::spawn(async move { actor.retire(told).await });
    while fixture.actor.shared.lock().gone.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.actor.lend(allowed).await.map(drop), Err(refusal));
    assert!(!retiring.is_finished());
    assert_eq!(lease.commit().await, Ok(Some(Seq(1))), "it was accepted before");
    retiring.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_gives_the_writer_back() {
    let fixture = fixture();
    let mut lease = fixture.actor.lend(allowed).await.unwrap();
    write(&mut lease, 1);
    lease.run(|transaction| Ok(transaction.connection().execute_batch("ROLLBACK")?)).unwrap();
    let ended = lease.run(insert(2)).unwrap_err().into_refusal();
    assert_eq!(ended.reason, Reason::Busy, "SQLite has ended the transaction: {ended}");
    assert_eq!(lease.commit().await.unwrap_err().reason, Reason::Busy);
    fixture.actor.submit(insert(3)).await.unwrap();
    assert_eq!(count(&fixture.actor).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_works_on_a_thread_of_no_runtime() {
    let fixture = fixture();
    let lease = fixture.actor.lend(allowed).await.unwrap();
    let behind = waiting(&fixture, 2).await;
    let elsewhere = std::thread::spawn(move || {
        let mut lease = lease;
        write(&mut lease, 1);
        lease.commit_blocking()
    });
    assert_eq!(behind.await.unwrap().unwrap().seq, Some(Seq(2)));
    assert_eq!(elsewhere.join().unwrap(), Ok(Some(Seq(1))));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_lasts_too_long_is_over() {
    let fixture = fixture();
    let mut lease = fixture.actor.lend(allowed).await.unwrap();
    write(&mut lease, 1);
    tokio::time::advance(Duration::from_millis(ferry_types::limits::LEASE_MAX_MS + 1)).await;
    let refused = lease.run(insert(2)).unwrap_err().into_refusal();
    assert!(refused.message.contains("more than 30000 ms"), "{refused}");
    assert!(lease.commit().await.is_err());
    assert_eq!(count(&fixture.actor).await, 0);
}
