//! Clients that hold events which the hub has lost: a backup of the whole data directory was put back, or a file that is
//! older by less than what the hub remembers beside it (events, EVT-47).
//!
//! The story: the documented backup was put back as documented, head 5 instead of 10. Nothing was noticed. Clients that
//! held 10 waited until another one had pushed 6 to 10 anew, then went on from there, and three clients held 18, 14 and
//! 10 different events of one log for ever.

use std::{fs, path::Path};

use ferry_testkit::{
    hooks::HookReceiver,
    http,
    livestore::{LiveSocket, chain, event, path},
    serve::Reply,
    wait,
};
use serde_json::{Value, json};

use super::{
    Stores, a,
    admin::{admin, confirmed, stat},
    api::{append, body, call, events, get, refused},
    token,
};
use crate::support::{self, control_db, copy_folder};

/// Puts the whole data directory of a stopped hub back to what `backup` holds, as when its volume is rolled back.
fn put_back(stores: &Stores, backup: &Path) {
    support::put_back(backup, &stores.place.hub.data_dir());
}

/// A hub whose data directory was put back: its store has 5 events, and clients hold 10. And the store's identity.
fn put_back_to_5() -> (Stores, String) {
    put_back_with(&[])
}

fn put_back_with(settings: &[&str]) -> (Stores, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = Stores::new();
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &chain(0, 5)).code(), "success");
    socket.pull(&a(2), false, None);
    let id = socket.page(&a(2)).backend_id;
    stores.place.hub.stop();
    copy_folder(&stores.place.hub.data_dir(), folder.path());
    stores = stores.restarted();
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 5)).code(), "success");
    stores.place.hub.stop();
    put_back(&stores, folder.path());
    let Stores { place, token } = stores;
    let place =
        place.restarted_with(|options| settings.iter().fold(options, |options, set| options.arg(*set)));
    (Stores { place, token }, id)
}

/// Pulls as a client that holds `at` events.
#[track_caller]
fn pull_ahead(stores: &Stores, bearer: &str, id: &str, at: i64) {
    let bearer = format!("Bearer {bearer}");
    let headers = [("Authorization", bearer.as_str())];
    let mut socket = LiveSocket::open(stores.address(), &path("app", "ws"), "app", &headers).unwrap();
    socket.pull(&a(1), true, Some((id, at)));
    assert_eq!(socket.closed(), 4409);
}

fn push_ahead(stores: &Stores, id: &str, parent: i64) {
    let mut socket = stores.open("app");
    socket.begin_push(&a(1), &chain(parent, 1), Some(id));
    assert_eq!(socket.exit_of(&a(1)).code(), "CLIENT_AHEAD");
}

fn metrics(stores: &Stores) -> String {
    http::get(stores.address(), "/metrics").unwrap().text()
}

// Verifies: EVT-47, EVT-09, EVT-25, OPR-36
#[test]
fn a_hub_that_was_put_back_whole_goes_on_until_its_log_would_reach_a_client() {
    let (stores, id) = put_back_to_5();
    assert_eq!((&stat(&stores)["state"], &stat(&stores)["suspect"]), (&json!("ok"), &Value::Null));
    pull_ahead(&stores, &stores.token, &id, 10);
    push_ahead(&stores, &id, 12);
    push_ahead(&stores, &id, 12);
    let shown = stat(&stores);
    assert_eq!((&shown["state"], &shown["holdReason"]), (&json!("ok"), &Value::Null));
    let suspect = &shown["suspect"];
    assert_eq!((&suspect["at"], &suspect["aheadBy"]), (&json!(10), &json!(5)));
    let devices = suspect["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2, "{suspect}");
    assert_eq!((&devices[0]["call"], &devices[0]["aheadBy"]), (&json!("pull"), &json!(5)));
    assert!(devices[0]["device"].as_str().unwrap().ends_with(" at 127.0.0.1"), "{suspect}");
    assert_eq!((&devices[1]["device"], &devices[1]["aheadBy"]), (&json!("client-a"), &json!(7)));
    assert!(metrics(&stores).contains("ferry_lineage_evidence_total{model=\"events\"} 2"));
    assert_eq!(admin(&stores, "GET", "", &[]).json()["stores"][0]["suspect"], *suspect);
    let clients = admin(&stores, "GET", "/app/clients", &[]).json();
    assert_eq!(clients["suspect"], *suspect);
    let blocked = &clients["clients"][0]["blocked"];
    assert_eq!((&blocked["code"], &blocked["tries"]), (&json!("CLIENT_AHEAD"), &json!(2)), "{clients}");
    assert!(blocked["advice"].as_str().unwrap().contains("remint"), "{blocked}");
    let log = stores.place.hub.log();
    assert!(
        log.contains("WARN") && log.contains("a client holds acknowledged events that this hub has lost")
    );
    let text = metrics(&stores);
    assert!(text.contains("ferry_events_suspect_stores 1"), "{text}");
    assert!(text.contains("ferry_events_cursor_ahead_total 3"), "{text}");

    // Below 10 nothing is lost by going on.
    let mut live = stores.open("app");
    live.pull(&a(9), true, Some((&id, 5)));
    live.page(&a(9));
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 4)).code(), "success");
    assert_eq!(live.page(&a(9)).numbers(), [6, 7, 8, 9]);
    // It survives what the hub does not.
    let stores = stores.restarted();
    let mut live = stores.open("app");
    live.pull(&a(9), true, Some((&id, 9)));
    live.page(&a(9));
    assert_eq!(stores.open("app").push(&a(1), &chain(9, 1)).code(), "STORE_HOLD");
    assert_eq!(live.closed(), 4503);
    let held = stat(&stores);
    assert_eq!((&held["state"], &held["holdReason"]), (&json!("hold"), &json!("cursors_ahead")));
    assert_eq!((&held["head"], &held["suspect"]["aheadBy"]), (&json!(9), &json!(1)));
    refused(&append(&stores, &body(Value::Null, &["x"])), 503, "store_hold");
    let clients = admin(&stores, "GET", "/app/clients", &[]).json();
    assert_eq!(clients["clients"][0]["blocked"]["code"], "STORE_HOLD", "{clients}");
    let stores = stores.restarted();
    assert_eq!(stat(&stores)["holdReason"], "cursors_ahead");

    // The operator decides: everybody begins anew.
    assert_eq!(confirmed(&stores, "remint").status, 200);
    let shown = stat(&stores);
    assert_eq!((&shown["state"], &shown["suspect"]), (&json!("ok"), &Value::Null));
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, Some((&id, 10)));
    assert_eq!(socket.exit_of(&a(1)).code(), "BackendIdMismatchError");
    assert_eq!(socket.push(&a(2), &chain(9, 5)).code(), "success");
    assert!(metrics(&stores).contains("ferry_events_stores{state=\"hold\"} 0"));
}

