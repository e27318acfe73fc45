//! The log over plain HTTP: pages, appends, keys (events, 2.9).

use std::{sync::Barrier, thread};

use ferry_testkit::{
    http::{self, Response},
    livestore::{chain, numbers},
    wait,
};
use serde_json::{Value, json};

use super::{Stores, a, token};

/// The path of the events of the place's database.
pub(super) fn events(stores: &Stores) -> String {
    format!("/v1/databases/{}/events", stores.place.database)
}

/// A request with a bearer.
pub(super) fn call(
    stores: &Stores,
    bearer: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let bearer = format!("Bearer {bearer}");
    let mut all = vec![("Authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    http::send(stores.address(), method, path, &all, body).unwrap()
}

pub(super) fn get(stores: &Stores, query: &str) -> Response {
    call(stores, &stores.token, "GET", &format!("{}?{query}", events(stores)), &[], &[])
}

pub(super) fn append(stores: &Stores, body: &Value) -> Response {
    append_with(stores, body, &[])
}

fn append_with(stores: &Stores, body: &Value, headers: &[(&str, &str)]) -> Response {
    call(stores, &stores.token, "POST", &events(stores), headers, body.to_string().as_bytes())
}

/// Code of a refusal, checked against its status.
#[track_caller]
pub(super) fn refused(response: &Response, status: u16, code: &str) -> Value {
    let error = response.json()["error"].clone();
    assert_eq!((response.status, error["code"].as_str()), (status, Some(code)), "{error}");
    assert_eq!(error["request_id"].as_str(), response.header("x-request-id"));
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    error
}

pub(super) fn body(parent: impl Into<Value>, names: &[&str]) -> Value {
    let events: Vec<Value> = names.iter().map(|name| json!({"name": name, "args": {"id": "9"}})).collect();
    let parent: Value = parent.into();
    json!({"store": "app", "parentSeqNum": parent, "clientId": "billing", "sessionId": "job-1", "events": events})
}

fn seq(response: &Response) -> u64 {
    response.header("ferry-seq").expect("Ferry-Seq").parse().unwrap()
}

// Verifies: EVT-70
#[test]
fn a_trailing_slash_of_a_path_is_ignored() {
    let stores = Stores::new();
    stores.open("app").push(&a(1), &chain(0, 1));
    for path in [events(&stores), format!("{}/stores", events(&stores))] {
        let status = |path: &str| call(&stores, &stores.token, "GET", path, &[], &[]).status;
        assert_eq!(status(&path), status(&format!("{path}/")), "{path}");
    }
    assert_eq!(call(&stores, &stores.token, "GET", &format!("{}/", events(&stores)), &[], &[]).status, 200);
}

// Verifies: EVT-70
#[test]
fn a_compressed_append_is_told_that_none_are_taken() {
    let stores = Stores::new();
    let whole = body(0, &["v1.TodoCreated"]);
    let response = append_with(&stores, &whole, &[("Content-Encoding", "gzip")]);
    let error = response.json()["error"].clone();
    assert_eq!((response.status, &error["reason"]), (415, &json!("ENCODING_NOT_TAKEN")), "{error}");
    assert!(error["message"].as_str().unwrap().starts_with("Content-Encoding: "), "{error}");
    assert_eq!(append_with(&stores, &whole, &[("Content-Encoding", "identity")]).status, 201);
}

// Verifies: EVT-70
#[test]
fn pages_show_the_log_and_tell_when_nothing_is_new() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &chain(0, 150)).code(), "success");
    assert_eq!(socket.push(&a(2), &chain(150, 1)).code(), "success");
    let first = get(&stores, "store=app");
    let page = first.json();
    assert_eq!((first.status, seq(&first)), (200, page["events"][0]["seq"].as_u64().unwrap() + 1));
    assert_eq!((&page["head"], &page["next"], &page["hasMore"]), (&json!(151), &json!(100), &json!(true)));
    assert_eq!((&page["store"], &page["base"]), (&json!("app"), &json!(0)));
    let event = &page["events"][0];
    assert_eq!(event["args"], json!({"id": "t1", "text": "hello world"}));
    assert_eq!((&event["clientId"], &event["parentSeqNum"]), (&json!("client-a"), &json!(0)));
    assert!(event["createdAt"].as_str().unwrap().ends_with('Z'));
    let rest = get(&stores, "after=100&limit=1000").json();
    assert_eq!(numbers(rest["events"].as_array().unwrap()), (101..=151).collect::<Vec<i64>>());
    assert_eq!((&rest["next"], &rest["hasMore"]), (&json!(151), &json!(false)));
    let none = get(&stores, "after=151").json();
    assert_eq!((&none["events"], &none["next"]), (&json!([]), &json!(151)));

    let etag = first.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let known = [("If-None-Match", etag.as_str())];
    let same = call(&stores, &stores.token, "GET", &events(&stores), &known, &[]);
    assert_eq!((same.status, same.body.len(), seq(&same)), (304, 0, seq(&first)));
    socket.push(&a(3), &chain(151, 1));
    assert_eq!(call(&stores, &stores.token, "GET", &events(&stores), &known, &[]).status, 200);
}

