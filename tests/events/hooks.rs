//! The hooks onPush, onPull and onPushed (events 2.11, scenario 12).

use std::collections::BTreeSet;

use ferry_testkit::{
    hooks::{HookReceiver, accept, reject, signature},
    livestore::{chain, numbers},
    serve::Reply,
    sse::EventStream,
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    Stores, a,
    api::{append, body, call, events, get, refused},
};
use crate::support::options;

const SECRET: &str = "a secret between two programs";

/// A hub whose hooks of these names go to the receiver.
fn hooked(receiver: &HookReceiver, hooks: &[&str], more: &[&str]) -> Stores {
    let options = options().env("FERRY_EVENTS_HOOK_SECRET", SECRET);
    let options =
        hooks.iter().fold(options, |o, hook| o.arg(format!("--events-{hook}-url={}", receiver.url())));
    Stores::of(more.iter().fold(options, |options, setting| options.arg(*setting)).start())
}

fn accept_with(events: &Value) -> Reply {
    Reply::json(&json!({"verdict": "accept", "append": events}))
}

// Verifies: EVT-11, EVT-54, EVT-56
#[test]
fn a_push_is_shown_to_the_hook_as_it_will_be_committed() {
    let receiver = HookReceiver::start();
    let stores = hooked(&receiver, &["on-push"], &[]);
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 2)).code(), "success");
    let request = receiver.seen().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    let call = &receiver.bodies("onPush")[0];
    assert_eq!(call["batch"], json!(chain(0, 2)));
    assert_eq!((&call["store"], &call["transport"]), (&json!("app"), &json!("ws")));
    assert_eq!(call["database"], stores.place.database.as_str());
    assert!(call["principal"].as_str().is_some_and(|principal| !principal.is_empty()));
    assert_eq!(call["backendId"], get(&stores, "").json()["backendId"]);
    assert!(!request.body.contains(&stores.token), "no credential");
    assert!(request.header("ferry-hook-id").is_some_and(|id| id.len() >= 32));
    let signed = request.header("ferry-signature").unwrap();
    let unix: i64 = signed.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(signed, signature(SECRET, unix, &request.body));
    assert!((wait::unix_seconds() - unix).abs() < 60);
    assert!(!stores.place.hub.log().contains(SECRET));

    append(&stores, &body(json!(2), &["v1.Paid"]));
    assert_eq!(receiver.bodies("onPush")[1]["transport"], "v1");
    // What the log refuses anyway is not asked about.
    assert_eq!(stores.open("app").push(&a(1), &chain(1, 1)).code(), "ServerAheadError");
    let mut broken = chain(3, 2);
    broken[1]["seqNum"] = json!(1);
    assert_eq!(stores.open("app").push(&a(1), &broken).code(), "INVALID_BATCH");
    refused(&append(&stores, &body(json!(1), &["x"])), 409, "server_ahead");
    assert_eq!(receiver.bodies("onPush").len(), 2);
}