// Verifies: EVT-47, EVT-44
#[test]
fn resume_clears_what_is_known_and_the_next_client_says_it_again() {
    let (stores, id) = put_back_to_5();
    pull_ahead(&stores, &stores.token, &id, 8);
    assert_eq!(confirmed(&stores, "resume").json()["suspect"], Value::Null, "not on hold, but suspect");
    refused(&confirmed(&stores, "resume"), 409, "not_on_hold");
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 5)).code(), "success");
    pull_ahead(&stores, &stores.token, &id, 15);
    assert_eq!(
        stores.open("app").push(&a(1), &chain(10, 7)).code(),
        "STORE_HOLD",
        "a batch may not leap over it"
    );
    assert_eq!(confirmed(&stores, "resume").json()["state"], "ok");
    assert_eq!(stores.open("app").push(&a(1), &chain(10, 7)).code(), "success");
}

// Verifies: EVT-47
#[test]
fn a_file_older_by_less_than_the_hub_remembers_is_noticed_by_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = Stores::new();
    let mut socket = stores.open("app");
    socket.push(&a(1), &chain(0, 5));
    socket.pull(&a(2), false, None);
    let id = socket.page(&a(2)).backend_id;
    stores.place.hub.stop();
    let database = stores.place.hub.database_dir(&stores.place.database);
    copy_folder(&database, folder.path());
    stores = stores.restarted();
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 5)).code(), "success");
    stores.place.hub.kill();
    let sql = "UPDATE watermarks SET head = 5 WHERE model = 'events' AND store = 'app'";
    // As it stands until it is saved again, within 5 s.
    assert_eq!(control_db(&stores.place.hub).execute(sql, []).unwrap(), 1);
    let sql = "DELETE FROM watermarks WHERE model = 'database'";
    assert_eq!(control_db(&stores.place.hub).execute(sql, []).unwrap(), 1);
    fs::remove_dir_all(&database).unwrap();
    copy_folder(folder.path(), &database);
    let stores = stores.restarted();
    assert_eq!(stat(&stores)["state"], "ok");
    pull_ahead(&stores, &stores.token, &id, 10);
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 5)).code(), "STORE_HOLD");
    assert_eq!(stat(&stores)["holdReason"], "cursors_ahead");
}

// Verifies: EVT-47
#[test]
fn a_client_ahead_without_proof_does_not_make_the_store_suspect() {
    let (stores, id) = put_back_to_5();
    // Who may only read could stop a store for those who write.
    pull_ahead(&stores, &token(&stores.place, &["read"]), &id, 10);
    // Without the store's identity a number says nothing.
    assert_eq!(stores.open("app").push(&a(1), &chain(10, 1)).code(), "CLIENT_AHEAD");
    refused(&get(&stores, "store=app&after=10"), 409, "cursor_ahead");
    // What was sent behind a batch that is refused builds on events that nobody acknowledged.
    let mut socket = stores.open("app");
    let mut broken = chain(5, 3);
    broken[2]["name"] = json!("");
    for (number, batch) in [(1, broken), (2, chain(8, 1)), (3, chain(6, 2))] {
        socket.begin_push(&a(number), &batch, Some(&id));
    }
    let codes: Vec<_> = (1..=3).map(|number| socket.exit_of(&a(number)).code()).collect();
    assert_eq!(codes, ["INVALID_BATCH", "CLIENT_AHEAD", "CLIENT_AHEAD"]);
    assert_eq!(stat(&stores)["suspect"], Value::Null);
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 7)).code(), "success");
}

