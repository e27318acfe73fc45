//! A hub that was restored from a backup, and its clients.

use std::fs;

use ferry_testkit::{Session, command::Ferry, http};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Backed, operator, settings, token};
use crate::{
    records::{Records, insert},
    support::{FERRY, Place, options, refused},
};

fn page(backed: &Backed, path: &str) -> (u16, Value) {
    let answer = backed.call("GET", path, "");
    (answer.status, answer.json())
}

/// The hub is lost, and restored into a new folder from its newest backup.
fn restored(backed: Backed) -> Backed {
    let ferry = backed.operator();
    let to = ferry.file("restored");
    let url = backed.url();
    let told = ferry.run(&["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.contains("keyring.json"), "{}", told.stderr);
    let dir = backed.records.place.hub.data_dir();
    let records = backed.records.restarted_with(|options| {
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(&to, &dir).unwrap();
        options
    });
    let Records { place: Place { hub, user, database }, .. } = records;
    // Whoever was let in must ask anew.
    refused(user.ferry("Whoami", &json!({})), "unauthenticated");
    let user = Session::login(hub.address(), &user.email);
    let records = Records::at(Place { hub, user, database });
    let token = token(&records.place);
    Backed { records, token, ..backed }
}

// Verifies: OPR-20, OPR-23, OPR-25, OPR-34
#[test]
fn clients_of_a_restored_hub_are_told_and_what_is_written_then_is_backed_up() {
    let backed = Backed::new();
    backed.write(0);
    let (_, first) = page(&backed, "/v1/databases/-/ops");
    let (_, before) = page(&backed, "/v1/databases/-/records/changes?app=todo&since=0");
    let seq = backed.records.place.user.seq(&backed.records.place.database);
    backed.back_up();
    // Lost: of each model one write, which its client holds.
    backed.write(1);
    let (_, lost) = page(&backed, "/v1/databases/-/records/changes?app=todo&since=0");
    let backed = restored(backed);
    // Numbers go on where none was given out.
    let now = backed.records.place.user.seq(&backed.records.place.database);
    assert!(now >= 1_000_000 && now > seq, "{now}");
    // Events wait for the operator.
    let held = backed.open_store().unwrap_err();
    assert_eq!((held.status, held.json()["error"]["code"].as_str()), (503, Some("STORE_HOLD")));
    // Records and ops begin anew: clients send again what they hold.
    let (cursor, epoch) = (lost["cursor"].as_str().unwrap(), lost["epoch"].as_str().unwrap());
    let path = format!("/v1/databases/-/records/changes?app=todo&since={cursor}&epoch={epoch}");
    let (status, answer) = page(&backed, &path);
    assert_eq!(
        (status, &answer["resync"], &answer["reason"]),
        (200, &json!(true), &json!("epoch")),
        "{answer}"
    );
    assert_ne!(answer["epoch"], before["epoch"]);
    let old = first["epoch"].as_str().unwrap();
    let (status, answer) = page(&backed, &format!("/v1/databases/-/ops?after_seq=2&epoch={old}"));
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("epoch_changed")), "{answer}");
    assert_eq!(answer["error"]["details"]["policy"], "repush");
    // The restored hub goes on with the same target.
    backed.records.push("maker", "", &json!([insert("tasks", "later", "x")]));
    let (id, _) = backed.back_up();
    let backed = restored(backed);
    let (found, _) = backed.records.pull_all("new", "tasks", "");
    let ids: Vec<&str> = found.iter().map(|change| change["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"later") && ids.contains(&"t0") && !ids.contains(&"t1"), "{ids:?} of {id}");
}

// Verifies: OPR-25
#[test]
fn what_was_revoked_since_the_backup_stays_dead() {
    let backed = Backed::new();
    let spec = json!({"kind": "secret", "label": "reader", "models": ["records"], "ops": ["read"]});
    let request = json!({"database": backed.records.place.database, "spec": spec});
    backed.records.place.user.ferry("CreateApiKey", &request).unwrap();
    backed.records.place.hub.signup("eve@example.com");
    let ferry = backed.operator();
    ferry.ok(&["admin", "user", "operator", "ada@example.com", "--on"]);
    backed.back_up();
    ferry.ok(&["admin", "user", "operator", "ada@example.com", "--off"]);
    let url = backed.url();
    let to = ferry.file("kept");
    let told = ferry.ok(&["backup", "restore", "--target", &url, "--to", to.to_str().unwrap(), "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let review = told["review"].as_array().unwrap();
    assert!(review.iter().any(|line| line.as_str().unwrap().ends_with("api key\treader")), "{told}");
    let operators: Vec<&str> =
        review.iter().filter_map(Value::as_str).filter(|line| line.contains("\toperator\t")).collect();
    assert!(
        matches!(operators[..], [one] if one.starts_with("u_") && one.ends_with("\tada@example.com")),
        "{told}"
    );
    // Even with the keys of the hub that was lost, sessions of then are over.
    for name in ["keyring.json", "operator.token"] {
        fs::copy(backed.records.place.hub.data_dir().join(name), to.join(name)).unwrap();
    }
    let hub = settings(options(), backed.target.path()).data_dir(&to).start();
    let user = backed.records.place.user.at(hub.address());
    refused(user.ferry("Whoami", &json!({})), "unauthenticated");
    let bearer = format!("Bearer {}", backed.token);
    let path = "/v1/databases/-/records/changes?app=todo&since=0";
    let dead = http::send(hub.address(), "GET", path, &[("Authorization", &bearer)], b"").unwrap();
    assert_eq!(dead.status, 401, "{}", dead.text());
    assert!(Session::login(hub.address(), &user.email).ferry("Whoami", &json!({})).is_ok());
}

// `ferry pull` put the older file over it: its version was taken for one that the hub had thinned out.
// Verifies: OPR-34, PAG-48
#[test]
fn a_file_that_holds_more_than_a_restored_hub_is_not_known_there() {
    let backed = Backed::new();
    let person = {
        let Place { hub, user, .. } = &backed.records.place;
        Ferry::new(FERRY, &hub.url()).env("FERRY_TOKEN", &user.token)
    };
    let file = person.file("notes.db");
    let push = |row: &str| {
        let notes = Connection::open(&file).unwrap();
        notes.execute_batch("CREATE TABLE IF NOT EXISTS t(x)").unwrap();
        notes.execute("INSERT INTO t VALUES (?1)", [row]).unwrap();
        drop(notes);
        let told = person.ok(&["push", "notes.db", "notes"]);
        told.split([' ', ':']).nth(1).unwrap().to_owned()
    };
    let created = person.ok(&["db", "create", "notes"]);
    let database = created.split('\t').next().unwrap();
    push("one");
    backed.back_up();
    let lost = push("two");
    let backed = restored(backed);
    let user = &backed.records.place.user;
    let request = json!({"databaseId": database, "models": ["pages"], "ops": ["read"], "ttlSeconds": 600});
    let token = user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
    let path = format!("/v1/databases/{database}/pages?since={lost}");
    let bearer = format!("Bearer {token}");
    let answer =
        http::send(backed.records.address(), "GET", &path, &[("Authorization", &bearer)], b"").unwrap();
    assert_eq!((answer.status, answer.json()["error"]["reason"].as_str()), (410, Some("BASE_UNKNOWN")));
}

// It knew of no target, and made the folder of one anew whose disk was not mounted.
// Verifies: OPR-20, OPR-24
#[test]
fn a_restored_hub_does_not_make_the_target_anew_that_it_comes_from() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    let (ferry, url) = (backed.operator(), backed.url());
    let to = ferry.file("restored");
    ferry.ok(&["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()]);
    backed.records.place.hub.stop();
    let (target, away) = (backed.target.path(), backed.target.path().with_extension("away"));
    fs::rename(target, &away).unwrap();
    let hub = settings(options(), target).data_dir(&to).start();
    let told = operator(&hub).fails(9, &["backup", "create"]);
    assert!(told.contains("is its disk mounted"), "{told}");
    assert!(!target.exists());
    fs::rename(&away, target).unwrap();
    operator(&hub).ok(&["backup", "create"]);
}
