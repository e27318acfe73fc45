//! The HTTP transport (events, 2.6, EVT-27).

use ferry_testkit::{
    http,
    livestore::{Outcome, Page, chain, event, outcome, path, pull_payload, push_payload, request},
};
use serde_json::{Value, json};

use super::{Stores, a, b};

fn pull(id: &Value, cursor: Option<(&str, i64)>) -> Value {
    let mut payload = pull_payload("app", false, cursor);
    payload.as_object_mut().unwrap().remove("live");
    request(id, "SyncHttpRpc.Pull", &payload)
}

fn push(id: &Value, batch: &[Value]) -> Value {
    request(id, "SyncHttpRpc.Push", &push_payload("app", batch, None))
}

fn frames(response: &http::Response) -> Vec<Value> {
    assert_eq!(response.header("content-type"), Some("application/json"));
    response.json().as_array().unwrap_or_else(|| panic!("no array: {}", response.text())).clone()
}

// Verifies: EVT-27
#[test]
fn calls_over_http_are_answered_by_arrays() {
    let stores = Stores::new();
    for id in [a(0), b(0)] {
        let ping = stores.post("app", &request(&id, "SyncHttpRpc.Ping", &json!({"storeId": "app"})));
        assert_eq!(ping.status, 200);
        let pong = Outcome::Success(json!({"_tag": "SyncMessage.Pong"}));
        assert_eq!(outcome(&frames(&ping)[0]), pong);
    }
    let pushed = stores.post("app", &push(&a(1), &chain(0, 2)));
    assert_eq!(
        frames(&pushed),
        [json!({"_tag": "Exit", "requestId": "1", "exit": {"_tag": "Success", "value": {}}})]
    );
    let stale = stores.post("app", &push(&b(3), &[event(1, 0)]));
    assert_eq!(stale.status, 200, "an outcome of the protocol");
    assert_eq!(outcome(&frames(&stale)[0]).code(), "ServerAheadError");
    let pulled = frames(&stores.post("app", &pull(&b(4), None)));
    assert_eq!(pulled.len(), 2);
    let page = Page::of(&pulled[0]["values"][0]);
    assert_eq!((page.numbers(), page.remaining), (vec![1, 2], 0));
    assert_eq!(outcome(&pulled[1]), Outcome::Success(Value::Null));
    let nothing = frames(&stores.post("app", &pull(&a(5), Some((&page.backend_id, 2)))));
    assert_eq!(Page::of(&nothing[0]["values"][0]).events.len(), 0);
    assert_eq!(nothing[1], json!({"_tag": "Exit", "requestId": "5", "exit": {"_tag": "Success"}}));
    let ahead = stores.post("app", &pull(&a(6), Some((&page.backend_id, 9))));
    assert_eq!((ahead.status, outcome(&frames(&ahead)[0]).code().as_str()), (200, "CURSOR_AHEAD"));
    let both = frames(&stores.post("app", &json!([push(&a(7), &[event(3, 2)]), pull(&b(8), None)])));
    assert_eq!(both.len(), 3);
    assert_eq!(Page::of(&both[1]["values"][0]).numbers(), [1, 2, 3]);
}

// Verifies: EVT-27
#[test]
fn long_pulls_are_streamed_page_by_page_and_may_be_compressed() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    for head in (0..20_000).step_by(1000) {
        assert_eq!(socket.push(&a(1), &chain(head, 1000)).code(), "success");
    }
    let all = frames(&stores.post("app", &pull(&a(2), None)));
    let (exit, chunks) = all.split_last().unwrap();
    assert_eq!(outcome(exit), Outcome::Success(Value::Null));
    let mut seen = Vec::new();
    for chunk in chunks {
        let page = Page::of(&chunk["values"][0]);
        assert!(page.events.len() <= 100);
        seen.extend(page.numbers());
        assert_eq!(page.remaining, 20_000 - seen.len() as u64);
    }
    assert_eq!(seen, (1..=20_000).collect::<Vec<_>>());
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str()), ("Accept-Encoding", "gzip")];
    let body = pull(&a(3), None).to_string();
    let packed =
        http::send(stores.address(), "POST", &path("app", "http"), &headers, body.as_bytes()).unwrap();
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 1_000_000, "{} bytes", packed.body.len());
}

// Verifies: EVT-35, EVT-36
#[test]
fn bad_bodies_are_answered_by_arrays_too() {
    let stores = Stores::new();
    let bearer = format!("Bearer {}", stores.token);
    let send = |path: &str, body: &[u8]| {
        http::send(stores.address(), "POST", path, &[("Authorization", &bearer)], body).unwrap()
    };
    let at = path("app", "http");
    for bad in ["{", "5", "", "[5", "{\"_tag\":\"Request\"}", "\u{0}"] {
        let answer = send(&at, bad.as_bytes());
        assert_eq!(answer.status, 400, "{bad:?}: {}", answer.text());
        assert_eq!(frames(&answer)[0]["_tag"], "Defect", "{bad:?}");
    }
    assert_eq!(send(&at, b"\xff\xfe").status, 400);
    let large = send(&at, &vec![b' '; (1 << 20) + 1]);
    assert_eq!(large.status, 413);
    assert_eq!(frames(&large)[0]["_tag"], "Defect");
    let mismatch = request(&a(1), "SyncHttpRpc.Pull", &pull_payload("other", false, None));
    assert_eq!(outcome(&frames(&stores.post("app", &mismatch))[0]).code(), "STORE_MISMATCH");
    let unknown = request(&b(1), "SyncWsRpc.Pull", &pull_payload("app", true, None));
    let answer = stores.post("app", &unknown);
    assert_eq!((answer.status, outcome(&frames(&answer)[0]).code().as_str()), (200, "die"));
    assert_eq!(send("/?storeId=app", b"{}").status, 400);
    assert_eq!(send("/?storeId=app&transport=ws", b"{}").status, 405);
}
