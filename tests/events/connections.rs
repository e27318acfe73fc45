//! Connections: limits, closing, and the hub's shutdown.

use std::time::Duration;

use ferry_testkit::{
    livestore::{Outcome, chain, event},
    wait,
};
use serde_json::json;

use super::{Stores, a, b};

// Verifies: EVT-25, EVT-41
#[test]
fn a_cursor_ahead_of_the_hub_never_wipes_the_client() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, None);
    let id = socket.page(&a(1)).backend_id;
    socket.push(&a(2), &chain(0, 3));
    let mut ahead = stores.open("app");
    ahead.pull(&a(1), true, Some((&id, 4)));
    assert_eq!(ahead.closed(), 4409);
    let mut other = stores.open("app");
    other.pull(&a(1), true, Some(("another-identity", 4)));
    let outcome = other.exit_of(&a(1));
    assert_eq!(outcome.code(), "BackendIdMismatchError");
    let expected = json!({"_tag": "BackendIdMismatchError", "expected": id, "received": "another-identity"});
    assert_eq!(outcome, Outcome::Fail(expected));
    let text = ferry_testkit::http::get(stores.address(), "/metrics").unwrap().text();
    assert!(text.contains("ferry_events_cursor_ahead_total 1"), "counted");
}

#[test]
fn the_33rd_pull_of_a_connection_is_refused_alone() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    for id in 0..32 {
        socket.pull(&b(id), true, None);
        socket.page(&b(id));
    }
    socket.pull(&b(32), true, None);
    assert_eq!(socket.exit_of(&b(32)).code(), "RATE_LIMITED");
    socket.begin_push(&a(1), &chain(0, 1), None);
    for _ in 0..32 {
        assert_eq!(socket.frame()["_tag"], "Chunk");
    }
    assert_eq!(socket.exit_of(&a(1)).code(), "success");
    socket.send(&json!({"_tag": "Interrupt", "requestId": 5}));
    socket.pull(&b(33), true, None);
    assert_eq!(socket.page(&b(33)).numbers(), [1]);
}

#[test]
fn a_store_takes_so_many_connections_and_says_when_to_come_again() {
    let stores = Stores::with("--events-connections-per-store=2");
    let (one, _two) = (stores.open("app"), stores.open("app"));
    let open = || {
        let bearer = format!("Bearer {}", stores.token);
        let path = ferry_testkit::livestore::path("app", "ws");
        ferry_testkit::livestore::LiveSocket::open(
            stores.address(),
            &path,
            "app",
            &[("Authorization", &bearer)],
        )
    };
    let refused = open().unwrap_err();
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    drop(stores.open("another store is another matter"));
    drop(one);
    wait::until("a free place", || open().ok());
}

// Verifies: EVT-37
#[test]
fn a_stopping_hub_finishes_pushes_and_closes_sockets_with_1012() {
    let mut stores = Stores::new();
    let mut sockets: Vec<_> = (0..10).map(|_| stores.open("app")).collect();
    for socket in &mut sockets {
        socket.pull(&a(1), true, None);
        socket.page(&a(1));
    }
    let mut pusher = stores.open("app");
    assert_eq!(pusher.push(&a(1), &chain(0, 5)).code(), "success");
    stores.place.hub.begin_stop();
    for socket in &mut sockets {
        assert_eq!(socket.page(&a(1)).events.len(), 5, "committed chunks still arrive");
        assert_eq!(socket.closed(), 1012);
    }
    assert_eq!(pusher.closed(), 1012);
    let (took, status) = wait::timed(|| stores.place.hub.ended());
    assert!(status.success());
    assert!(took < Duration::from_secs(8), "the hub ended after {took:?}");
    let stores = stores.restarted();
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &[event(6, 5)]).code(), "success");
}

// Verifies: EVT-30
#[test]
fn a_ping_is_answered_while_a_commit_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let stores = Stores::new();
    drop(stores.open("app"));
    let place = stores
        .place
        .restarted_with(|options| options.fault(format!("events.append=wait:{}", gate.display())));
    let stores = Stores { place, token: stores.token };
    let mut socket = stores.open("app");
    socket.begin_push(&a(1), &chain(0, 1), None);
    wait::until("the commit to be held", || gate.exists().then_some(()));
    socket.send(&json!({"_tag": "Ping"}));
    let (took, pong) = wait::timed(|| socket.frame());
    assert_eq!(pong, json!({"_tag": "Pong"}));
    assert!(took < wait::PROMPT, "after {took:?}");
    // Giving the push up now changes nothing any more (EVT-07).
    socket.send(&json!({"_tag": "Interrupt", "requestId": "1"}));
    std::fs::remove_file(&gate).unwrap();
    let mut other = stores.open("app");
    other.pull(&a(1), true, None);
    wait::until("the event", || (!other.page(&a(1)).events.is_empty()).then_some(()));
}

// Verifies: EVT-07
#[test]
fn a_disconnect_from_the_commit_on_undoes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let stores = Stores::new();
    drop(stores.open("app"));
    let place = stores
        .place
        .restarted_with(|options| options.fault(format!("events.append=wait:{}", gate.display())));
    let stores = Stores { place, token: stores.token };
    let mut live = stores.open("app");
    live.pull(&a(1), true, None);
    live.page(&a(1));
    let mut socket = stores.open("app");
    socket.begin_push(&a(1), &chain(0, 3), None);
    wait::until("the commit to be held", || gate.exists().then_some(()));
    socket.cut();
    std::fs::remove_file(&gate).unwrap();
    assert_eq!(live.page(&a(1)).numbers(), [1, 2, 3], "published all the same");
}

// Verifies: EVT-50
#[test]
fn deleting_the_database_closes_its_sockets() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, None);
    socket.page(&a(1));
    let delete = json!({"databaseId": stores.place.database});
    stores.place.user.ferry("DeleteDatabase", &delete).unwrap();
    assert_eq!(socket.closed(), 4404);
}
