//! Rights over the log (acceptance scenario 11).

use ferry_testkit::{
    hephd::{CursorRule, HephdClient},
    http,
    token::attenuate,
};
use serde_json::{Value, json};

use super::{A, B, Ops, codes, hlc, options, set, statuses, text, token, tombstone};
use crate::support::{assert_spent, assert_v1_spent};

fn write(origin: &str, n: u64, entity: &str) -> Value {
    set(&format!("op-{}-{n:04}", &origin[..1]), &hlc(n, 0, origin), entity, "t", &json!(n), &[])
}

// There was no authentication at all.
// Verifies: OPS-50
#[test]
fn every_call_needs_its_right() {
    let ops = Ops::new();
    ops.accepted(A, &[write(A, 1, "n/1")]);
    let (reader, writer) = (token(&ops.place, &["read"], &[]), token(&ops.place, &["write"], &[]));
    let other = ops.place.user.create_database("other");
    let elsewhere = ops.place.user.ferry(
        "IssueSyncToken",
        &json!({"databaseId": other, "models": ["ops"], "ops": ["read", "write"], "ttlSeconds": 60}),
    );
    let elsewhere = text(&elsewhere.unwrap()["token"]);
    let records = ops.place.user.ferry(
        "IssueSyncToken",
        &json!({"databaseId": ops.place.database, "models": ["records"], "ops": ["read", "write"], "ttlSeconds": 60}),
    );
    let records = text(&records.unwrap()["token"]);
    let push = super::batch(A, &[write(A, 2, "n/1")]);
    let calls = [
        ("POST", "", &*push, [403, 200]),
        ("GET", "", "", [200, 403]),
        ("POST", "/missing", r#"{"ids":[]}"#, [200, 403]),
        ("GET", "/snapshot", "", [200, 403]),
        ("GET", "/entities", "", [200, 403]),
        ("GET", "/conflicts", "", [200, 403]),
        ("POST", "/append", r#"{"ops":[]}"#, [403, 200]),
        ("GET", "/quarantine", "", [403, 403]),
        ("POST", "/compact", "", [403, 403]),
    ];
    let id = &ops.place.database;
    for (method, rest, body, [as_reader, as_writer]) in calls {
        let path = format!("/v1/databases/{id}/ops{rest}");
        let status = |token: &str| ops.call_as(token, method, &path, body).status;
        assert_eq!((status(&reader), status(&writer)), (as_reader, as_writer), "{method} {rest}");
        assert_eq!((status("no.token"), status(&records)), (401, 403), "{method} {rest}");
        assert_ne!(status(&elsewhere), 200, "{method} {rest}");
    }
    assert_eq!(ops.stream_as(&writer, "").err().map(|refused| refused.status), Some(403));
    let shim = |token: &str| HephdClient::new(ops.address(), "", token, CursorRule::Replaced);
    let body = r#"{"ops":[{"hlc":"1"}]}"#;
    assert_eq!((shim(&reader).push(body).status, shim(&reader).pull().status), (403, 200));
    assert_eq!((shim(&writer).push(body).status, shim(&writer).pull().status), (200, 403));
    assert_eq!(shim("no.token").pull().status, 401);
}

// Anyone could forge origins.
// Verifies: OPS-51
#[test]
fn an_origin_belongs_to_who_pushed_with_it_first() {
    let ops = Ops::new();
    ops.accepted(A, &[write(A, 1, "n/1")]);
    // Another token of the same user is the same principal; an API key is another one.
    let again = token(&ops.place, &["read", "write"], &[]);
    let pushed = ops.v1_as(&again, "POST", "", &super::batch(A, &[write(A, 2, "n/1")]));
    assert_eq!(statuses(&pushed.json()), ["accepted"]);
    let key = ops.place.user.ferry(
        "CreateApiKey",
        &json!({"database": ops.place.database, "spec": {
            "kind": "secret", "label": "app", "models": ["ops"], "ops": ["read", "write"]}}),
    );
    let key = text(&key.unwrap()["value"]);
    let pushed =
        ops.v1_as(&key, "POST", "", &super::batch(A, &[write(A, 3, "n/1"), write(B, 4, "n/1")])).json();
    assert_eq!(codes(&pushed), ["origin_forbidden", ""], "{pushed}");
    // What was relayed binds nothing.
    ops.accepted(B, &[write(B, 5, "n/1")]);
    let pushed = ops.v1_as(&key, "POST", "", &super::batch(B, &[write(B, 6, "n/1")])).json();
    assert_eq!(codes(&pushed), ["origin_forbidden"], "B is bound by now: {pushed}");
    let admin = ops.admin();
    let pushed = ops.v1_as(&admin, "POST", "", &super::batch(A, &[write(A, 7, "n/1")])).json();
    assert_eq!(statuses(&pushed), ["accepted"]);
}

// Verifies: OPS-52
#[test]
fn a_credential_for_some_entities_writes_and_sees_no_others() {
    let ops = Ops::new();
    let narrow = token(&ops.place, &["read", "write"], &["tbl=task/"]);
    ops.accepted(A, &[write(A, 1, "task/1"), write(A, 2, "note/1")]);
    assert_eq!(ops.hephd(CursorRule::Replaced).push(r#"{"ops":[{"hlc":"1"}]}"#).status, 200);
    let push =
        [write(A, 3, "task/2"), write(A, 4, "note/2"), tombstone("op-a-gone", &hlc(9, 0, A), "note/1", &[])];
    let pushed = ops.v1_as(&narrow, "POST", "", &super::batch(A, &push)).json();
    assert_eq!(codes(&pushed), ["", "entity_forbidden", "entity_forbidden"], "{pushed}");
    let page = ops.v1_as(&narrow, "GET", "", "").json();
    let seen: Vec<&Value> = page["ops"].as_array().unwrap().iter().map(|op| &op["op"]["entity"]).collect();
    assert_eq!((seen, &page["next"]), (vec![&json!("task/1"), &json!("task/2")], &json!(4)));
    let status = |method: &str, rest: &str, body: &str| ops.v1_as(&narrow, method, rest, body).status;
    assert_eq!(status("GET", "/entity?entity=note/1", ""), 403);
    let listed = ops.v1_as(&narrow, "GET", "/entities", "").json();
    assert_eq!(listed["entities"].as_array().unwrap().len(), 2, "{listed}");
    let draft = |entity: &str| json!({"ops": [{"kind": "create", "entity": entity}]}).to_string();
    assert_eq!(
        (status("POST", "/append", &draft("note/3")), status("POST", "/append", &draft("task/3"))),
        (403, 200)
    );
    let snapshot = ops.v1_as(&narrow, "GET", "/snapshot", "").text();
    assert!(snapshot.contains("task/1") && !snapshot.contains("note/"), "{snapshot}");
    let shim = HephdClient::new(ops.address(), "", &narrow, CursorRule::Replaced);
    assert_eq!((shim.pull().status, shim.push(r#"{"ops":[]}"#).status), (403, 403));
    // Also who administers.
    let admin = token(&ops.place, &["read", "write", "admin"], &["tbl=task/"]);
    for (method, rest) in [("GET", "/quarantine"), ("POST", "/compact")] {
        assert_eq!(ops.v1_as(&admin, method, rest, "").status, 403, "{rest}");
    }
    // Conflicts outside of the prefix are neither seen nor resolved.
    ops.accepted(B, &[write(B, 1, "note/1"), write(B, 1_000, "task/1")]);
    let seen = ops.v1_as(&narrow, "GET", "/conflicts", "").json()["conflicts"].clone();
    assert!(seen.as_array().unwrap().iter().all(|c| text(&c["entity"]).starts_with("task/")), "{seen}");
    let all = ops.v1("GET", "/conflicts", "").json()["conflicts"].clone();
    let hidden = all.as_array().unwrap().iter().find(|c| c["entity"] == "note/1").expect("a conflict");
    let resolve = format!("/conflicts/{}/resolve", text(&hidden["id"]));
    assert_eq!(status("POST", &resolve, r#"{"take":"winner"}"#), 404);
}

// Verifies: OPS-50
#[test]
fn development_needs_no_credential_on_loopback() {
    let hub = options().arg("--dev").start();
    let answer = http::send(hub.address(), "POST", "/sync/push", &[], br#"{"ops":[{"hlc":"1"}]}"#).unwrap();
    assert_eq!((answer.status, &answer.json()["applied"]), (200, &json!(1)), "{}", answer.text());
    assert_eq!(http::get(hub.address(), "/sync/pull").unwrap().text(), r#"{"ops":[{"hlc":"1"}]}"#);
    // A name of this machine that a page elsewhere could have taken over is none.
    let headers = [("Host", "evil.example")];
    let refused = http::send(hub.address(), "GET", "/sync/pull", &headers, b"").unwrap();
    assert_eq!(refused.status, 421, "{}", refused.text());
}

// Rights are judged when the body is whole, and again in the commit.
// Verifies: OPS-50
#[test]
fn a_credential_that_was_revoked_during_the_request_stores_nothing() {
    use std::io::{BufReader, Write as _};

    let ops = Ops::new();
    ops.accepted(A, &[write(A, 1, "n/1")]);
    let body = super::batch(A, &[write(A, 2, "n/1")]);
    let foreign = r#"{"ops":[{"hlc":"1"},{"hlc":"2"}]}"#.to_owned();
    let mut open = Vec::new();
    for (path, body) in [("/v1/databases/-/ops", body), ("/sync/push", foreign)] {
        let mut stream = http::connect(ops.address()).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            ops.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body.as_bytes()[..10]).unwrap();
        open.push((stream, body));
    }
    // Both heads were read: the hub answers what came after them.
    ops.page("");
    let request = json!({"database": ops.place.database});
    ops.place.user.ferry("RevokeDatabaseTokens", &request).unwrap();
    for (mut stream, body) in open {
        stream.write_all(&body.as_bytes()[10..]).unwrap();
        let answer = http::read_response(&mut BufReader::new(stream), false).unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    let fresh = token(&ops.place, &["read", "write"], &[]);
    assert_eq!(ops.v1_as(&fresh, "GET", "", "").json()["head"], 1);
}

// Verifies: TOK-14
#[test]
fn bodies_are_charged_in_both_directions() {
    let ops = Ops::new();
    ops.accepted(A, &[write(A, 1, "n/1"), write(A, 2, "n/1")]);
    let page = ops.v1("GET", "", "");
    let budgeted = |bytes: usize| attenuate(&ops.token, &[&format!("bpd={bytes}")]);
    let enough = budgeted(page.body.len() + 20);
    assert_eq!(ops.v1_as(&enough, "GET", "", "").status, 200);
    assert_v1_spent(&ops.v1_as(&enough, "GET", "", ""));
    // What counts of a snapshot is what it holds, however it is compressed.
    let bearer = format!("Bearer {}", budgeted(ops.v1("GET", "/snapshot", "").body.len() - 1));
    let headers = [("Authorization", &*bearer), ("Accept-Encoding", "zstd")];
    let snapshot = http::send(ops.address(), "GET", "/v1/databases/-/ops/snapshot", &headers, b"").unwrap();
    assert_v1_spent(&snapshot);
    let body = super::batch(A, &[write(A, 3, "n/1")]);
    assert_v1_spent(&ops.v1_as(&budgeted(body.len() - 1), "POST", "", &body));
    let few = HephdClient::new(ops.address(), "", &budgeted(30), CursorRule::Replaced);
    assert_spent(&few.push(r#"{"ops":[{"hlc":"1"},{"hlc":"2"},{"hlc":"3"}]}"#));
    assert_eq!(ops.ids().len(), 2);
    let mut stream = ops.stream_as(&budgeted(150), "?mode=ops").unwrap();
    let (_, bye) = stream.expect("bye");
    assert_eq!(bye["reason"], "byte_budget");
}
