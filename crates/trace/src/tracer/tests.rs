//! What is traced, what waits, and what is part of what.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{AttributeValue, current, note, span};

/// Each moment is later by one; random bytes count.
#[derive(Default)]
struct Counting(AtomicU64);

impl SpanTime for Counting {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn zero_unix_ns(&self) -> u64 {
        // A clock that is set all the time.
        self.0.load(Ordering::Relaxed) * 1_000_000
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes
    }
}

fn tracer(share: f64) -> Arc<Tracer> {
    Tracer::new(share, Counting::default())
}

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

fn caller(flags: &str) -> Option<Traceparent> {
    Some(format!("{CALLER}-{flags}").parse().unwrap())
}

// Verifies: OPR-80
#[tokio::test]
async fn spans_are_parts_of_what_they_are_made_in() {
    let tracer = tracer(1.0);
    let root = tracer.begin("request", None, false);
    let root_id = root.context().unwrap().span_id;
    let inner = root
        .scope(async {
            note("database", || "one");
            note("database", || "another");
            let auth = span("auth");
            let inner = auth.context().unwrap().span_id;
            auth.scope(async { drop(span("key set").outbound()) }).await;
            inner
        })
        .await;
    assert!(current().is_none(), "nothing is traced outside");
    drop(root);
    let spans = tracer.take(10);
    let names: Vec<_> = spans.iter().map(|span| (&*span.name, span.parent, span.kind)).collect();
    assert_eq!(
        names,
        [
            ("key set", Some(inner), SpanKind::Client),
            ("auth", Some(root_id), SpanKind::Internal),
            ("request", None, SpanKind::Server)
        ]
    );
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id && span.began_ns < span.ended_ns));
    assert_eq!(spans[2].attributes, [("database", AttributeValue::from("one"))]);
    // A trace keeps to the wall clock as it stood when it began.
    let last_ns = spans[2].ended_ns;
    assert!(last_ns > 1_000_000 && spans.iter().all(|span| last_ns - span.began_ns < 1_000_000), "{spans:?}");
}

// Verifies: OPR-80
#[test]
fn a_trace_is_continued_and_its_flag_counts_from_trusted_callers_alone() {
    let (all, none) = (tracer(1.0), tracer(0.0));
    assert!(!all.begin("request", caller("00"), true).is_recorded());
    assert!(none.begin("request", caller("01"), true).is_recorded());
    assert!(!none.begin("request", caller("01"), false).is_recorded(), "anybody may say that");
    assert!(!none.begin("request", None, true).is_recorded());
    let mut continued = all.begin("request", caller("00"), false);
    continued.fail();
    drop(continued);
    let spans = all.take(10);
    let (id, parent) = (spans[0].trace_id.to_string(), spans[0].parent.unwrap().to_string());
    assert_eq!(format!("00-{id}-{parent}"), CALLER);
    assert!(spans[0].is_error);
}

// A collector that is down must not fill the memory.
// Verifies: OPR-80
#[test]
fn so_many_spans_wait_and_more_are_dropped_and_counted() {
    let tracer = tracer(1.0);
    for _ in 0..WAITING_MAX + 5 {
        drop(tracer.begin("request", None, false));
    }
    assert_eq!((tracer.take_dropped(), tracer.take_dropped()), (5, 0));
    // What is on its way counts until it has arrived.
    assert_eq!(tracer.take(100).len(), 100);
    drop(tracer.begin("request", None, false));
    assert_eq!(tracer.take_dropped(), 1);
    tracer.done(100);
    drop(tracer.begin("request", None, false));
    assert_eq!(tracer.take_dropped(), 0);
    assert_eq!(tracer.take(usize::MAX).len(), WAITING_MAX - 99);
}
