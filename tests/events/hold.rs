//! A restored file that is older than what was acknowledged is put on hold (events, scenario 15).

use std::{fs, path::Path};

use ferry_testkit::{
    livestore::{LiveSocket, chain, path},
    wait,
};
use rusqlite::Connection;
use serde_json::json;

use super::{Stores, a};
use crate::support::copy_folder;

/// A hub whose database was put back to an older state, not started yet.
pub(super) fn rolled_back(backup: &Path) -> Stores {
    let mut stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 5)).code(), "success");
    stores.place.hub.stop();
    let dir = stores.place.hub.database_dir(&stores.place.database);
    copy_folder(&dir, backup);
    stores = stores.restarted();
    assert_eq!(stores.open("app").push(&a(1), &chain(5, 5)).code(), "success");
    stores.place.hub.stop();
    fs::remove_dir_all(&dir).unwrap();
    copy_folder(backup, &dir);
    stores
}

// Verifies: EVT-43, EVT-44
#[test]
fn an_older_file_is_put_on_hold() {
    let folder = tempfile::tempdir().unwrap();
    let stores = rolled_back(&folder.path().join("backup")).restarted();
    let open = |stores: &Stores| {
        let bearer = format!("Bearer {}", stores.token);
        LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
    };
    let refused = open(&stores).unwrap_err();
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("STORE_HOLD")));
    assert!(refused.header("retry-after").is_some());
    let body = json!({"_tag": "Request", "id": "0", "tag": "SyncHttpRpc.Pull", "headers": [],
                      "payload": {"storeId": "app", "cursor": {"_tag": "None"}}});
    let answer = stores.post("app", &body);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()[0]["exit"]["cause"]["error"]["payload"]["code"], "STORE_HOLD");
    let text = ferry_testkit::http::get(stores.address(), "/metrics").unwrap().text();
    assert!(text.contains("ferry_events_stores{state=\"hold\"} 1"), "an alarm");
    // Other stores of the database serve; the hold outlives a restart.
    assert_eq!(stores.open("other").push(&a(1), &chain(0, 1)).code(), "success");
    let stores = stores.restarted();
    assert_eq!(open(&stores).unwrap_err().status, 503);
}

// Verifies: EVT-44, EVT-45
#[test]
fn with_remint_an_older_file_gets_a_new_identity() {
    let folder = tempfile::tempdir().unwrap();
    let stores = rolled_back(&folder.path().join("backup"));
    let (token, dir) = (stores.token, stores.place.hub.database_dir(&stores.place.database));
    let old: String = Connection::open(dir.join("main.db"))
        .unwrap()
        .query_row("SELECT backend_id FROM _ferry_event_logs", [], |row| row.get(0))
        .unwrap();
    let place = stores.place.restarted_with(|options| options.arg("--events-on-rollback=remint"));
    let stores = Stores { place, token };
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, Some((&old, 10)));
    assert_eq!(socket.exit_of(&a(1)).code(), "BackendIdMismatchError", "clients wipe their copy");
    socket.pull(&a(2), true, None);
    let page = socket.page(&a(2));
    assert_eq!(page.events.len(), 5);
    assert_ne!(page.backend_id, old);
    let recorded: (String, String) = Connection::open(dir.join("main.db"))
        .unwrap()
        .query_row("SELECT old_id, new_id FROM _ferry_event_identities", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(recorded, (old, page.backend_id));
}

// Verifies: EVT-43
#[test]
fn positions_are_saved_while_the_hub_runs() {
    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 7)).code(), "success");
    let control = crate::support::control_db(&stores.place.hub);
    let saved = || {
        let sql = "SELECT head FROM watermarks WHERE model = 'events' AND store = 'app'";
        control.query_row(sql, [], |row| row.get::<_, i64>(0)).ok().filter(|head| *head == 7)
    };
    wait::until("the position to be saved", saved);
}

// Verifies: EVT-42
#[test]
fn a_log_that_lost_its_end_is_put_on_hold() {
    let mut stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 5)).code(), "success");
    stores.place.hub.stop();
    let file = stores.place.hub.database_dir(&stores.place.database).join("main.db");
    let sql = "DELETE FROM _ferry_events WHERE seq_num = 5";
    Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let stores = stores.restarted();
    let bearer = format!("Bearer {}", stores.token);
    let refused =
        LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)]);
    assert_eq!(refused.unwrap_err().status, 503);
}
