//! What traces tell of the writer.

use std::sync::atomic::{AtomicU64, Ordering};

use ferry_trace::{FinishedSpan, SpanTime, Tracer};
use ferry_types::{Error, Reason};

use super::{Actor, Arc, fixture, insert};

struct Counting(AtomicU64);

impl SpanTime for Counting {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn zero_unix_ns(&self) -> u64 {
        1_000
    }

    fn random(&self) -> [u8; 16] {
        [9; 16]
    }
}

fn find<'s>(spans: &'s [FinishedSpan], name: &str) -> &'s FinishedSpan {
    let mut found = spans.iter().filter(|span| span.name == name);
    let first = found.next().unwrap_or_else(|| panic!("no {name} in {spans:?}"));
    assert!(found.next().is_none(), "one {name}: {spans:?}");
    first
}

// Verifies: OPR-80
#[tokio::test(flavor = "multi_thread")]
async fn a_traced_write_shows_its_wait_its_group_its_commit_and_its_publication() {
    let (fixture, tracer) = (fixture(), Tracer::new(1.0, Counting(AtomicU64::new(1))));
    fixture.actor.submit(insert(1)).await.unwrap();
    assert!(tracer.take(10).is_empty(), "of other requests nothing is kept");
    let request = tracer.begin("request", None, false);
    request.scope(fixture.actor.submit(insert(2))).await.unwrap();
    drop(request);
    let spans = tracer.take(10);
    let (request, group) = (find(&spans, "request").span_id, find(&spans, "group"));
    assert_eq!(find(&spans, "mailbox").parent, Some(request));
    assert_eq!(group.parent, Some(request));
    assert_eq!(group.attributes, [("ferry.group.requests", 1_u64.into())]);
    let (commit, published) = (find(&spans, "commit"), find(&spans, "fan-out"));
    assert_eq!((commit.parent, published.parent), (Some(group.span_id), Some(group.span_id)));
    assert!(find(&spans, "mailbox").ended_ns <= group.began_ns);
    assert!(group.began_ns < commit.began_ns && commit.ended_ns <= published.began_ns);
    assert!(published.ended_ns <= group.ended_ns);
    assert_eq!((spans.len(), spans.iter().any(|span| span.is_error)), (5, false));
}

// Verifies: OPR-80
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_no_failure_and_what_was_undone_is() {
    let (fixture, tracer) = (fixture(), Tracer::new(1.0, Counting(AtomicU64::new(1))));
    let run = async |sql: Option<&'static str>| {
        let request = tracer.begin("request", None, false);
        let work = fixture.actor.submit::<(), _>(move |transaction| {
            let sql = sql.ok_or_else(|| Error::new(Reason::VersionConflict, "no"))?;
            Ok(transaction.connection().execute_batch(sql)?)
        });
        assert!(request.scope(work).await.is_err());
        drop(request);
        tracer.take(10)
    };
    let refused = run(None).await;
    assert!(!find(&refused, "group").is_error && refused.iter().all(|span| span.name != "commit"));
    let failed = run(Some("INSERT INTO nowhere VALUES (1)")).await;
    assert!(find(&failed, "group").is_error);
    // Jobs of their own, and a writer that was lent.
    let request = tracer.begin("request", None, false);
    request.scope(fixture.actor.exclusive(|exclusive| exclusive.writer().map(drop))).await.unwrap();
    let mut lease = request.scope(fixture.actor.lend(|| Ok(()))).await.unwrap();
    lease.run(insert(3)).unwrap();
    lease.commit().await.unwrap();
    drop(request);
    let spans = tracer.take(10);
    let request = find(&spans, "request").span_id;
    assert_eq!((find(&spans, "job").parent, find(&spans, "commit").parent), (Some(request), Some(request)));
    assert_eq!(find(&spans, "fan-out").parent, Some(find(&spans, "commit").span_id));
    assert_eq!(spans.iter().filter(|span| span.name == "mailbox").count(), 2);
}

// Verifies: OPR-80
#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_file_cannot_be_opened_has_no_commit() {
    let tracer = Tracer::new(1.0, Counting(AtomicU64::new(1)));
    let open = || Err(ferry_sqlite::Error::Damaged("on purpose".to_owned()));
    let actor: Actor<i64> = Actor::new(&Arc::default(), None, open, |_| {});
    let request = tracer.begin("request", None, false);
    assert!(request.scope(actor.submit(insert(1))).await.is_err());
    drop(request);
    let spans = tracer.take(10);
    assert!(find(&spans, "group").is_error && spans.iter().all(|span| span.name != "commit"), "{spans:?}");
    assert!(spans.iter().all(|span| span.began_ns > 1_000), "none since 1970: {spans:?}");
}
