//! Windows, slow consumers, silent peers, rates (events, scenarios 9, 10 and 13).

use std::time::Duration;

use ferry_testkit::{
    livestore::{Outcome, Page, Said, chain, event},
    process, wait,
};
use serde_json::json;

use super::{Stores, a, b};

// Verifies: EVT-30, EVT-31
#[test]
fn without_acks_eight_chunks_come_and_each_ack_brings_one_more() {
    let stores = Stores::new();
    let mut pusher = stores.open("app");
    for head in (0..5000).step_by(500) {
        assert_eq!(pusher.push(&a(1), &chain(head, 500)), Outcome::Success(json!({})));
    }
    let mut socket = stores.open("app");
    socket.set_read_timeout(Duration::from_millis(300));
    socket.pull(&a(1), true, None);
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.extend(socket.unacked_page(&a(1)).numbers());
    }
    assert_eq!(socket.next(), Said::Nothing, "a ninth without an Ack");
    socket.send(&json!({"_tag": "Ping"}));
    assert_eq!(socket.frame(), json!({"_tag": "Pong"}));
    socket.ack(&a(1));
    seen.extend(socket.unacked_page(&a(1)).numbers());
    assert_eq!(socket.next(), Said::Nothing);
    socket.set_read_timeout(wait::LIMIT);
    for _ in 0..8 {
        socket.ack(&a(1));
    }
    // A live push while it lags is not lost either.
    assert_eq!(pusher.push(&a(2), &[event(5001, 5000)]), Outcome::Success(json!({})));
    while seen.len() < 5001 {
        seen.extend(socket.page(&a(1)).numbers());
    }
    assert_eq!(seen, (1..=5001).collect::<Vec<_>>());
}

// Verifies: EVT-31
#[test]
fn a_lagging_pull_holds_up_nobody_and_nothing_of_it_is_kept() {
    let stores = Stores::new();
    let mut slow: Vec<_> = (0..8).map(|_| stores.open("app")).collect();
    for socket in &mut slow {
        socket.pull(&a(1), true, None);
        socket.unacked_page(&a(1));
    }
    let mut quick = stores.open("app");
    quick.pull(&a(1), true, None);
    quick.page(&a(1));
    let resident = || process::usage(stores.place.hub.pid()).unwrap().resident_bytes;
    let before = resident();
    let large = |after: i64| {
        let mut batch = chain(after, 50);
        batch.iter_mut().for_each(|event| event["args"] = json!("x".repeat(1000)));
        batch
    };
    let mut head = 0;
    for _ in 0..200 {
        assert_eq!(quick.push(&b(1), &large(head)), Outcome::Success(json!({})));
        head += 50;
    }
    // 11 MB were pushed: kept once they would show, and for each slow reader all the more.
    let grown = resident().saturating_sub(before);
    assert!(grown < 12 << 20, "the hub grew by {grown} bytes");
    let mut slow = slow.swap_remove(0);
    let lagging = || {
        let text = ferry_testkit::http::get(stores.address(), "/metrics").unwrap().text();
        text.lines().any(|line| line == "ferry_events_lagging_subscribers 8").then_some(())
    };
    wait::until("eight lagging subscribers", lagging);
    for _ in 0..8 {
        slow.ack(&a(1));
    }
    let mut seen = 0;
    while seen < 10_000 {
        let page = slow.page(&a(1));
        assert_eq!(page.numbers().first(), Some(&(seen + 1)), "no gap, no repeat");
        seen += page.events.len() as i64;
    }
}

// Verifies: EVT-32
#[test]
fn a_consumer_that_takes_nothing_is_closed_and_misses_nothing() {
    let stores = Stores::with("--events-ack-timeout-seconds=3");
    let mut socket = stores.open("app");
    socket.set_read_timeout(Duration::from_secs(90));
    socket.pull(&a(1), true, None);
    socket.unacked_page(&a(1));
    let mut pusher = stores.open("app");
    let (took, code) = wait::timed(|| {
        for head in 0..20 {
            assert_eq!(pusher.push(&a(1), &[event(head + 1, head)]), Outcome::Success(json!({})));
        }
        socket.closed()
    });
    assert_eq!(code, 4420);
    assert!(took >= Duration::from_secs(2), "closed after {took:?}");
    let mut again = stores.open("app");
    again.pull(&a(1), true, None);
    assert_eq!(again.history(&a(1)).iter().flat_map(Page::numbers).count(), 20);
}

// Verifies: EVT-32
#[test]
fn a_socket_that_takes_no_bytes_is_closed() {
    let stores = Stores::with("--events-ack-timeout-seconds=2");
    let mut stuck = stores.open("app");
    stuck.pull(&a(1), true, None);
    stuck.page(&a(1));
    let mut pusher = stores.open("app");
    // Far more than the operating system buffers for a peer that does not read.
    let large = |seq: i64| {
        let mut made = event(seq, seq - 1);
        made["args"] = json!("x".repeat(800_000));
        made
    };
    for seq in 1..=16 {
        assert_eq!(pusher.push(&a(1), &[large(seq)]).code(), "success");
    }
    let closed = || {
        let text = ferry_testkit::http::get(stores.address(), "/metrics").unwrap().text();
        text.lines().any(|line| line == "ferry_events_closes_total{code=\"4420\"} 1").then_some(())
    };
    wait::until("the stuck socket to be closed", closed);
    assert_eq!(pusher.push(&a(2), &[event(17, 16)]).code(), "success");
}