// Verifies: EVT-25
#[test]
fn bad_reads_are_refused() {
    let stores = Stores::new();
    stores.open("app").push(&a(1), &chain(0, 3));
    for query in ["after=-1", "after=x", "limit=0", "limit=1001", "store=%01"] {
        refused(&get(&stores, query), 400, "invalid_argument");
    }
    let ahead = refused(&get(&stores, "after=4"), 409, "cursor_ahead");
    assert_eq!(ahead["head"], 3);
    let other = refused(&get(&stores, "backendId=another"), 409, "backend_mismatch");
    assert_eq!(other["expected"], get(&stores, "").json()["backendId"]);
    refused(&get(&stores, "store=unknown"), 404, "not_found");
    let writing = token(&stores.place, &["write"]);
    let path = events(&stores);
    refused(&call(&stores, &writing, "GET", &path, &[], &[]), 403, "permission_denied");
    refused(&call(&stores, "nonsense", "GET", &path, &[], &[]), 401, "unauthenticated");
    let put = call(&stores, &stores.token, "PUT", &path, &[], &[]);
    refused(&put, 405, "method_not_allowed");
    assert_eq!(put.header("allow"), Some("GET, POST"));
    assert_eq!(seq(&put), seq(&get(&stores, "")), "refusals tell how far the database is, too");
    let stranger = call(&stores, "nonsense", "PUT", &path, &[], &[]);
    assert_eq!((stranger.status, stranger.header("ferry-seq")), (405, None));
    refused(&call(&stores, &stores.token, "GET", &format!("{path}/other"), &[], &[]), 404, "not_found");
    let elsewhere = "/v1/databases/another/events";
    assert_eq!(call(&stores, &stores.token, "GET", elsewhere, &[], &[]).status, 404);
}

// Verifies: EVT-70, EVT-04, EVT-09
#[test]
fn appends_obey_the_rules_of_every_push_and_reach_every_client() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, None);
    assert!(socket.page(&a(1)).events.is_empty());
    let answer = append(&stores, &body(json!(0), &["v1.Made", "v1.Paid"]));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let receipt = answer.json();
    assert_eq!(
        (&receipt["firstSeqNum"], &receipt["lastSeqNum"], &receipt["head"]),
        (&json!(1), &json!(2), &json!(2))
    );
    assert_eq!(receipt["seq"].as_u64(), Some(seq(&answer)));
    let page = socket.page(&a(1));
    assert_eq!(
        (page.numbers(), page.backend_id.as_str()),
        (vec![1, 2], receipt["backendId"].as_str().unwrap())
    );
    assert_eq!(page.created_at[0], receipt["createdAt"]);
    assert_eq!(page.events[1]["clientId"], "billing");

    let stale = refused(&append(&stores, &body(json!(1), &["x"])), 409, "server_ahead");
    assert_eq!((&stale["head"], &stale["providedParent"]), (&json!(2), &json!(1)));
    refused(&append(&stores, &body(json!(7), &["x"])), 409, "client_ahead");
    let mut named = body(json!(2), &["x"]);
    named["backendId"] = json!("another");
    assert_eq!(refused(&append(&stores, &named), 409, "backend_mismatch")["expected"], receipt["backendId"]);
    let mut own = body(json!(2), &["a", "b"]);
    own["events"][0]["seqNum"] = json!(10);
    let receipt = append(&stores, &own).json();
    assert_eq!((&receipt["firstSeqNum"], &receipt["lastSeqNum"]), (&json!(10), &json!(11)));
    own["parentSeqNum"] = json!(11);
    own["events"][1]["seqNum"] = json!(5);
    own["events"][0]["seqNum"] = json!(20);
    assert_eq!(refused(&append(&stores, &own), 422, "invalid_batch")["index"], 1);
    let anywhere = append(&stores, &body(Value::Null, &["at head"])).json();
    assert_eq!(anywhere["firstSeqNum"], 12);
    assert_eq!(socket.page(&a(1)).numbers(), [10, 11]);
    assert_eq!(socket.page(&a(1)).numbers(), [12]);
}

