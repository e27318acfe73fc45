//! One database is put back on a running hub, beside the living one or in its place, and its clients.

use std::{collections::BTreeSet, fs};

use ferry_testkit::{
    command::Ferry,
    dump, http,
    page_bodies::{apply, normal},
    sample::Shape,
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Backed, objects, operator, settings};
use crate::{
    cli::sync::{ada, run, second_machine},
    ops::{
        A, Ops, hlc, set,
        spokes::{Site, assert_equal, settle},
    },
    records::insert,
    support::{options, refused},
};

/// The operator puts a database back; what the hub says of it.
fn restored(ferry: &Ferry, arguments: &[&str]) -> Value {
    let told = ferry.ok(&[&["backup", "restore", "--json"], arguments].concat());
    let job: Value = serde_json::from_str(&told).unwrap();
    let result: Value = serde_json::from_str(job["resultJson"].as_str().unwrap()).unwrap();
    result["restored"][0].clone()
}

fn get(backed: &Backed, token: &str, path: &str) -> http::Response {
    let bearer = format!("Bearer {token}");
    http::send(backed.records.address(), "GET", path, &[("Authorization", &bearer)], b"").unwrap()
}

/// The tasks that a new device is given.
fn tasks(backed: &Backed) -> Vec<String> {
    let (found, _) = backed.records.pull_all("new", "tasks", "");
    let ids: BTreeSet<String> =
        found.iter().map(|change| change["id"].as_str().unwrap().to_owned()).collect();
    ids.into_iter().collect()
}

fn trash(backed: &Backed) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(backed.records.place.hub.data_dir().join("trash")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

// Verifies: OPR-22, OPR-34, OPR-37
#[test]
fn a_database_is_replaced_under_its_clients_and_each_is_told() {
    let backed = Backed::new();
    backed.write(0);
    let (pull, database) = (backed.records.place.pull_token(), backed.records.place.database.clone());
    let (id, _) = backed.back_up();
    let then = backed.restore_file(&id, "app", "then.db");
    backed.write(1);
    let lost = get(&backed, &backed.token, "/v1/databases/-/records/changes?app=todo&since=0").json();
    let ops = get(&backed, &backed.token, "/v1/databases/-/ops").json();
    let file = get(&backed, &pull, "/v1/databases/-/file");
    let tag = file.header("etag").unwrap().trim_matches('"').to_owned();
    let seq = backed.records.place.user.seq(&database);
    // A socket is open meanwhile; another name than the database's changes nothing.
    let mut socket = backed.open_store().unwrap();
    let ferry = backed.operator();
    let request = json!({"database": "app", "replace": true, "confirmName": "other"});
    refused(backed.records.place.user.ferry("RestoreDatabase", &request), "permission_denied");
    ferry.fails(2, &["backup", "restore", "--database", "app", "--replace", "--as", "x"]);
    let done = restored(&ferry, &["--database", "app", "--replace", "--yes"]);
    assert_eq!(
        (&done["id"], &done["backup"], &done["held_stores"]),
        (&json!(database), &json!(id), &json!(1))
    );
    assert_eq!(done["lost"], json!(seq - done["backup_seq"].as_u64().unwrap()));
    socket.closed();
    let now = backed.records.place.user.seq(&database);
    assert_eq!((now, now % 1_000_000 < 10), (done["seq"].as_u64().unwrap(), true), "{now} after {seq}");
    assert!(now >= 1_000_000);
    // Events wait for the operator.
    let held = backed.open_store().unwrap_err();
    assert_eq!((held.status, held.json()["error"]["code"].as_str()), (503, Some("STORE_HOLD")));
    // Records and ops begin anew: clients send again what they hold.
    let (cursor, epoch) = (lost["cursor"].as_str().unwrap(), lost["epoch"].as_str().unwrap());
    let path = format!("/v1/databases/-/records/changes?app=todo&since={cursor}&epoch={epoch}");
    let answer = get(&backed, &backed.token, &path).json();
    assert_eq!((&answer["resync"], &answer["reason"]), (&json!(true), &json!("epoch")), "{answer}");
    let path = format!("/v1/databases/-/ops?after_seq=2&epoch={}", ops["epoch"].as_str().unwrap());
    let answer = get(&backed, &backed.token, &path);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (409, &json!("epoch_changed")));
    // Who follows its pages has what it is now.
    let body = get(&backed, &pull, &format!("/v1/databases/-/pages?since={tag}"));
    assert_eq!(body.status, 200, "{}", body.text());
    let now = get(&backed, &pull, "/v1/databases/-/file");
    assert!(now.header("etag") != file.header("etag"));
    assert!(apply(&normal(&file.body), &body.body).pages == normal(&now.body));
    assert_eq!(tasks(&backed), ["t0"]);
    // The old file is kept, whole.
    let kept = trash(&backed);
    assert_eq!(kept.len(), 1);
    assert!(kept[0].ends_with(done["kept_as"].as_str().unwrap()));
    let count = |file: &std::path::Path| -> i64 {
        let connection = Connection::open(file).unwrap();
        connection.query_row("SELECT count(*) FROM _ferry_ops", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count(&kept[0].join("main.db")), count(&then)), (2, 1));
    // It goes on: writes, backups, restarts.
    backed.records.push("maker", "", &json!([insert("tasks", "later", "x")]));
    backed.back_up();
    let backed = backed.restarted_with(|options| options);
    assert_eq!(tasks(&backed), ["later", "t0"]);
    let control = Connection::open(backed.records.place.hub.data_dir().join("control.db")).unwrap();
    let sql = "SELECT count(*) FROM audit WHERE action = 'backup.replace' AND target = 'app'";
    assert_eq!(control.query_row(sql, [], |row| row.get::<_, i64>(0)), Ok(1));
}

