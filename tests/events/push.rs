//! Appending: concurrent pushes, refusals, sequence numbers, answers (events, scenarios 2 and 14).

use std::{sync::Barrier, thread};

use ferry_testkit::livestore::{Outcome, chain, event};
use serde_json::json;

use super::{Stores, a, b};

// Verifies: EVT-01
#[test]
fn of_racing_pushes_with_one_parent_exactly_one_wins() {
    const PUSHERS: usize = 8;
    let stores = Stores::new();
    let barrier = Barrier::new(PUSHERS);
    for round in 0..5_i64 {
        let outcomes: Vec<_> = thread::scope(|scope| {
            let pushes: Vec<_> = (0..PUSHERS)
                .map(|pusher| {
                    let (stores, barrier) = (&stores, &barrier);
                    scope.spawn(move || {
                        let mut socket = stores.open("race");
                        barrier.wait();
                        let id = if pusher % 2 == 0 { a(1) } else { b(1) };
                        socket.push(&id, &[event(round + 1, round)])
                    })
                })
                .collect();
            pushes.into_iter().map(|push| push.join().unwrap()).collect()
        });
        let won = outcomes.iter().filter(|outcome| **outcome == Outcome::Success(json!({}))).count();
        assert_eq!(won, 1, "{outcomes:?}");
        for outcome in outcomes.iter().filter(|outcome| outcome.code() != "success") {
            let expected = json!({
                "_tag": "ServerAheadError", "minimumExpectedNum": round + 1, "providedNum": round
            });
            assert_eq!(*outcome, Outcome::Fail(expected));
        }
    }
    let mut socket = stores.open("race");
    socket.pull(&a(2), false, None);
    assert_eq!(socket.page(&a(2)).numbers(), [1, 2, 3, 4, 5]);
}

// Verifies: EVT-02, EVT-03, EVT-06, EVT-12
#[test]
fn sequence_numbers_are_kept_and_the_pusher_gets_its_own_chunk_first() {
    let stores = Stores::new();
    let mut socket = stores.open("gaps");
    socket.pull(&a(1), true, None);
    assert_eq!(socket.page(&a(1)).numbers(), [0_i64; 0]);
    socket.begin_push(&a(2), &[event(100, 0), event(20_000, 100)], None);
    let page = socket.page(&a(1));
    assert_eq!((page.numbers(), page.remaining), (vec![100, 20_000], 0));
    let exit = socket.frame();
    assert_eq!(exit, json!({"_tag": "Exit", "requestId": "2", "exit": {"_tag": "Success", "value": {}}}));
    assert_eq!(socket.push(&b(3), &[]), Outcome::Success(json!({})));
    assert_eq!(socket.push(&b(4), &[event(100, 0), event(20_000, 100)]).code(), "ServerAheadError");
    assert_eq!(socket.push(&b(5), &[event(20_001, 20_000)]), Outcome::Success(json!({})));
}

// Verifies: EVT-38
#[test]
fn pushes_of_one_connection_are_handled_in_order() {
    const PUSHES: i64 = 300;
    let stores = Stores::new();
    let mut socket = stores.open("pipelined");
    for number in 1..=PUSHES {
        socket.begin_push(&json!(number), &[event(number, number - 1)], None);
    }
    for number in 1..=PUSHES {
        let exit = socket.frame();
        assert_eq!(exit["requestId"], json!(number), "{exit}");
        assert_eq!(exit["exit"]["_tag"], "Success", "{exit}");
    }
}

// Verifies: EVT-80
#[test]
fn names_that_look_alike_are_different_stores() {
    let stores = Stores::new();
    let long = "ü".repeat(128);
    let names = ["a-b", "a_b", "a.b", "A-b", "a-B", "a b", "a[1]\"%", &long];
    for (place, name) in names.iter().enumerate() {
        let outcome = stores.open(name).push(&a(1), &chain(0, place as i64 + 1));
        assert_eq!(outcome, Outcome::Success(json!({})), "{name}");
    }
    let stores = stores.restarted();
    let mut identities = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let mut socket = stores.open(name);
        socket.pull(&a(1), false, None);
        let page = socket.page(&a(1));
        assert_eq!(page.events.len(), place + 1, "{name}");
        identities.push(page.backend_id);
    }
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), names.len());
    assert!(identities.iter().all(|id| id.len() >= 21));
    let lane = &stores.place.user.database(&stores.place.database)["lanes"][0];
    assert_eq!((&lane["model"], &lane["items"]), (&json!("events"), &json!("36")), "{lane}");
}

// Verifies: EVT-05
#[test]
fn a_push_takes_one_seq_whatever_its_size() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.push(&a(1), &chain(0, 1));
    let before = stores.place.user.seq(&stores.place.database);
    socket.push(&a(2), &chain(1, 100));
    socket.push(&a(3), &chain(101, 1));
    socket.push(&a(4), &chain(0, 1));
    socket.push(&a(5), &[]);
    assert_eq!(stores.place.user.seq(&stores.place.database), before + 2);
}