// Verifies: EVT-39
#[test]
fn a_silent_peer_is_pinged_and_one_that_does_not_answer_is_dropped() {
    let stores = Stores::with("--events-ping-seconds=1");
    let mut alive = stores.open("app");
    let dead = stores.open("app");
    // Whoever reads answers the pings; after four of them a peer that does not answer would be closed.
    alive.set_read_timeout(Duration::from_millis(4500));
    assert_eq!(alive.next(), Said::Nothing);
    alive.send(&json!({"_tag": "Ping"}));
    assert_eq!(alive.frame(), json!({"_tag": "Pong"}));
    dead.set_read_timeout(Duration::from_secs(10));
    let mut dead = dead;
    wait::until("the dead one to be dropped", || matches!(dead.next(), Said::Lost(_)).then_some(()));
}

// Verifies: EVT-33
#[test]
fn a_connection_that_only_pings_is_closed() {
    let stores = Stores::new();
    let mut sleeper = stores.open("app");
    let mut quiet = stores.open("app");
    let mut subscribed = stores.open("app");
    subscribed.pull(&a(1), true, None);
    subscribed.page(&a(1));
    for _ in 0..2 {
        for socket in [&mut sleeper, &mut subscribed] {
            socket.send(&json!({"_tag": "Ping"}));
            assert_eq!(socket.frame(), json!({"_tag": "Pong"}));
        }
    }
    let (took, code) = wait::timed(|| sleeper.closed());
    assert_eq!(code, 4408);
    assert!(took <= Duration::from_secs(20), "closed after {took:?}");
    for socket in [&mut quiet, &mut subscribed] {
        socket.send(&json!({"_tag": "Ping"}));
        assert_eq!(socket.frame(), json!({"_tag": "Pong"}), "the others stay open");
    }
}

// Verifies: EVT-33
#[test]
fn a_client_that_does_not_pull_after_server_ahead_is_closed() {
    let stores = Stores::new();
    let mut other = stores.open("app");
    assert_eq!(other.push(&a(1), &chain(0, 3)).code(), "success");
    let mut deaf = stores.open("app");
    assert_eq!(deaf.push(&a(1), &chain(0, 1)).code(), "ServerAheadError");
    let mut hearing = stores.open("app");
    hearing.pull(&a(1), true, None);
    hearing.page(&a(1));
    assert_eq!(hearing.push(&a(2), &chain(0, 1)).code(), "ServerAheadError");
    let (took, code) = wait::timed(|| deaf.closed());
    assert_eq!(code, 4409);
    assert!(took >= Duration::from_secs(10), "closed after {took:?}");
    hearing.send(&json!({"_tag": "Ping"}));
    assert_eq!(hearing.frame(), json!({"_tag": "Pong"}));
}

// Verifies: EVT-55
#[test]
fn the_rate_of_a_client_holds_over_all_its_connections_to_a_store() {
    let options = crate::support::options().env("FERRY_RATE_LIMIT_SCALE", "1");
    let stores = Stores::of(options.arg("--events-client-rate=1/1h:2").start());
    for number in 1..=2 {
        assert_eq!(stores.open("app").push(&a(0), &[event(number, number - 1)]).code(), "success");
    }
    assert_eq!(stores.open("app").push(&a(0), &[event(3, 2)]).code(), "RATE_LIMITED");
    assert_eq!(stores.open("other").push(&a(0), &[event(1, 0)]).code(), "success");
    let mut of_another = event(3, 2);
    of_another["clientId"] = json!("client-b");
    assert_eq!(stores.open("app").push(&a(0), &[of_another]).code(), "success");
}

// Verifies: EVT-55
#[test]
fn over_the_rate_pushes_wait_and_then_are_told_to_come_later() {
    let stores = Stores::of(
        crate::support::options()
            .env("FERRY_RATE_LIMIT_SCALE", "1")
            .arg("--events-connection-rate=10/1s:20")
            .start(),
    );
    let mut live = stores.open("app");
    live.pull(&a(0), true, None);
    live.page(&a(0));
    let mut socket = stores.open("app");
    const PUSHES: i64 = 200;
    // Each is built on the one before, as if that were accepted.
    for number in 1..=PUSHES {
        socket.begin_push(&json!(number), &[event(number, number - 1)], None);
    }
    let (mut accepted, mut limited) = (0, 0);
    for number in 1..=PUSHES {
        let outcome = socket.exit_of(&json!(number));
        match outcome.code().as_str() {
            "success" => {
                assert_eq!(limited, 0, "an order that was broken");
                accepted += 1;
            }
            "RATE_LIMITED" => {
                let Outcome::Fail(error) = outcome else { panic!("a Fail") };
                assert!(error["payload"]["retryAfterMs"].as_u64().unwrap() > 5000, "{error}");
                limited += 1;
            }
            // What was built on a refused one.
            "CLIENT_AHEAD" => limited += 1,
            other => panic!("{other}"),
        }
        if limited > 0 {
            break;
        }
    }
    assert!(accepted >= 20, "{accepted}");
    let mut seen = 0;
    while seen < accepted {
        seen += live.page(&a(0)).events.len() as i64;
    }
}