// Verifies: EVT-57
#[test]
fn a_hook_rejects_or_adds_events_of_its_own() {
    let receiver = HookReceiver::start();
    let stores = hooked(&receiver, &["on-push"], &[]);
    let mut reader = stores.open("app");
    reader.pull(&a(9), true, None);
    reader.page(&a(9));
    receiver.answer(|_| reject("no such customer"));
    let mut socket = stores.open("app");
    for _ in 0..2 {
        assert_eq!(socket.push(&a(1), &chain(0, 1)).code(), "REJECTED");
    }
    let refusal = refused(&append(&stores, &body(json!(0), &["x"])), 422, "rejected");
    assert_eq!(refusal["message"], "no such customer");
    let path = format!("{}/stores/app/clients", events(&stores));
    let clients = call(&stores, &stores.place.user.token, "GET", &path, &[], &[]).json();
    let stuck =
        clients["clients"].as_array().unwrap().iter().find(|one| one["clientId"] == "client-a").unwrap();
    assert_eq!((&stuck["lastResult"], &stuck["blocked"]["tries"]), (&json!("REJECTED"), &json!(2)));
    assert_eq!(stuck["blocked"]["firstEvent"], json!({"seqNum": 1, "name": "v1.TodoCreated"}));

    receiver
        .answer(|_| accept_with(&json!([{"name": "v1.Undone", "args": {"n": 1.50}}, {"name": "v1.Noted"}])));
    assert_eq!(socket.push(&a(2), &chain(0, 2)).code(), "success");
    let page = reader.page(&a(9));
    assert_eq!(page.numbers(), [1, 2, 3, 4], "one commit");
    let added = &page.events[2];
    assert_eq!((&added["clientId"], &added["sessionId"]), (&json!("ferry-hub"), &json!("hook")));
    assert_eq!((&added["name"], &added["args"]), (&json!("v1.Undone"), &json!({"n": 1.5})));
    assert!(page.events[3].get("args").is_none());
    let shown = get(&stores, "").json();
    assert_eq!(shown["events"][1]["seq"], shown["events"][3]["seq"]);
    let receipt = append(&stores, &body(Value::Null, &["x"])).json();
    assert_eq!(
        (&receipt["firstSeqNum"], &receipt["lastSeqNum"], &receipt["head"]),
        (&json!(5), &json!(5), &json!(7))
    );
    // Events that break the rules of the log are no answer.
    receiver.answer(|_| accept_with(&json!([{"name": "n".repeat(513)}])));
    assert_eq!(socket.push(&a(3), &chain(7, 1)).code(), "HOOK_UNAVAILABLE");
}

// Verifies: EVT-56, EVT-30
#[test]
fn a_silent_hook_refuses_or_allows_as_configured() {
    let receiver = HookReceiver::start();
    receiver.answer(|_| Reply::Silence);
    let closed = hooked(&receiver, &["on-push"], &["--events-hook-timeout-ms=700"]);
    let mut socket = closed.open("app");
    socket.begin_push(&a(1), &chain(0, 1), None);
    socket.send(&json!({"_tag": "Ping"}));
    assert_eq!(socket.frame(), json!({"_tag": "Pong"}), "while the hook is waited for");
    assert_eq!(socket.exit_of(&a(1)).code(), "HOOK_UNAVAILABLE");
    let answer = append(&closed, &body(json!(0), &["x"]));
    refused(&answer, 503, "hook_unavailable");
    assert!(answer.header("retry-after").is_some());
    receiver.answer(|_| Reply::status(500));
    assert_eq!(socket.push(&a(2), &chain(0, 1)).code(), "HOOK_UNAVAILABLE");
    receiver.answer(|_| Reply::json(&json!({"verdict": "perhaps"})));
    assert_eq!(socket.push(&a(3), &chain(0, 1)).code(), "HOOK_UNAVAILABLE");
    receiver.answer(|_| accept());
    assert_eq!(socket.push(&a(4), &chain(0, 1)).code(), "success");

    receiver.answer(|_| Reply::Silence);
    let open =
        hooked(&receiver, &["on-push"], &["--events-hook-timeout-ms=100", "--events-hook-fail-mode=open"]);
    assert_eq!(open.open("app").push(&a(1), &chain(0, 1)).code(), "success");
    receiver.answer(|_| reject("no"));
    assert_eq!(open.open("app").push(&a(1), &chain(1, 1)).code(), "REJECTED", "an answer counts");
}

// Verifies: EVT-56, EVT-38
#[test]
fn pushes_of_a_connection_reach_the_hook_in_their_order() {
    let receiver = HookReceiver::start();
    let stores = hooked(&receiver, &["on-push"], &[]);
    let mut socket = stores.open("app");
    for place in 0..20 {
        socket.begin_push(&a(place), &chain(i64::from(place), 1), None);
    }
    for place in 0..20 {
        assert_eq!(socket.exit_of(&a(place)).code(), "success");
    }
    let asked = receiver.bodies("onPush");
    let order: Vec<i64> = asked.iter().flat_map(|body| numbers(body["batch"].as_array().unwrap())).collect();
    assert_eq!(order, (1..=20).collect::<Vec<i64>>());
}