// Verifies: EVT-70
#[test]
fn bad_appends_change_nothing() {
    let stores = Stores::with("--events-max-push-events=3");
    append(&stores, &body(json!(0), &["a"]));
    refused(&append(&stores, &body(json!(1), &[])), 422, "invalid_batch");
    refused(&append(&stores, &body(json!(1), &["a"; 4])), 422, "invalid_batch");
    let long = "n".repeat(513);
    assert_eq!(refused(&append(&stores, &body(json!(1), &["a", &long])), 422, "invalid_batch")["index"], 1);
    let path = events(&stores);
    let post = |bytes: &[u8]| call(&stores, &stores.token, "POST", &path, &[], bytes);
    for bad in ["", "[]", "{\"events\":1}", "{\"clientId\":\"c\",\"sessionId\":\"s\",\"events\":[{}]}"] {
        refused(&post(bad.as_bytes()), 400, "invalid_argument");
    }
    refused(&post(b"\xff"), 400, "invalid_argument");
    refused(&post(&vec![b' '; (1 << 20) + 1]), 413, "too_large");
    let reading = token(&stores.place, &["read"]);
    let good = body(json!(1), &["a"]).to_string();
    refused(&call(&stores, &reading, "POST", &path, &[], good.as_bytes()), 403, "permission_denied");
    assert_eq!(get(&stores, "").json()["head"], 1);
    assert_eq!(post(good.as_bytes()).status, 201, "and a good one still works");
}

// Verifies: EVT-12
#[test]
fn a_key_makes_an_append_happen_once() {
    let stores = Stores::new();
    let wanted = body(Value::Null, &["v1.Paid"]);
    let barrier = Barrier::new(8);
    let answers: Vec<Response> = thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    append_with(&stores, &wanted, &[("Idempotency-Key", "pay-1")])
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!((answer.status, answer.json()), (201, answers[0].json()));
    }
    let other = append_with(&stores, &body(Value::Null, &["other"]), &[("Idempotency-Key", "pay-1")]);
    refused(&other, 409, "key_reused");
    // A stale parent would be refused, were it not the same request.
    let stale = body(json!(1), &["second"]);
    let first = append_with(&stores, &stale, &[("Idempotency-Key", "pay-2")]);
    assert_eq!(first.status, 201, "{}", first.text());
    let stores = stores.restarted();
    let again = append_with(&stores, &stale, &[("Idempotency-Key", "pay-2")]);
    assert_eq!((again.status, again.json()), (201, first.json()), "remembered over kill -9");
    assert_eq!(get(&stores, "").json()["head"], 2);
    refused(&append_with(&stores, &wanted, &[("Idempotency-Key", "")]), 400, "invalid_argument");
    refused(
        &append_with(&stores, &wanted, &[("Idempotency-Key", &"k".repeat(256))]),
        400,
        "invalid_argument",
    );
    // What was refused may be tried again under its key.
    refused(
        &append_with(&stores, &body(json!(9), &["x"]), &[("Idempotency-Key", "late")]),
        409,
        "client_ahead",
    );
    assert_eq!(append_with(&stores, &body(json!(2), &["x"]), &[("Idempotency-Key", "late")]).status, 201);
}

// Verifies: EVT-70
#[test]
fn a_read_may_wait_for_a_commit() {
    let stores = Stores::new();
    let written = seq(&append(&stores, &body(json!(0), &["a"])));
    let path = events(&stores);
    let read = |least: u64| {
        call(&stores, &stores.token, "GET", &path, &[("Ferry-Min-Seq", &least.to_string())], &[])
    };
    assert_eq!(read(written).status, 200);
    let (took, late) = wait::timed(|| read(written + 1));
    let error = refused(&late, 503, "unavailable");
    assert_eq!(error["reason"], "SEQ_NOT_REACHED");
    assert_eq!(seq(&late), written);
    assert!(late.header("retry-after").is_some() && took.as_millis() >= 1900, "{took:?}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| read(written + 1));
        append(&stores, &body(json!(1), &["b"]));
        let answer = waiting.join().unwrap();
        assert_eq!((answer.status, answer.json()["head"].clone()), (200, json!(2)));
    });
    assert_eq!(call(&stores, &stores.token, "GET", &path, &[("Ferry-Min-Seq", "x")], &[]).status, 400);
}

