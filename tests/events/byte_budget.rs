//! Byte budgets of tokens (TOK-14) at the event endpoints.

use ferry_testkit::{
    http::{self, Response},
    livestore::{LiveSocket, Said, chain, outcome, path, pull_payload, push_payload, request},
    sse::{EventStream, Sent},
    token::attenuate,
};
use serde_json::{Value, json};

use super::{Stores, a, b};
use crate::support::{assert_spent, assert_v1_spent};

/// What is enough for a few small frames, and for no history.
const LITTLE: usize = 2_000;

fn budgeted(stores: &Stores, bytes: usize) -> String {
    attenuate(&stores.token, &[&format!("bpd={bytes}")])
}

fn open(stores: &Stores, token: &str) -> Result<LiveSocket, Response> {
    let bearer = format!("Bearer {token}");
    LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
}

/// The next upgrade is refused in this wire's own form.
#[track_caller]
fn assert_refused(stores: &Stores, token: &str) {
    let refused = open(stores, token).expect_err("the budget is spent");
    assert_spent(&refused);
    assert_eq!(refused.json()["error"]["code"], "BYTE_BUDGET");
}

/// Reads to the close; its code, and the bytes that came before it.
fn drain(socket: &mut LiveSocket) -> (u16, usize) {
    let mut bytes = 0;
    loop {
        match socket.next() {
            Said::Frame(frame) => bytes += frame.to_string().len(),
            Said::Closed(code) => return (code, bytes),
            other => panic!("{other:?} instead of a close"),
        }
    }
}

// Verifies: TOK-14
#[test]
fn a_socket_ends_where_the_budget_does_in_both_dialects() {
    let stores = Stores::new();
    let mut writer = stores.open("app");
    assert_eq!(writer.push(&a(1), &chain(0, 200)).code(), "success");
    for (count, id) in [a(7), b(7)].into_iter().enumerate() {
        // What the hub sends: no Chunk that is more than is left.
        let token = budgeted(&stores, LITTLE - count);
        let mut socket = open(&stores, &token).unwrap();
        socket.pull(&id, true, None);
        let (code, bytes) = drain(&mut socket);
        assert_eq!(code, 4403);
        assert!(bytes <= LITTLE, "{bytes}");
        assert_refused(&stores, &token);
    }
    // What the client sends: a frame that is more than is left changes nothing.
    let token = budgeted(&stores, LITTLE + 10);
    let mut socket = open(&stores, &token).unwrap();
    socket.begin_push(&a(1), &chain(200, 50), None);
    assert_eq!(drain(&mut socket), (4403, 0));
    assert_refused(&stores, &token);
    writer.pull(&a(9), false, None);
    assert_eq!(writer.history(&a(9)).iter().map(|page| page.events.len()).sum::<usize>(), 200);
}

// Verifies: TOK-14, EVT-07
#[test]
fn live_events_and_pings_count_and_what_was_committed_stays() {
    let stores = Stores::new();
    let token = budgeted(&stores, 3_000);
    let mut socket = open(&stores, &token).unwrap();
    socket.pull(&b(1), true, None);
    socket.page(&b(1));
    let mut pushed = 0;
    let code = loop {
        socket.begin_push(&b(2), &chain(pushed, 1), None);
        let ended = loop {
            match socket.next() {
                Said::Frame(frame) if frame["_tag"] == "Exit" => break None,
                Said::Frame(_) => {}
                Said::Closed(code) => break Some(code),
                other => panic!("{other:?}"),
            }
        };
        match ended {
            None => pushed += 1,
            Some(code) => break code,
        }
    };
    assert_eq!(code, 4403);
    assert!((2..20).contains(&pushed), "{pushed}");
    // The last one may be committed though its answer no longer fit; none is torn.
    let mut reader = stores.open("app");
    reader.pull(&a(1), false, None);
    let kept: usize = reader.history(&a(1)).iter().map(|page| page.events.len()).sum();
    assert!((pushed..=pushed + 1).contains(&i64::try_from(kept).unwrap()), "{kept} of {pushed}");

    // In fail mode too: a Pull that fails would not begin again at midnight, a closed socket does.
    let failing = Stores::with("--events-auth-refusal=fail");
    drop(failing.open("app"));
    let token = budgeted(&failing, 20);
    let mut socket = open(&failing, &token).unwrap();
    socket.send(&json!({"_tag": "Ping"}));
    assert_eq!(socket.closed(), 4403);
    assert_spent(&open(&failing, &token).unwrap_err());
}

fn post(stores: &Stores, token: &str, body: &Value) -> std::io::Result<Response> {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    http::send(stores.address(), "POST", &path("app", "http"), &headers, body.to_string().as_bytes())
}

fn pull(id: &Value) -> Value {
    request(id, "SyncHttpRpc.Pull", &pull_payload("app", false, None))
}

fn assert_call_spent(answer: &Response) {
    assert_spent(answer);
    assert_eq!(outcome(&answer.json()[0]).code(), "BYTE_BUDGET");
}