// Verifies: EVT-59
#[test]
fn a_hook_decides_who_may_read() {
    let receiver = HookReceiver::start();
    let stores = hooked(&receiver, &["on-pull"], &[]);
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &chain(0, 2)).code(), "success");
    socket.pull(&a(2), true, None);
    let page = socket.page(&a(2));
    assert_eq!(page.numbers(), [1, 2]);
    socket.pull(&a(3), false, Some((&page.backend_id, 1)));
    assert_eq!(socket.page(&a(3)).numbers(), [2]);
    assert_eq!(get(&stores, "").status, 200);
    let asked = receiver.bodies("onPull");
    assert_eq!(asked.len(), 1, "a verdict is remembered");
    assert_eq!((&asked[0]["cursor"], &asked[0]["live"]), (&Value::Null, &json!(true)));

    receiver.answer(|_| reject("not you"));
    let other = super::token(&stores.place, &["read", "write"]);
    let refused_page = call(&stores, &other, "GET", &events(&stores), &[], &[]);
    // The token is another, the principal may be the same user: what counts is who asks.
    assert!([200, 403].contains(&refused_page.status));
    let strict = hooked(&receiver, &["on-pull"], &[]);
    let mut socket = strict.open("app");
    socket.push(&a(1), &chain(0, 1));
    socket.pull(&a(2), true, None);
    assert_eq!(socket.closed(), 4403);
    refused(&get(&strict, ""), 403, "forbidden");
    let bearer = format!("Bearer {}", strict.token);
    let path = format!("{}/live", events(&strict));
    let stream = EventStream::open(strict.address(), &path, &[("Authorization", &bearer)]).err().unwrap();
    assert_eq!(refused(&stream, 403, "forbidden")["message"], "not you");
    let failing = hooked(&receiver, &["on-pull"], &["--events-auth-refusal=fail"]);
    let mut socket = failing.open("app");
    socket.pull(&a(1), true, None);
    assert_eq!(socket.exit_of(&a(1)).code(), "FORBIDDEN");
    let poll = json!({"_tag": "Request", "id": "0", "tag": "SyncHttpRpc.Pull", "headers": [],
                      "payload": {"storeId": "app", "cursor": {"_tag": "None"}}});
    let answer = failing.post("app", &poll);
    assert_eq!(
        (answer.status, &answer.json()[0]["exit"]["cause"]["error"]["payload"]["code"]),
        (403, &json!("FORBIDDEN"))
    );
}

// Verifies: EVT-59, EVT-34
#[test]
fn while_the_pull_hook_is_down_clients_are_told_to_retry() {
    let receiver = HookReceiver::start();
    receiver.answer(|_| Reply::status(503));
    let stores = hooked(&receiver, &["on-pull"], &[]);
    let mut socket = stores.open("app");
    socket.push(&a(1), &chain(0, 1));
    socket.pull(&a(2), true, None);
    assert_eq!(socket.closed(), 4503);
    let poll = json!({"_tag": "Request", "id": "0", "tag": "SyncHttpRpc.Pull", "headers": [],
                      "payload": {"storeId": "app", "cursor": {"_tag": "None"}}});
    let answer = stores.post("app", &poll);
    assert_eq!(answer.status, 200, "a failed poll would end the client's polling for good");
    let answer = answer.json();
    assert_eq!(answer[0]["values"][0]["pageInfo"]["_tag"], "MoreUnknown");
    assert_eq!(answer[1]["exit"]["_tag"], "Success");
    refused(&get(&stores, ""), 503, "hook_unavailable");
    receiver.answer(|_| accept());
    assert_eq!(get(&stores, "").status, 200);
}