// Verifies: OPR-22
#[test]
fn a_database_is_restored_beside_the_living_one_or_a_deleted_one() {
    let backed = Backed::new();
    backed.write(0);
    let (id, _) = backed.back_up();
    backed.write(1);
    let ferry = backed.operator();
    let beside = restored(&ferry, &["--database", "app", "--as", "before"]);
    let (new, old) = (beside["id"].as_str().unwrap().to_owned(), backed.records.place.database.clone());
    assert_ne!(new, old);
    // Its name is taken now, and bad ones are.
    ferry.fails(6, &["backup", "restore", "--database", "app", "--as", "before"]);
    ferry.fails(9, &["backup", "restore", "--database", "app", "--as", "a/b"]);
    ferry.fails(5, &["backup", "restore", "--database", "nobody", "--as", "x"]);
    let dirs = fs::read_dir(backed.records.place.hub.data_dir().join("databases")).unwrap().count();
    assert_eq!(dirs, 2, "what was refused left nothing");
    // The living one goes on; credentials of it do not open the copy.
    let open = |token: &str, database: &str| {
        let path = format!("/v1/databases/{database}/ops");
        let answer = get(&backed, token, &path);
        (answer.status, answer.json())
    };
    let (status, living) = open(&backed.token, &old);
    assert_eq!((status, living["ops"].as_array().map(Vec::len)), (200, Some(2)), "{living}");
    let (status, _) = open(&backed.token, &new);
    assert!(matches!(status, 403 | 404), "{status}");
    let request = json!({"databaseId": new, "models": ["events", "records", "ops"], "ops": ["read", "write"], "ttlSeconds": 60});
    let token = backed.records.place.user.ferry("IssueSyncToken", &request).unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, copy) = open(&token, &new);
    assert_eq!((status, copy["ops"].as_array().map(Vec::len)), (200, Some(1)), "{copy}");
    // Two logs that diverge share no identity.
    assert_ne!(copy["epoch"], living["epoch"]);
    assert_ne!(copy["hub_id"], living["hub_id"]);
    // And one that was deleted, by its id or by the name that it had.
    let delete = json!({"databaseId": old});
    backed.records.place.user.ferry("DeleteDatabase", &delete).unwrap();
    let again = restored(&ferry, &[&*id, "--database", "app", "--as", "app"]);
    let by_id = restored(&ferry, &["--database", &old, "--as", "by-id"]);
    for one in [again, by_id] {
        let request = json!({"databaseId": one["id"], "models": ["ops"], "ops": ["read"], "ttlSeconds": 60});
        let token = backed.records.place.user.ferry("IssueSyncToken", &request).unwrap();
        let (status, copy) = open(token["token"].as_str().unwrap(), one["id"].as_str().unwrap());
        assert_eq!((status, copy["ops"].as_array().map(Vec::len)), (200, Some(1)), "{copy}");
    }
}

