//! Reading: pages, remaining counts, the live tail (events, scenarios 3 and 18).

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ferry_testkit::{
    livestore::{Outcome, Page, chain, event, numbers},
    wait,
};
use serde_json::{Value, json};

use super::{Stores, a, b};

fn fill(stores: &Stores, store: &str, count: i64) {
    let mut socket = stores.open(store);
    let mut head = 0;
    while head < count {
        let next = (count - head).min(1000);
        assert_eq!(socket.push(&a(1), &chain(head, next)), Outcome::Success(json!({})));
        head += next;
    }
}

// Verifies: EVT-20, EVT-21, EVT-40
#[test]
fn an_empty_store_yields_one_empty_page_with_its_identity() {
    let stores = Stores::new();
    let mut socket = stores.open("empty");
    socket.pull(&a(0), false, None);
    let first = socket.page(&a(0));
    assert_eq!((first.events.len(), first.remaining), (0, 0));
    assert_eq!(socket.frame(), json!({"_tag": "Exit", "requestId": "0", "exit": {"_tag": "Success"}}));
    socket.pull(&b(0), false, Some((&first.backend_id, 0)));
    assert_eq!(socket.page(&b(0)).backend_id, first.backend_id);
    let exit = json!({"_tag": "Exit", "requestId": 0, "exit": {"_tag": "Success", "value": null}});
    assert_eq!(socket.frame(), exit);
    drop(socket);
    let stores = stores.restarted();
    let mut socket = stores.open("empty");
    socket.pull(&a(0), false, None);
    assert_eq!(socket.page(&a(0)).backend_id, first.backend_id, "an identity survives a restart");
}

// Verifies: EVT-20
#[test]
fn pages_have_at_most_100_events_and_tell_exactly_what_remains() {
    let stores = Stores::new();
    fill(&stores, "long", 10_050);
    for fresh in [false, true] {
        // After a restart nothing is in memory.
        let mut socket = stores.open("long");
        socket.pull(&a(1), false, None);
        let (mut seen, pages) = (0, socket.history(&a(1)));
        for page in &pages {
            assert!(page.events.len() <= 100);
            seen += page.events.len() as u64;
            assert_eq!(page.remaining, 10_050 - seen);
        }
        let all: Vec<i64> = pages.iter().flat_map(Page::numbers).collect();
        assert_eq!(all, (1..=10_050).collect::<Vec<_>>(), "fresh: {fresh}");
        assert_eq!(pages.len(), 101);
        assert_eq!(socket.exit_of(&a(1)), Outcome::Success(Value::Null));
        // From the middle of a push.
        let id = pages[0].backend_id.clone();
        socket.pull(&a(2), false, Some((&id, 9_990)));
        let rest = socket.history(&a(2));
        assert_eq!(rest.iter().flat_map(Page::numbers).next(), Some(9_991));
        assert_eq!(rest.iter().map(|page| page.events.len()).sum::<usize>(), 60);
    }
}

// Verifies: EVT-20
#[test]
fn large_events_are_split_by_bytes() {
    let stores = Stores::new();
    let big = |seq: i64, bytes: usize| {
        let mut made = event(seq, seq - 1);
        made["args"] = json!("x".repeat(bytes));
        made
    };
    let mut socket = stores.open("big");
    for seq in 1..=10 {
        assert_eq!(socket.push(&a(1), &[big(seq, 150_000)]), Outcome::Success(json!({})));
    }
    assert_eq!(socket.push(&a(1), &[big(11, 899_000)]), Outcome::Success(json!({})));
    let check = |stores: &Stores| {
        let mut socket = stores.open("big");
        socket.pull(&a(2), false, None);
        let mut seen = Vec::new();
        loop {
            let text = socket.next_text();
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["_tag"] == "Exit" {
                break;
            }
            socket.ack(&a(2));
            let page = ferry_testkit::livestore::Page::of(&frame["values"][0]);
            assert!(text.len() <= 900_000 || page.events.len() == 1, "{} bytes", text.len());
            seen.extend(page.numbers());
            assert_eq!(page.remaining, 11 - seen.len() as u64);
        }
        assert_eq!(seen, (1..=11).collect::<Vec<_>>());
    };
    check(&stores);
    check(&stores.restarted());
}