// Verifies: EVT-58
#[test]
fn commits_are_delivered_to_the_hook_in_order_and_resume_after_a_restart() {
    let receiver = HookReceiver::start();
    let mut stores = hooked(&receiver, &["on-pushed"], &[]);
    let first_numbers = |count: usize| {
        wait::until("all to be delivered", || {
            Some(receiver.delivered()).filter(|numbers| numbers.len() >= count)
        })
    };
    stores.open("app").push(&a(1), &chain(0, 250));
    assert_eq!(first_numbers(250), (1..=250).collect::<Vec<i64>>());
    let first = &receiver.bodies("onPushed")[0];
    assert_eq!(first["events"].as_array().unwrap().len(), 100);
    assert!(first["events"][0]["seq"].is_u64() && first["events"][0]["createdAt"].is_string());
    assert_eq!((&first["store"], &first["database"]), (&json!("app"), &json!(stores.place.database)));

    // While it is down nothing waits for it, and nothing is left out.
    receiver.answer(|_| Reply::status(500));
    let before = receiver.seen().len();
    append(&stores, &body(json!(250), &["late"]));
    wait::until("a try", || (receiver.seen().len() > before).then_some(()));
    assert_eq!(append(&stores, &body(json!(251), &["later"])).status, 201);
    let ids: Vec<_> =
        receiver.seen()[before..].iter().map(|r| r.header("ferry-hook-id").unwrap().to_owned()).collect();
    assert!(!ids.is_empty());
    stores = stores.restarted();
    receiver.answer(|_| accept());
    // The store is not used by anybody after the restart.
    let all = wait::until("the rest", || {
        let numbers = receiver.delivered();
        (numbers.last() == Some(&252)).then_some(numbers)
    });
    let mut distinct = all.clone();
    distinct.dedup();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct, (1..=252).collect::<Vec<i64>>(), "each at least once");

    // Nothing is delivered again that was accepted, once that is written down.
    let file = stores.place.hub.database_dir(&stores.place.database).join("main.db");
    let position = "SELECT position FROM _ferry_event_hooks WHERE hook = 'onPushed' AND store_id = 'app'";
    wait::until("the position of the hook to be saved", || {
        let file = Connection::open(&file).unwrap();
        let saved: i64 = file.query_row(position, [], |row| row.get(0)).ok()?;
        (saved == 252).then_some(())
    });
    stores = stores.restarted();
    let count = receiver.delivered().len();
    append(&stores, &body(json!(252), &["last"]));
    let all =
        wait::until("the last", || Some(receiver.delivered()).filter(|numbers| numbers.last() == Some(&253)));
    assert_eq!(all.len(), count + 1);
}

// A store was copied into a second database under its own identity, both went on, and the receiver, which remembered
// what it had received by `Ferry-Hook-Id`, took the second one's events for repetitions of the first one's.
// Verifies: EVT-58
#[test]
fn different_events_are_never_delivered_under_one_id() {
    let receiver = HookReceiver::start();
    let stores = hooked(&receiver, &["on-pushed"], &[]);
    append(&stores, &body(json!(0), &["shared"]));
    let other = stores.place.user.create_database("other");
    let session = &stores.place.user.token;
    let path = |database: &str, rest: &str| format!("/v1/databases/{database}/events{rest}");
    let export = call(&stores, session, "GET", &path("app", "/stores/app/export"), &[], &[]);
    let import = path("other", "/stores/app/import?backendId=keep");
    assert_eq!(call(&stores, session, "POST", &import, &[], &export.body).status, 200);
    let again = path("app", "/stores/again/import?backendId=keep");
    assert_eq!(call(&stores, session, "POST", &again, &[], &export.body).status, 200);

    // One place of the log, one identity, three logs.
    let wish = json!({"databaseId": other, "models": ["events"], "ops": ["write"], "ttlSeconds": 3600});
    let issued = stores.place.user.ferry("IssueSyncToken", &wish).unwrap();
    let copied = issued["token"].as_str().unwrap();
    for (bearer, database, store) in
        [(&*stores.token, "app", "app"), (&*stores.token, "app", "again"), (copied, "other", "app")]
    {
        let wanted = json!({"store": store, "parentSeqNum": 1, "clientId": "c", "sessionId": "s",
                            "events": [{"name": format!("of {database} {store}")}]});
        let answer = call(&stores, bearer, "POST", &path(database, ""), &[], wanted.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let calls = wait::until("three deliveries of event 2", || {
        let calls: Vec<_> = receiver.seen().into_iter().filter(|call| call.body.contains("\"of ")).collect();
        (calls.len() == 3).then_some(calls)
    });
    let ids: BTreeSet<_> = calls.iter().map(|call| call.header("ferry-hook-id").unwrap()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    let bodies: Vec<Value> = calls.iter().map(|call| serde_json::from_str(&call.body).unwrap()).collect();
    assert!(bodies.iter().all(|body| body["backendId"] == bodies[0]["backendId"]));
    let databases: BTreeSet<_> = bodies.iter().map(|body| body["database"].as_str().unwrap()).collect();
    assert_eq!(databases, BTreeSet::from([&*stores.place.database, &*other]));
}