// Verifies: OPR-22
#[test]
fn a_pushed_file_is_put_back_as_its_next_version() {
    let target = tempfile::tempdir().unwrap();
    let hub = settings(options(), target.path()).start();
    let one = ada(&hub);
    Shape::default().create(&one.file("app.db"), 50, 1);
    one.ok(&["push", "app.db", "app"]);
    let then = dump::dump(&one.file("app.db"));
    operator(&hub).ok(&["backup", "create"]);
    run(&one.file("app.db"), "UPDATE item SET price = 2 WHERE id = 1");
    one.ok(&["push", "app.db"]);
    let two = second_machine(&hub);
    two.ok(&["clone", "app", "app.db"]);
    let done = restored(&operator(&hub), &["--database", "app", "--replace", "--yes"]);
    assert_eq!(done["seq"], json!(3));
    // Real clients pull it as any version; what was before is in the history.
    for machine in [&one, &two] {
        assert!(machine.ok(&["pull", "app.db"]).contains("3-"), "no conflict");
        assert!(dump::dump(&machine.file("app.db")) == then);
    }
    assert_eq!(one.ok(&["versions", "app"]).lines().filter(|line| line.contains('-')).count(), 3);
    let beside = restored(&operator(&hub), &["--database", "app", "--as", "before"]);
    assert!(beside["id"].as_str().is_some());
    one.ok(&["clone", "before", "before.db"]);
    assert!(dump::dump(&one.file("before.db")) == then);
}

// Verifies: OPR-22, OPR-34
#[test]
fn spokes_of_a_replaced_database_send_again_what_it_lost() {
    let target = tempfile::tempdir().unwrap();
    let ops = Ops::of(settings(options(), target.path()).start());
    let sites = [Site::new(&ops), Site::new(&ops)];
    let all = [&sites[0], &sites[1]];
    sites[0].spoke.set("note/1", "title", &json!("first"));
    settle(&all);
    let ferry = operator(&ops.place.hub);
    ferry.ok(&["backup", "create"]);
    sites[0].spoke.set("note/1", "title", &json!("second"));
    sites[1].spoke.set("note/2", "title", &json!("other"));
    settle(&all);
    let done = restored(&ferry, &["--database", &ops.place.database, "--replace", "--yes"]);
    assert!(done["lost"].as_u64().unwrap() > 0, "{done}");
    wait::until("both are as far as the hub", || {
        settle(&all);
        (all.iter().all(|site| site.spoke.status()["pending"] == 0)).then_some(())
    });
    let state = assert_equal(&ops, &all);
    assert_eq!(state["note/1"]["fields"]["title"], "second");
    assert_eq!(state["note/2"]["fields"]["title"], "other");
}