// Verifies: EVT-50
#[test]
fn the_only_store_or_the_configured_one_is_meant() {
    let stores = Stores::new();
    let mut unnamed = body(json!(0), &["a"]);
    unnamed.as_object_mut().unwrap().remove("store");
    assert_eq!(append(&stores, &unnamed).status, 201);
    assert_eq!(get(&stores, "").json()["store"], "app", "named like the database");
    drop(stores.open("other"));
    assert_eq!(get(&stores, "").json()["store"], "app");
    let mixed = Stores::with("--events-default-store=main");
    drop((mixed.open("one"), mixed.open("two")));
    refused(&get(&mixed, ""), 404, "not_found");
    unnamed["parentSeqNum"] = json!(null);
    append(&mixed, &unnamed);
    assert_eq!(get(&mixed, "").json()["store"], "main");
    let several = Stores::new();
    drop((several.open("one"), several.open("two")));
    let reply = refused(&get(&several, ""), 404, "not_found");
    assert!(reply["message"].as_str().unwrap().contains("store="), "{reply}");
}

// A program named its store as the reads do, `?store=audit`, and its events went to the default store: the append read
// the body alone, and whatever stood in the query was left unheard.
// Verifies: EVT-70
#[test]
fn a_write_refuses_parameters_that_it_does_not_know() {
    let stores = Stores::new();
    drop((stores.open("app"), stores.open("audit")));
    let post = |query: &str, body: &Value| {
        let path = format!("{}?{query}", events(&stores));
        call(&stores, &stores.token, "POST", &path, &[], body.to_string().as_bytes())
    };
    let mut unnamed = body(json!(null), &["a"]);
    unnamed.as_object_mut().unwrap().remove("store");
    assert_eq!(post("store=audit", &unnamed).status, 201);
    let head = |store: &str| get(&stores, &format!("store={store}")).json()["head"].clone();
    assert_eq!((head("app"), head("audit")), (json!(0), json!(1)));
    // As parameter and as member, but not one and the other.
    let mut named = unnamed.clone();
    named["store"] = json!("audit");
    assert_eq!(post("store=audit", &named).status, 201);
    let reply = refused(&post("store=app", &named), 400, "invalid_argument");
    assert!(reply["message"].as_str().unwrap().contains("\"app\", the body \"audit\""), "{reply}");
    // A variable that was never set, a name that no append has, and one name twice.
    for (query, said) in [
        ("store=", "storeId"),
        ("stor=audit", "unknown parameter \"stor\": this request takes store"),
        ("store=audit&store=app", "twice"),
        ("store=audit&parentSeqNum=2", "unknown parameter"),
    ] {
        let reply = refused(&post(query, &unnamed), 400, "invalid_argument");
        assert!(reply["message"].as_str().unwrap().contains(said), "{query}: {reply}");
    }
    unnamed["storeId"] = json!("audit");
    let reply = refused(&post("", &unnamed), 400, "invalid_argument");
    assert!(reply["message"].as_str().unwrap().contains("unknown member `storeId`"), "{reply}");
    assert_eq!((head("app"), head("audit")), (json!(0), json!(2)));
    // Whole stores are changed in the same way.
    let admin = |method: &str, path: &str, body: &str| {
        let path = format!("{}/stores{path}", events(&stores));
        call(&stores, &stores.place.user.token, method, &path, &[], body.as_bytes())
    };
    for (method, path, body) in [
        ("DELETE", "/app?store=audit", r#"{"confirm":"app"}"#),
        ("POST", "/app/reset?store=audit", r#"{"confirm":"app"}"#),
        ("POST", "/app/import?Mode=append", ""),
        ("POST", "?store=other", r#"{"storeId":"new"}"#),
    ] {
        let reply = refused(&admin(method, path, body), 400, "invalid_argument");
        assert!(reply["message"].as_str().unwrap().contains("unknown parameter"), "{path}: {reply}");
    }
    assert_eq!(get(&stores, "store=app&anything=else").status, 200, "a read may carry what it likes");
}

// Verifies: EVT-55
#[test]
fn too_many_appends_are_refused_with_retry_after() {
    let options = crate::support::options().env("FERRY_RATE_LIMIT_SCALE", "1");
    let stores = Stores::of(options.arg("--events-store-rate=1/1m:2").start());
    assert_eq!(append(&stores, &body(json!(null), &["a", "b"])).status, 201);
    let late = append(&stores, &body(json!(null), &["c"]));
    refused(&late, 429, "rate_limited");
    assert!(late.header("retry-after").unwrap().parse::<u64>().unwrap() > 5);
    assert_eq!(get(&stores, "").json()["head"], 2);
}