// Verifies: TOK-14, EVT-27
#[test]
fn calls_over_http_are_charged_in_both_directions() {
    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 250)).code(), "success");
    let whole = post(&stores, &stores.token, &pull(&a(1))).unwrap();
    let bytes = pull(&a(1)).to_string().len() + whole.body.len();

    // Exactly enough, and then not a byte more.
    let enough = budgeted(&stores, bytes);
    assert_eq!(post(&stores, &enough, &pull(&a(1))).unwrap().body, whole.body);
    let ping = request(&b(2), "SyncHttpRpc.Ping", &json!({"storeId": "app"}));
    let refused = post(&stores, &enough, &ping);
    assert_call_spent(&refused.unwrap());

    // Not enough for the first page: refused. Enough for it and not for the next: broken off, so that nobody takes a part
    // for the whole.
    let little = budgeted(&stores, LITTLE);
    assert_call_spent(&post(&stores, &little, &pull(&b(1))).unwrap());
    assert_call_spent(&post(&stores, &little, &pull(&b(1))).unwrap());
    let half = budgeted(&stores, bytes / 2);
    let cut = post(&stores, &half, &pull(&a(1)));
    assert!(cut.is_err(), "{:?}", cut.map(|answer| answer.status));
    assert_call_spent(&post(&stores, &half, &pull(&a(1))).unwrap());

    // A push that is larger than the budget is not made.
    let small = budgeted(&stores, LITTLE + 1);
    let push = request(&a(3), "SyncHttpRpc.Push", &push_payload("app", &chain(250, 50), None));
    assert_call_spent(&post(&stores, &small, &push).unwrap());
    let mut reader = stores.open("app");
    assert_eq!(reader.push(&a(1), &chain(250, 1)).code(), "success", "the head is where it was");
}

fn v1(stores: &Stores, token: &str, method: &str, rest: &str, body: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let path = format!("/v1/databases/-/events{rest}");
    http::send(stores.address(), method, &path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
}

// Verifies: TOK-14, EVT-70
#[test]
fn calls_under_v1_are_charged_and_a_write_that_fits_is_answered() {
    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 100)).code(), "success");
    let page = v1(&stores, &stores.token, "GET", "", "");
    let enough = budgeted(&stores, page.body.len());
    assert_eq!(v1(&stores, &enough, "GET", "", "").body, page.body);
    assert_v1_spent(&v1(&stores, &enough, "GET", "", ""));
    assert_v1_spent(&v1(&stores, &budgeted(&stores, page.body.len() - 1), "GET", "", ""));

    // An append whose body fits is answered, even if the answer does not fit: a retry would append twice.
    let append =
        json!({"clientId": "billing", "sessionId": "job-1", "events": [{"name": "v1.Paid"}]}).to_string();
    let token = budgeted(&stores, append.len());
    let answer = v1(&stores, &token, "POST", "", &append);
    assert_eq!((answer.status, &answer.json()["lastSeqNum"]), (201, &json!(101)));
    assert_v1_spent(&v1(&stores, &token, "POST", "", &append));
    let token = budgeted(&stores, append.len() - 1);
    assert_v1_spent(&v1(&stores, &token, "POST", "", &append));
    assert_eq!(v1(&stores, &stores.token, "GET", "?after=100", "").json()["head"], 101);
}

// Verifies: TOK-14, EVT-46
#[test]
fn whole_logs_count_as_they_come_and_go() {
    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 100)).code(), "success");
    let admin = super::token(&stores.place, &["admin"]);
    let budgeted = |bytes: usize| attenuate(&admin, &[&format!("bpd={bytes}")]);
    let export = v1(&stores, &admin, "GET", "/stores/app/export", "");
    assert_eq!(export.status, 200, "{}", export.text());
    let (bytes, lines) = (export.body.len(), export.text());
    let enough = budgeted(bytes);
    assert_eq!(v1(&stores, &enough, "GET", "/stores/app/export", "").body, export.body);
    assert_v1_spent(&v1(&stores, &enough, "GET", "/stores", ""));
    assert_v1_spent(&v1(&stores, &budgeted(bytes - 1), "GET", "/stores/app/export", ""));

    // An import that is more than is left leaves nothing behind; one that fits is made, and answered.
    let import = "/stores/copy/import?backendId=mint";
    assert_v1_spent(&v1(&stores, &budgeted(bytes - 2), "POST", import, &lines));
    assert_eq!(v1(&stores, &admin, "GET", "/stores/copy", "").status, 404);
    let fits = attenuate(&budgeted(10 * bytes), &[&format!("bpd={bytes}")]);
    let answer = v1(&stores, &fits, "POST", import, &lines);
    assert_eq!((answer.status, &answer.json()["count"]), (200, &json!(100)));
    assert_v1_spent(&v1(&stores, &fits, "GET", "/stores", ""));
}

// Verifies: TOK-14, EVT-71
#[test]
fn a_stream_over_budget_ends_with_a_bye() {
    let stores = Stores::new();
    let mut writer = stores.open("app");
    assert_eq!(writer.push(&a(1), &chain(0, 3)).code(), "success");
    let token = budgeted(&stores, LITTLE);
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let open = || EventStream::open(stores.address(), "/v1/databases/-/events/live", &headers);
    let mut stream = open().unwrap();
    stream.events(3);
    assert_eq!(writer.push(&a(2), &chain(3, 20)).code(), "success");
    assert_eq!(stream.expect("bye").1, json!({"reason": "byte_budget"}));
    assert_eq!(stream.next(), Sent::End);
    assert_v1_spent(&open().map(|_| ()).unwrap_err());
}
