//! Byte budgets of tokens (TOK-14) at the record endpoints.

use ferry_testkit::{
    http::Response,
    records::{EventStream, NewsSocket, Said},
    token::attenuate,
};
use serde_json::{Value, json};

use super::{Records, insert};
use crate::support::{assert_spent, assert_v1_spent};

const PULL: &str = "/sync/todo/pull?collection=tasks&since=";

fn budgeted(records: &Records, bytes: usize) -> String {
    attenuate(&records.token, &[&format!("bpd={bytes}")])
}

fn tasks(from: usize, count: usize) -> Value {
    (from..from + count).map(|n| insert("tasks", &format!("t{n}"), "a title of some length")).collect()
}

fn push_body(changes: &Value) -> String {
    json!({"clientId": "c", "changes": changes}).to_string()
}

fn titles(records: &Records) -> usize {
    records.v1("GET", "/todo/tasks?limit=1000", "").json()["records"].as_array().unwrap().len()
}

// Verifies: TOK-14
#[test]
fn pushes_and_pulls_are_charged_in_both_directions() {
    let records = Records::new();
    records.push("maker", "", &tasks(0, 50));
    let whole = records.call("GET", PULL, "", "");
    let enough = budgeted(&records, whole.body.len());
    assert_eq!(records.call_as(&enough, "GET", PULL, "", "").body, whole.body);
    let spent = records.call_as(&enough, "GET", PULL, "", "");
    assert_spent(&spent);
    assert_eq!(spent.header("content-type"), Some("text/plain; charset=utf-8"), "this wire's own form");
    let less = budgeted(&records, whole.body.len() - 1);
    for _ in 0..2 {
        assert_spent(&records.call_as(&less, "GET", PULL, "", ""));
    }

    // A body that is more than is left is not even applied.
    let body = push_body(&tasks(50, 20));
    let small = budgeted(&records, body.len() - 1);
    assert_spent(&records.call_as(&small, "POST", "/sync/todo", "", &body));
    assert_eq!(titles(&records), 50);
    // One that fits is applied; if the answer does not fit, a retry brings it.
    let fits = budgeted(&records, body.len());
    assert_spent(&records.call_as(&fits, "POST", "/sync/todo", "", &body));
    assert_eq!(titles(&records), 70);
    assert_eq!(records.call("POST", "/sync/todo", "", &body).status, 200);
    assert_eq!(titles(&records), 70);
}

// Verifies: TOK-14, TOK-09
#[test]
fn compressed_bodies_count_as_what_they_hold() {
    let records = Records::new();
    let body = push_body(&tasks(0, 200));
    let packed = ferry_testkit::http::gzip(body.as_bytes());
    assert!(packed.len() < body.len() / 4);
    let send = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Encoding", "gzip")];
        ferry_testkit::http::send(records.address(), "POST", "/sync/todo", &headers, &packed).unwrap()
    };
    assert_spent(&send(&budgeted(&records, body.len() - 1)));
    assert_eq!(titles(&records), 0);
    assert_eq!(send(&budgeted(&records, 20 * body.len())).status, 200);
}

// Verifies: TOK-14, REC-31
#[test]
fn at_the_budget_a_stream_ends_with_a_bye_and_a_socket_is_closed() {
    for path in ["/sync/todo/stream", "/v1/databases/-/records/changes/stream"] {
        let records = Records::new();
        records.push("maker", "", &tasks(0, 2));
        let token = budgeted(&records, 2_000);
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let open = || EventStream::open(records.address(), path, &headers);
        let mut stream = open().unwrap();
        assert_eq!(stream.event().expect("the state").name, "changes");
        records.push("maker", "", &tasks(100, 20));
        let bye = stream.event().expect("a word before the end");
        assert_eq!((bye.name.as_str(), bye.data), ("bye", json!({"reason": "byte_budget"})), "{path}");
        assert_eq!(stream.event(), None);
        assert_spent(&open().unwrap_err());
    }
    let records = Records::new();
    let token = budgeted(&records, 1_000);
    let auth = json!({"type": "auth", "token": token});
    assert!(auth.to_string().len() < 900, "{}", auth.to_string().len());
    let mut socket = NewsSocket::open(records.address(), "/ws", &[]);
    socket.send(&auth);
    assert_eq!(socket.said(), Said::Message(json!({"type": "auth-ok"})));
    let code = (0..100).find_map(|_| {
        socket.send(&json!({"type": "ping"}));
        match socket.said() {
            Said::Message(_) => None,
            Said::Closed(code) => Some(code),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(code, Some(1008));
    let mut late = NewsSocket::open(records.address(), "/ws/todo", &[]);
    late.send(&auth);
    assert_eq!(late.said(), Said::Closed(1008));
}

fn v1(records: &Records, token: &str, method: &str, rest: &str, body: &str) -> Response {
    records.call_as(token, method, &format!("/v1/databases/-/records{rest}"), "v1", body)
}

// Verifies: TOK-14
#[test]
fn calls_under_v1_are_charged_and_a_write_that_fits_is_answered() {
    let records = Records::new();
    records.push("maker", "", &tasks(0, 20));
    for rest in ["/todo/tasks", "/todo/tasks/t1", "/export", "/devices", "/conflicts"] {
        let whole = records.v1("GET", rest, "");
        assert_eq!(whole.status, 200, "{}", whole.text());
        // A budget of its own for each path.
        let bytes = whole.body.len();
        let token = attenuate(&budgeted(&records, 1_000_000 + rest.len()), &[&format!("bpd={bytes}")]);
        assert_eq!(v1(&records, &token, "GET", rest, "").body, whole.body, "{rest}");
        assert_v1_spent(&v1(&records, &token, "GET", rest, ""));
    }
    // A write whose body fits is answered, even if the answer does not fit.
    let body = json!({"title": "another"}).to_string();
    let token = budgeted(&records, body.len());
    let answer = v1(&records, &token, "PATCH", "/todo/tasks/t1", &body);
    assert_eq!((answer.status, &answer.json()["data"]["title"]), (200, &json!("another")));
    assert_v1_spent(&v1(&records, &token, "DELETE", "/todo/tasks/t1", ""));
    let short = budgeted(&records, body.len() - 1);
    assert_v1_spent(&v1(&records, &short, "PUT", "/todo/tasks/t1", &body));
    assert_eq!(records.v1("GET", "/todo/tasks/t1", "").json()["data"]["title"], "another");
}
