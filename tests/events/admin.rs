//! Whole stores: list, reset, hold, move to another hub (events 2.10, scenarios 15 and 16).

use std::{fs, sync::atomic::AtomicBool, sync::atomic::Ordering, thread};

use ferry_testkit::{
    http::Response,
    livestore::{LiveSocket, chain, numbers, path},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    Stores, a,
    api::{append, body, call, events, get, refused},
    hold::rolled_back,
};

/// A call of the database's owner, whose session has every right here.
pub(super) fn admin(stores: &Stores, method: &str, path: &str, body: &[u8]) -> Response {
    let path = format!("{}/stores{path}", events(stores));
    call(stores, &stores.place.user.token, method, &path, &[], body)
}

pub(super) fn confirmed(stores: &Stores, action: &str) -> Response {
    let body = json!({"confirm": "app", "reason": "because"}).to_string();
    admin(stores, "POST", &format!("/app/{action}"), body.as_bytes())
}

pub(super) fn stat(stores: &Stores) -> Value {
    let answer = admin(stores, "GET", "/app", &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn audited(stores: &Stores) -> Vec<(String, String)> {
    let control = crate::support::control_db(&stores.place.hub);
    let sql = "SELECT action, target FROM audit WHERE action LIKE 'events.%' AND actor <> '' ORDER BY rowid";
    let mut statement = control.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

// Verifies: EVT-45
#[test]
fn stores_are_made_shown_and_deleted() {
    let stores = Stores::new();
    assert_eq!(admin(&stores, "GET", "", &[]).json(), json!({"stores": []}));
    let made = admin(&stores, "POST", "", br#"{"storeId":"app"}"#);
    assert_eq!((made.status, made.json()["head"].clone()), (201, json!(0)), "{}", made.text());
    assert_eq!(admin(&stores, "POST", "", br#"{"storeId":"app"}"#).status, 409);
    refused(&admin(&stores, "POST", "", b"{}"), 400, "invalid_argument");
    let mut socket = stores.open("app");
    socket.push(&a(1), &chain(0, 3));
    let shown = stat(&stores);
    assert_eq!((&shown["count"], &shown["head"], &shown["subscribers"]), (&json!(3), &json!(3), &json!(1)));
    assert_eq!((&shown["table"], &shown["state"]), (&json!("eventlog_7_app"), &json!("ok")));
    assert!(shown["bytes"].as_u64().unwrap() > 100 && shown["lastPushAt"].is_string(), "{shown}");
    let listed = admin(&stores, "GET", "", &[]).json();
    assert_eq!(listed["stores"].as_array().unwrap().len(), 1);
    assert!(admin(&stores, "GET", "", &[]).header("ferry-seq").is_some());

    refused(&admin(&stores, "DELETE", "/app", &[]), 400, "confirm_required");
    refused(&admin(&stores, "DELETE", "/app", br#"{"confirm":"other"}"#), 400, "confirm_required");
    assert_eq!(admin(&stores, "DELETE", "/app", br#"{"confirm":"app"}"#).status, 200);
    assert_eq!(socket.closed(), 4404);
    refused(&admin(&stores, "GET", "/app", &[]), 404, "not_found");
    let bearer = format!("Bearer {}", stores.token);
    let open = |stores: &Stores| {
        LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
    };
    assert_eq!(open(&stores).unwrap_err().status, 404, "not made again by accident");
    let stores = stores.restarted();
    assert_eq!(open(&stores).unwrap_err().status, 404);
    assert_eq!(admin(&stores, "POST", "", br#"{"storeId":"app"}"#).status, 201);
    assert_eq!(open(&stores).unwrap().push(&a(1), &chain(0, 1)).code(), "success");
    assert_eq!(audited(&stores), [("events.delete".into(), "app".into())]);
    let stores = stores.restarted();
    assert_eq!(stat(&stores)["state"], "ok");
}

// Verifies: EVT-45
#[test]
fn a_reset_empties_the_log_and_every_client_begins_anew() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.push(&a(1), &chain(0, 3));
    let old = stat(&stores)["backendId"].as_str().unwrap().to_owned();
    refused(&admin(&stores, "POST", "/app/reset", b"{}"), 400, "confirm_required");
    let answer = confirmed(&stores, "reset");
    assert_eq!((answer.status, answer.json()["head"].clone()), (200, json!(0)));
    assert_eq!(socket.closed(), 4409);
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, Some((&old, 3)));
    assert_eq!(socket.exit_of(&a(1)).code(), "BackendIdMismatchError");
    assert_eq!(socket.push(&a(2), &chain(0, 1)).code(), "success");
    let file = stores.place.hub.database_dir(&stores.place.database).join("main.db");
    let recorded: (String, String, i64, String) = Connection::open(file)
        .unwrap()
        .query_row("SELECT old_id, new_id, head, reason FROM _ferry_event_identities", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!((recorded.0, recorded.2, recorded.3.as_str()), (old, 3, "because"));
    assert_eq!(recorded.1, answer.json()["backendId"].as_str().unwrap());
    assert_eq!(audited(&stores), [("events.reset".into(), "app".into())]);
    // The position that the hub remembers does not hold what was reset on purpose.
    let stores = stores.restarted();
    assert_eq!(stat(&stores)["state"], "ok");
}

// Verifies: EVT-44
#[test]
fn after_a_lossy_restore_remint_makes_clients_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let stores = rolled_back(&folder.path().join("backup")).restarted();
    let held = stat(&stores);
    assert_eq!((&held["state"], &held["head"]), (&json!("hold"), &json!(5)));
    refused(&get(&stores, "store=app"), 503, "store_hold");
    refused(&append(&stores, &body(json!(5), &["x"])), 503, "store_hold");
    assert_eq!(admin(&stores, "GET", "/app/export", &[]).status, 200, "what is there can be saved");
    refused(&admin(&stores, "POST", "/app/remint", br#"{"confirm":"app"}"#), 400, "invalid_argument");
    let answer = confirmed(&stores, "remint");
    assert_eq!((answer.status, answer.json()["state"].clone()), (200, json!("ok")));
    let mut socket = stores.open("app");
    let old = held["backendId"].as_str().unwrap();
    socket.pull(&a(1), true, Some((old, 10)));
    assert_eq!(socket.exit_of(&a(1)).code(), "BackendIdMismatchError");
    socket.pull(&a(2), true, None);
    assert_eq!(socket.page(&a(2)).numbers(), [1, 2, 3, 4, 5]);
    let stores = stores.restarted();
    assert_eq!(stat(&stores)["state"], "ok", "and it stays so");
}

// Verifies: EVT-44, EVT-09, EVT-25
#[test]
fn after_resume_a_client_ahead_is_told_so_and_never_wiped() {
    let folder = tempfile::tempdir().unwrap();
    let stores = rolled_back(&folder.path().join("backup")).restarted();
    let old = stat(&stores)["backendId"].as_str().unwrap().to_owned();
    let answer = confirmed(&stores, "resume");
    assert_eq!((answer.status, answer.json()["backendId"].as_str()), (200, Some(old.as_str())));
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &chain(10, 1)).code(), "CLIENT_AHEAD");
    socket.pull(&a(2), true, Some((&old, 10)));
    assert_eq!(socket.closed(), 4409);
    let clients = admin(&stores, "GET", "/app/clients", &[]).json();
    assert_eq!(clients["cursorsAhead"], 1);
    let blocked = &clients["clients"][0]["blocked"];
    assert_eq!((&blocked["code"], &blocked["tries"]), (&json!("CLIENT_AHEAD"), &json!(1)));
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 1)).code(), "success");
    assert_eq!(stat(&stores)["suspect"]["at"], 10, "the operator was not right");
    assert_eq!(confirmed(&stores, "resume").status, 200);
    refused(&confirmed(&stores, "resume"), 409, "not_on_hold");
    let stores = stores.restarted();
    assert_eq!((stat(&stores)["state"].clone(), stat(&stores)["head"].clone()), (json!("ok"), json!(6)));
    let resumed = ("events.resume".to_owned(), "app".to_owned());
    assert_eq!(audited(&stores), [resumed.clone(), resumed]);
}

fn export(stores: &Stores) -> Vec<u8> {
    let answer = admin(stores, "GET", "/app/export", &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer.body
}

fn import(stores: &Stores, how: &str, file: &[u8]) -> Response {
    admin(stores, "POST", &format!("/app/import?{how}"), file)
}

// Verifies: EVT-46, EVT-40
#[test]
fn a_store_moves_to_another_hub_and_its_clients_go_on() {
    let from = Stores::new();
    let mut socket = from.open("app");
    socket.push(&a(1), &chain(0, 300));
    socket.pull(&a(2), false, None);
    let backend = socket.page(&a(2)).backend_id;
    let file = export(&from);
    let to = Stores::new();
    let answer = import(&to, "mode=create&backendId=keep", &file);
    assert_eq!((answer.status, answer.json()["count"].clone()), (200, json!(300)), "{}", answer.text());
    let mut moved = to.open("app");
    moved.pull(&a(1), true, Some((&backend, 290)));
    assert_eq!(moved.page(&a(1)).numbers(), (291..=300).collect::<Vec<i64>>());
    assert_eq!(moved.push(&a(2), &chain(300, 1)).code(), "success");
    let pages = |stores: &Stores| {
        let page = get(stores, "limit=300").json();
        let strip =
            |event: &Value| json!([event["args"], event["name"], event["createdAt"], event["clientId"]]);
        page["events"].as_array().unwrap().iter().map(strip).collect::<Vec<_>>()
    };
    assert_eq!(pages(&from), pages(&to));
    let to = to.restarted();
    assert_eq!(stat(&to)["backendId"], backend.as_str());

    // A part goes behind what is there already.
    socket.push(&a(3), &chain(300, 1));
    refused(&import(&to, "mode=append", &file), 409, "wrong_head");
    refused(&import(&to, "mode=create", &file), 409, "not_empty");
    socket.push(&a(4), &chain(301, 4));
    let part = admin(&from, "GET", "/app/export?after=301", &[]);
    assert_eq!(import(&to, "mode=append", &part.body).json()["head"], 305);
    assert_eq!(audited(&to).len(), 2);

    let minted = Stores::new();
    assert_eq!(import(&minted, "mode=create&backendId=mint", &file).status, 200);
    let mut reset = minted.open("app");
    reset.pull(&a(1), true, Some((&backend, 290)));
    assert_eq!(reset.exit_of(&a(1)).code(), "BackendIdMismatchError");
}

// Verifies: EVT-46
#[test]
fn a_broken_import_changes_nothing() {
    let from = Stores::new();
    from.open("app").push(&a(1), &chain(0, 5));
    let text = String::from_utf8(export(&from)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n").into_bytes();
    let to = Stores::new();
    let changed = lines[3].replace("hello", "HELLO");
    let mut faked = lines.clone();
    faked[3] = &changed;
    for (file, line) in [
        (joined(&[&lines[..2], &lines[3..]].concat()), 3),
        (joined(&lines[..4]), 5),
        (joined(&faked), 7),
        (joined(&lines[1..]), 1),
        (Vec::new(), 1),
        ([text.as_bytes(), b"\xff\n"].concat(), 8),
    ] {
        assert_eq!(refused(&import(&to, "", &file), 422, "invalid_import")["line"], line);
    }
    for how in ["mode=replace", "backendId=other"] {
        refused(&import(&to, how, text.as_bytes()), 400, "invalid_argument");
    }
    refused(&import(&to, "mode=append", text.as_bytes()), 404, "not_found");
    assert_eq!(admin(&to, "GET", "", &[]).json(), json!({"stores": []}), "no store was made");
    let write =
        call(&to, &to.token, "POST", &format!("{}/stores/app/import", events(&to)), &[], text.as_bytes());
    refused(&write, 403, "permission_denied");
    let left = fs::read_dir(to.place.hub.database_dir(&to.place.database)).unwrap();
    let left: Vec<_> =
        left.map(|entry| entry.unwrap().file_name()).filter(|name| name != "main.db").collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().starts_with("main.db-")), "{left:?}");
    assert_eq!(import(&to, "", text.as_bytes()).status, 200, "and a good one still works");
}

// Verifies: EVT-46
#[test]
fn an_export_beside_writers_is_one_snapshot() {
    let stores = Stores::new();
    append(&stores, &body(json!(0), &["first"]));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                append(&stores, &body(Value::Null, &["n", "m", "o"]));
            }
        });
        for _ in 0..10 {
            let text = String::from_utf8(export(&stores)).unwrap();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let (header, trailer) = (&lines[0], &lines[lines.len() - 1]);
            let shown = numbers(&lines[1..lines.len() - 1]);
            assert_eq!(shown, (1..=header["head"].as_i64().unwrap()).collect::<Vec<i64>>());
            assert_eq!((&header["count"], &trailer["end"]), (&trailer["count"], &json!(true)));
            assert_eq!(shown.len() % 3, 1, "whole pushes only");
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_store_of_an_old_pattern_can_still_be_administered() {
    let stores = Stores::new();
    append(&stores, &body(json!(0), &["a"]));
    let Stores { place, token } = stores;
    let place = place.restarted_with(|options| options.arg("--events-store-id-pattern=new-.*"));
    let stores = Stores { place, token };
    refused(&get(&stores, "store=app"), 400, "invalid_argument");
    refused(&admin(&stores, "POST", "", br#"{"storeId":"other"}"#), 400, "invalid_argument");
    assert_eq!(admin(&stores, "GET", "", &[]).json()["stores"][0]["head"], 1);
    assert_eq!(admin(&stores, "GET", "/app/export", &[]).status, 200);
    assert_eq!(admin(&stores, "DELETE", "/app", br#"{"confirm":"app"}"#).status, 200);
}

#[test]
fn only_admins_administer() {
    let stores = Stores::new();
    append(&stores, &body(json!(0), &["a"]));
    let path = format!("{}/stores", events(&stores));
    let token = |ops: &[&str]| super::token(&stores.place, ops);
    for ops in [&["read"][..], &["read", "write"]] {
        refused(&call(&stores, &token(ops), "GET", &path, &[], &[]), 403, "permission_denied");
    }
    assert_eq!(call(&stores, &token(&["admin"]), "GET", &path, &[], &[]).status, 200);
    // A session administers and never syncs.
    let session = call(&stores, &stores.place.user.token, "GET", &events(&stores), &[], &[]);
    refused(&session, 403, "permission_denied");
    let stranger = stores.place.hub.signup("eve@example.com");
    assert_eq!(call(&stores, &stranger.token, "GET", &path, &[], &[]).status, 404);
}