// Verifies: EVT-47
#[test]
fn a_store_may_be_held_at_once_or_never() {
    let (stores, id) = put_back_with(&["--events-on-cursor-ahead=hold"]);
    let mut live = stores.open("app");
    live.pull(&a(9), true, None);
    live.page(&a(9));
    pull_ahead(&stores, &stores.token, &id, 10);
    assert_eq!(live.closed(), 4503);
    assert_eq!(stat(&stores)["holdReason"], "cursors_ahead");

    let (stores, id) = put_back_with(&["--events-on-cursor-ahead=refuse"]);
    pull_ahead(&stores, &stores.token, &id, 10);
    push_ahead(&stores, &id, 10);
    assert_eq!(stat(&stores)["suspect"], Value::Null);
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 7)).code(), "success");
    assert_eq!(admin(&stores, "GET", "/app/clients", &[]).json()["cursorsAhead"], 1);
}

// Verifies: EVT-47, EVT-70
#[test]
fn clients_of_the_v1_api_that_are_ahead_are_detected_as_on_the_wire() {
    let (stores, id) = put_back_to_5();
    refused(&get(&stores, &format!("store=app&after=12&backendId={id}")), 409, "cursor_ahead");
    assert_eq!(stat(&stores)["suspect"]["at"], 12);
    let mut late = body(json!(10), &["x"]);
    late["backendId"] = json!(id);
    refused(&append(&stores, &late), 409, "client_ahead");
    assert_eq!(stat(&stores)["suspect"]["at"], 10, "the lowest counts");
    assert_eq!(append(&stores, &body(Value::Null, &["a", "b", "c", "d"])).status, 201);
    refused(&append(&stores, &body(Value::Null, &["e"])), 503, "store_hold");
    assert_eq!(stat(&stores)["head"], 9);
}

// Verifies: EVT-47, EVT-46
#[test]
fn events_that_the_operator_puts_back_end_the_suspicion() {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = Stores::new();
    stores.open("app").push(&a(1), &chain(0, 5));
    stores.place.hub.stop();
    copy_folder(&stores.place.hub.data_dir(), folder.path());
    let mut stores = stores.restarted();
    stores.open("app").push(&a(1), &chain(5, 5));
    let lost = admin(&stores, "GET", "/app/export?after=5", &[]);
    let id = stat(&stores)["backendId"].as_str().unwrap().to_owned();
    stores.place.hub.stop();
    put_back(&stores, folder.path());
    let stores = stores.restarted();
    pull_ahead(&stores, &stores.token, &id, 10);
    assert_eq!(admin(&stores, "POST", "/app/import?mode=append", &lost.body).status, 200);
    assert_eq!(stat(&stores)["suspect"], Value::Null);
    assert_eq!(stores.open("app").push(&a(1), &chain(10, 1)).code(), "success");
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, Some((&id, 10)));
    assert_eq!(socket.page(&a(1)).numbers(), [11]);
}

// Verifies: EVT-47, EVT-57
#[test]
fn events_added_by_a_hook_never_reach_a_position_that_a_client_holds() {
    let receiver = HookReceiver::start();
    receiver.answer(|_| Reply::json(&json!({"verdict": "accept", "append": [{"name": "of the hub"}]})));
    let hook = format!("--events-on-push-url={}", receiver.url());
    let (stores, id) = put_back_with(&[&hook]);
    pull_ahead(&stores, &stores.token, &id, 7);
    assert_eq!(stores.open("app").push(&a(1), &[event(6, 5)]).code(), "STORE_HOLD");
    assert_eq!(stat(&stores)["head"], 5);
}

// Verifies: EVT-47
#[test]
fn thousands_of_clients_ahead_are_bounded_and_the_lowest_counts() {
    let (stores, id) = put_back_to_5();
    let mut socket = stores.open("app");
    for number in 0..150_i64 {
        let mut made = event(1000 - number + 1, 1000 - number);
        made["clientId"] = json!(format!("client-{number:03}"));
        socket.begin_push(&a(1), &[made], Some(&id));
        assert_eq!(socket.exit_of(&a(1)).code(), "CLIENT_AHEAD");
    }
    let devices = wait::until("the evidence to be written", || {
        let shown = stat(&stores);
        (shown["suspect"]["at"] == 851).then(|| shown["suspect"]["devices"].as_array().unwrap().len())
    });
    assert_eq!(devices, 100);
    let other =
        call(&stores, &stores.place.user.token, "GET", &format!("{}/clients", events(&stores)), &[], &[]);
    assert_eq!(other.json()["clients"].as_array().unwrap().len(), 150);
}
