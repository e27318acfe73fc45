//! Every row of the table of bad input (events, section 5 and scenario 8): after each of them a good push works on the
//! same socket, where the connection lives on.

use ferry_testkit::livestore::{LiveSocket, Outcome, Said, chain, event, push_payload, request};
use serde_json::{Value, json};

use super::{Stores, a, b};

fn with(key: &str, value: Value) -> Value {
    let mut made = event(1, 0);
    made[key] = value;
    made
}

// Verifies: EVT-03, EVT-04, EVT-09, EVT-35, EVT-36, EVT-41
#[test]
fn bad_pushes_change_nothing_and_disturb_no_other_client() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &chain(0, 2)).code(), "success");
    let without = |key: &str| {
        let mut made = event(3, 2);
        made.as_object_mut().unwrap().remove(key);
        made
    };
    let deep: Value = {
        let text = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(
        socket
            .push(
                &a(1),
                &[{
                    let mut made = event(3, 2);
                    made["args"] = deep;
                    made
                }]
            )
            .code(),
        "success"
    );
    let cases: Vec<(Vec<Value>, &str)> = vec![
        (vec![event(5, 3), event(4, 77)], "INVALID_BATCH"),
        (vec![event(4, 3), event(6, 4), event(7, 5)], "INVALID_BATCH"),
        (vec![event(3, 3)], "INVALID_BATCH"),
        (vec![event(4, -1)], "INVALID_BATCH"),
        (vec![event(1 << 53, 3)], "INVALID_BATCH"),
        (chain(3, 1001), "INVALID_BATCH"),
        (vec![with("name", json!("x".repeat(513)))], "INVALID_BATCH"),
        (vec![with("name", json!(""))], "INVALID_BATCH"),
        (vec![with("clientId", json!("ferry-hub"))], "INVALID_BATCH"),
        (vec![with("clientId", json!("x".repeat(257)))], "INVALID_BATCH"),
        (vec![event(2, 1)], "ServerAheadError"),
        (vec![event(10, 9)], "CLIENT_AHEAD"),
        (vec![with("seqNum", json!("4"))], "die"),
        (vec![with("seqNum", json!(4.5))], "die"),
        (vec![with("name", json!(5))], "die"),
        (vec![without("clientId")], "die"),
        (vec![json!(7)], "die"),
    ];
    for (batch, expected) in cases {
        for id in [a(2), b(2)] {
            let outcome = socket.push(&id, &batch);
            assert_eq!(outcome.code(), expected, "{outcome:?}");
        }
    }
    wrong_identities_and_stores(&mut socket);
    for (tag, payload) in [
        ("SyncWsRpc.Push", json!({"storeId": "app", "backendId": {"_tag": "None"}})),
        ("SyncWsRpc.Pull", json!({"storeId": "app", "live": "yes", "cursor": {"_tag": "None"}})),
        ("SyncWsRpc.Pull", json!(null)),
        ("SyncHttpRpc.Ping", json!({"storeId": "app"})),
        ("SyncWsRpc.Destroy", json!({"storeId": "app"})),
    ] {
        socket.send(&request(&b(5), tag, &payload));
        assert_eq!(socket.exit_of(&b(5)).code(), "die", "{tag} {payload}");
    }
    assert_eq!(socket.push(&a(6), &[event(4, 3)]), Outcome::Success(json!({})), "after all that");
    socket.pull(&a(7), false, None);
    assert_eq!(socket.page(&a(7)).numbers(), [1, 2, 3, 4]);
}

fn wrong_identities_and_stores(socket: &mut LiveSocket) {
    let mismatch = {
        socket.begin_push(&a(3), &[event(4, 3)], Some("WRONG"));
        socket.exit_of(&a(3))
    };
    assert_eq!(mismatch.code(), "BackendIdMismatchError");
    let Outcome::Fail(error) = mismatch else { panic!("a Fail") };
    assert_eq!(error["received"], "WRONG");
    let other = push_payload("other", &[event(4, 3)], None);
    socket.send(&request(&a(4), "SyncWsRpc.Push", &other));
    assert_eq!(socket.exit_of(&a(4)).code(), "STORE_MISMATCH");
}

// Verifies: EVT-36
#[test]
fn unknown_frames_are_ignored_and_malformed_ones_are_defects() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    for ignored in [
        json!({"_tag": "Ack", "requestId": "77"}),
        json!({"_tag": "Interrupt", "requestId": 77}),
        json!({"_tag": "Eof"}),
        json!({"_tag": "FromLater", "x": {"y": []}}),
    ] {
        socket.send(&ignored);
    }
    socket.send_bytes(br#"{"_tag":"Ping"}"#);
    assert_eq!(socket.frame(), json!({"_tag": "Pong"}), "JSON in a binary frame is accepted");
    let bad = ["{", "[]", "5", "{\"_tag\":1}", "{\"_tag\":\"Request\",\"id\":{}}"];
    for text in bad {
        socket.send_text(text);
        assert_eq!(socket.frame()["_tag"], "Defect", "{text}");
    }
    socket.send_bytes(b"\xff\xfe");
    assert_eq!(socket.frame()["_tag"], "Defect");
    assert_eq!(socket.push(&a(1), &chain(0, 1)).code(), "success");
    for _ in 0..3 {
        socket.send_text("{");
        assert_eq!(socket.frame()["_tag"], "Defect");
    }
    socket.send_text("the tenth");
    assert_eq!(socket.next(), Said::Closed(4400));
}

// Verifies: EVT-36
#[test]
fn frames_too_large_and_clients_too_old() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.send_text(&format!("{{\"_tag\":\"{}\"}}", "x".repeat(1 << 20)));
    assert_eq!(socket.closed(), 1009);
    let mut old = stores.open("app");
    old.send(&json!({"_tag": "WSMessage.PullReq", "requestId": "r", "cursor": 0}));
    assert_eq!(old.closed(), 4426);
}