// Verifies: EVT-22, EVT-23, EVT-24
#[test]
fn a_client_that_boots_while_others_push_sees_every_event_once_in_order() {
    let stores = Stores::new();
    fill(&stores, "busy", 800);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            let mut socket = stores.open("busy");
            let mut head = 800;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(socket.push(&a(1), &[event(head + 1, head)]), Outcome::Success(json!({})));
                head += 1;
            }
            head
        });
        let mut socket = stores.open("busy");
        // Three that end, and one that goes on.
        socket.pull(&a(1), false, None);
        socket.history(&a(1));
        assert_eq!(socket.exit_of(&a(1)), Outcome::Success(Value::Null));
        socket.pull(&b(2), false, None);
        socket.history(&b(2));
        assert_eq!(socket.exit_of(&b(2)), Outcome::Success(Value::Null));
        socket.pull(&a(3), true, None);
        socket.page(&a(3));
        socket.send(&json!({"_tag": "Interrupt", "requestId": "3"}));
        socket.pull(&b(4), true, None);
        let mut seen = Vec::new();
        while seen.len() < 1200 {
            let frame = socket.frame();
            // What of the interrupted Pull was on its way already.
            if frame["requestId"] == json!("3") {
                assert!(seen.is_empty(), "an interrupted Pull goes on: {frame}");
                continue;
            }
            assert_eq!((&frame["_tag"], &frame["requestId"]), (&json!("Chunk"), &json!(4)), "{frame}");
            socket.ack(&b(4));
            let batch = frame["values"][0]["batch"].as_array().unwrap();
            seen.extend(batch.iter().map(|event| event["eventEncoded"]["seqNum"].as_i64().unwrap()));
        }
        done.store(true, Ordering::Relaxed);
        let head = pusher.join().unwrap();
        while seen.len() < usize::try_from(head).unwrap() {
            seen.extend(socket.page(&b(4)).numbers());
        }
        assert_eq!(seen, (1..=head).collect::<Vec<_>>());
    });
}

// Verifies: EVT-22
#[test]
fn many_subscribers_follow_several_pushers() {
    const SUBSCRIBERS: usize = 20;
    const PUSHES: i64 = 150;
    let stores = Stores::new();
    drop(stores.open("crowd"));
    thread::scope(|scope| {
        let subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|_| {
                let stores = &stores;
                scope.spawn(move || {
                    let mut socket = stores.open("crowd");
                    socket.pull(&a(0), true, None);
                    let mut seen = Vec::new();
                    while seen.len() < 2 * PUSHES as usize {
                        seen.extend(numbers(&socket.page(&a(0)).events));
                    }
                    seen
                })
            })
            .collect();
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let stores = &stores;
                scope.spawn(move || {
                    let mut socket = stores.open("crowd");
                    let (mut head, mut pushed) = (0, 0);
                    while pushed < PUSHES {
                        match socket.push(&b(1), &[event(head + 1, head)]) {
                            Outcome::Success(_) => {
                                pushed += 1;
                                head += 1;
                            }
                            Outcome::Fail(error) => {
                                assert_eq!(error["_tag"], "ServerAheadError", "{error}");
                                head = error["minimumExpectedNum"].as_i64().unwrap();
                            }
                            Outcome::Die(defect) => panic!("{defect}"),
                        }
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        for subscriber in subscribers {
            assert_eq!(subscriber.join().unwrap(), (1..=2 * PUSHES).collect::<Vec<_>>());
        }
    });
    let metrics = ferry_testkit::http::get(stores.address(), "/metrics").unwrap().text();
    for name in ["pushes_total", "appended_total", "pulls_total", "chunks_sent_total", "push_seconds"] {
        assert!(metrics.contains(&format!("ferry_events_{name}")), "{name} is missing");
    }
}

// Verifies: EVT-72
#[test]
fn gauges_follow_the_live_pulls() {
    let stores = Stores::new();
    let gauge = |name: &str| {
        let text = ferry_testkit::http::get(stores.address(), "/metrics").unwrap().text();
        let line = text.lines().find(|line| line.starts_with(&format!("ferry_events_{name}")))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let mut socket = stores.open("app");
    socket.pull(&a(0), true, None);
    socket.page(&a(0));
    wait::until("a subscriber", || (gauge("subscribers") == Some(1.0)).then_some(()));
    assert_eq!(gauge("stores{state=\"ok\"}"), Some(1.0));
    stores.open("app").push(&a(1), &chain(0, 3));
    wait::until("a fan-out", || gauge("fanout_seconds").map(drop));
    drop(socket);
    wait::until("no subscriber", || (gauge("subscribers") == Some(0.0)).then_some(()));
}