// No hub restored that had a database without ops: what a restore gives each file asked for their table.
// Verifies: OPR-20, OPR-22, OPR-34
#[test]
fn a_database_of_one_model_alone_is_put_back() {
    let writes: [fn(&Backed, u64); 3] = [
        |backed, n| backed.write_events(n, 1),
        |backed, n| {
            backed.records.push("maker", "", &json!([insert("tasks", &format!("t{n}"), "x")]));
        },
        |backed, n| {
            let op = set(&format!("op-a-{n:05}"), &hlc(n, 0, A), "n/1", "t", &json!(n), &[]);
            let body = json!({"origin": A, "ops": [op]}).to_string();
            assert_eq!(backed.call("POST", "/v1/databases/-/ops", &body).status, 200);
        },
    ];
    for write in writes {
        let backed = Backed::new();
        write(&backed, 0);
        backed.back_up();
        write(&backed, 1);
        let ferry = backed.operator();
        let done = restored(&ferry, &["--database", "app", "--replace", "--yes"]);
        assert_eq!((&done["lost"], &done["seq"]), (&json!(1), &json!(1_000_000)));
        restored(&ferry, &["--database", "app", "--as", "beside"]);
        let to = ferry.file("whole");
        ferry.ok(&["backup", "restore", "--target", &backed.url(), "--to", to.to_str().unwrap()]);
    }
}

// Verifies: OPR-22
#[test]
fn a_database_that_cannot_be_replaced_stays_as_it_is() {
    let backed = Backed::new();
    backed.write(0);
    let name = "restore.ready=full";
    backed.back_up();
    backed.write(1);
    let backed = backed.restarted_with(|options| options.fault(name));
    let ferry = backed.operator();
    let replace = ["backup", "restore", "--database", "app", "--replace", "--yes"];
    ferry.fails(1, &replace);
    assert_eq!(tasks(&backed), ["t0", "t1"]);
    assert!(trash(&backed).is_empty());
    backed.write(2);
    // A backup that is damaged is put nowhere.
    let packs = objects(backed.target.path());
    for pack in packs.iter().filter(|object| object.starts_with("packs/")) {
        let path = backed.target.path().join(pack);
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
        fs::write(&path, bytes).unwrap();
    }
    let backed = backed.restarted_with(|options| options);
    let ferry = backed.operator();
    ferry.fails(11, &replace);
    ferry.fails(11, &["backup", "restore", "--database", "app", "--as", "copy"]);
    assert_eq!(tasks(&backed), ["t0", "t1", "t2"]);
    assert!(trash(&backed).is_empty());
}

// Verifies: OPR-22
#[test]
fn a_hub_that_is_killed_while_it_puts_a_database_back_has_the_one_or_the_other() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    backed.write(1);
    for (point, is_new) in [("restore.ready", false), ("restore.exchanged", true)] {
        backed = backed.restarted_with(|options| options.fault(format!("{point}=kill")));
        let _ = backed.operator().run(&["backup", "restore", "--database", "app", "--replace", "--yes"]);
        backed = backed.restarted_with(|options| options);
        let seq = backed.records.place.user.seq(&backed.records.place.database);
        assert_eq!(seq >= 1_000_000, is_new, "{point}: {seq}");
        assert_eq!(tasks(&backed), if is_new { &["t0"][..] } else { &["t0", "t1"] }, "{point}");
    }
    for (point, is_there) in [("restore.made", false), ("restore.named", true)] {
        backed = backed.restarted_with(|options| options.fault(format!("{point}=kill")));
        let _ = backed.operator().run(&[
            "backup",
            "restore",
            "--database",
            "app",
            "--as",
            point.split('.').next_back().unwrap(),
        ]);
        backed = backed.restarted_with(|options| options);
        let listed = backed.records.place.user.ferry("ListDatabases", &json!({})).unwrap();
        let name = point.split('.').next_back().unwrap();
        let has = listed["databases"].as_array().unwrap().iter().any(|one| one["name"] == name);
        assert_eq!(has, is_there, "{point}: {listed}");
        let dirs = fs::read_dir(backed.records.place.hub.data_dir().join("databases")).unwrap().count();
        assert_eq!(dirs, if is_there { 2 } else { 1 }, "{point}");
    }
}
