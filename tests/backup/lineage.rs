//! Data directories that were copied, moved, or put back by hand, in every way that leaves a sign (acceptance scenarios 10
//! and 11): the hub notices, and each client is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ferry_testkit::{Hub, command::Ferry, http, hub::Refused};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::Backed;
use crate::{
    events::a,
    ops::spokes,
    records::insert,
    support::{FERRY, Place, control_db, empty_but_for, options, put_back},
};
use ferry_testkit::livestore::{LiveSocket, chain, path};

/// What clients of records and ops know of the hub.
struct Known {
    cursor: String,
    records_epoch: String,
    ops_epoch: String,
    head: u64,
}

impl Known {
    /// As they saw it last.
    fn of(backed: &Backed) -> Self {
        let records = backed.call("GET", "/v1/databases/-/records/changes?app=todo&since=0", "").json();
        let ops = backed.call("GET", "/v1/databases/-/ops", "").json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            cursor: text(&records["cursor"]),
            records_epoch: text(&records["epoch"]),
            ops_epoch: text(&ops["epoch"]),
            head: ops["head"].as_u64().unwrap(),
        }
    }

    /// What each client is told now: of events, records, ops.
    fn told(&self, backed: &Backed) -> [bool; 3] {
        let held = match backed.open_store() {
            Ok(_) => false,
            Err(refused) => {
                assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("STORE_HOLD")));
                true
            }
        };
        let Self { cursor, records_epoch, ops_epoch, head } = self;
        let path = format!("/v1/databases/-/records/changes?app=todo&since={cursor}&epoch={records_epoch}");
        let records = backed.call("GET", &path, "").json();
        let path = format!("/v1/databases/-/ops?after_seq={head}&epoch={ops_epoch}");
        let ops = backed.call("GET", &path, "");
        if ops.status != 200 {
            assert_eq!(ops.json()["error"]["details"]["policy"], "repush", "{}", ops.text());
        }
        [held, records["resync"] == true, ops.status == 409]
    }
}

/// A hub that was written after its data directory `data` was copied to `older`, and what its clients know.
struct WrittenOn {
    backed: Backed,
    data: PathBuf,
    older: PathBuf,
    database: String,
    known: Known,
}

impl WrittenOn {
    fn new() -> Self {
        let mut backed = Backed::new();
        backed.write(0);
        let (data, older) = (backed.records.place.hub.data_dir(), beside(&backed, "older"));
        backed.records.place.hub.stop();
        copy(&data, &older);
        backed = backed.restarted_with(|options| options);
        backed.write(1);
        let (database, known) = (backed.records.place.database.clone(), Known::of(&backed));
        Self { backed, data, older, database, known }
    }
}

/// The hub that its clients are at, started over `data`.
fn over(backed: Backed, data: &Path, arguments: &[&str]) -> Backed {
    backed.restarted_with(|options| {
        arguments.iter().fold(options, |options, argument| options.arg(*argument)).data_dir(data)
    })
}

/// A folder beside the hub's data, not made yet.
fn beside(backed: &Backed, name: &str) -> PathBuf {
    backed.records.place.hub.data_dir().with_file_name(name)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// A start over `data` that must end by itself.
fn must_ask(data: &Path) -> String {
    let Refused { code, output } = options().data_dir(data).try_start().map(drop).unwrap_err();
    assert_eq!(code, Some(78), "{output}");
    for name in ["admin lineage moved", "admin lineage restored", "on_copied"] {
        assert!(output.contains(name), "{name}: {output}");
    }
    output
}

/// `ferry admin lineage`, with the hub stopped.
fn lineage(verb: &str, data: &Path) -> String {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    ferry.ok(&["admin", "lineage", verb, "--data-dir", data.to_str().unwrap()])
}

/// Lines of a kind that `lineage show` prints.
fn shown(data: &Path, kind: &str) -> Vec<String> {
    let all = lineage("show", data);
    let lines = all.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix('\t'));
    lines.map(str::to_owned).collect()
}

/// What `/readyz` says of the data's origin.
fn lineage_check(hub: &Hub) -> Value {
    let ready = http::get(hub.address(), "/readyz").unwrap();
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")), "{}", ready.text());
    ready.json()["checks"]["lineage"].clone()
}

fn metric(hub: &Hub, name: &str) -> f64 {
    let text = http::get(hub.address(), "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |number| number.parse().unwrap())
}

fn actions(hub: &Hub, action: &str) -> Vec<String> {
    let control = control_db(hub);
    let mut statement = control.prepare("SELECT target FROM audit WHERE action = ?1 ORDER BY id").unwrap();
    statement.query_map([action], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[track_caller]
fn assert_nothing_told(backed: &Backed, known: &Known) {
    assert_eq!(known.told(backed), [false; 3]);
    let hub = &backed.records.place.hub;
    assert_eq!(lineage_check(hub), Value::Null);
    assert_eq!(metric(hub, "ferry_breaks_total"), 0.0);
    assert!(!hub.log().contains("put back"), "{}", hub.log());
}

#[track_caller]
fn assert_told(backed: &Backed, known: &Known) {
    assert_eq!(known.told(backed), [true; 3]);
    let hub = &backed.records.place.hub;
    assert_eq!(lineage_check(hub), "restored");
    assert_eq!(metric(hub, "ferry_breaks_total"), 1.0);
    assert_eq!(backed.records.place.user.seq(&backed.records.place.database) / 1_000_000, 1);
}

/// The data as the version before left it, which named no runs.
fn of_the_version_before(data: &Path, database: &str) {
    fs::remove_file(data.join("lineage")).unwrap();
    let control = Connection::open(data.join("control.db")).unwrap();
    let sql = "DROP TABLE runs; DROP TABLE breaks; DELETE FROM watermarks WHERE model = 'database'; PRAGMA user_version = 6";
    control.execute_batch(sql).unwrap();
    let main = Connection::open(data.join("databases").join(database).join("main.db")).unwrap();
    assert_eq!(main.execute("DELETE FROM _ferry_meta WHERE key IN ('run', 'break')", []).unwrap(), 1);
}

// Verifies: OPR-30, OPR-31
#[test]
fn upgrades_restarts_kills_and_renames_are_no_restore() {
    let mut backed = Backed::new();
    backed.write(0);
    let known = Known::of(&backed);
    let (data, database) = (backed.records.place.hub.data_dir(), backed.records.place.database.clone());
    backed.records.place.hub.stop();
    of_the_version_before(&data, &database);
    backed = backed.restarted_with(|options| options);
    assert_nothing_told(&backed, &known);
    backed.write(1);
    // Killed, and stopped in order, more than once, so that both records are written anew.
    for n in 2..5 {
        backed = backed.restarted_with(|options| options);
        assert_nothing_told(&backed, &known);
        backed.write(n);
        backed.records.place.hub.stop();
    }
    let renamed = beside(&backed, "renamed");
    fs::rename(&data, &renamed).unwrap();
    assert_eq!(shown(&renamed, "state"), ["stopped"]);
    backed = over(backed, &renamed, &[]);
    assert_nothing_told(&backed, &known);
    // Back to the version before, which goes on, and forth again.
    backed.records.place.hub.kill();
    let control = Connection::open(renamed.join("control.db")).unwrap();
    let sql = "UPDATE _ferry_meta SET value = value + 5 WHERE key = 'seq'";
    control.execute_batch(sql).unwrap();
    drop(control);
    backed = backed.restarted_with(|options| options);
    assert_nothing_told(&backed, &known);
    assert_eq!(shown(&renamed, "state"), ["running"]);
    assert_eq!(shown(&renamed, "verdict"), ["same\t"]);
}

// Verifies: OPR-31, OPR-32, OPR-37
#[test]
fn a_copy_asks_what_it_is() {
    for taken_running in [false, true] {
        let mut backed = Backed::new();
        backed.write(0);
        let (data, copied, again) =
            (backed.records.place.hub.data_dir(), beside(&backed, "copied"), beside(&backed, "again"));
        if !taken_running {
            backed.records.place.hub.stop();
        }
        copy(&data, &copied);
        if !taken_running {
            backed = backed.restarted_with(|options| options);
        }
        backed.write(1);
        let known = Known::of(&backed);
        backed.records.place.hub.stop();
        must_ask(&copied);
        must_ask(&copied);
        assert_eq!(shown(&copied, "verdict").len(), 1);
        assert!(shown(&copied, "verdict")[0].starts_with("copied\t"));
        copy(&copied, &again);
        // An older state: clients have seen more. It is done once.
        lineage("restored", &copied);
        backed = over(backed, &copied, &[]);
        assert_told(&backed, &known);
        assert_eq!(shown(&copied, "break").len(), 1);
        assert_eq!(actions(&backed.records.place.hub, "lineage.restored"), ["hub"]);
        backed = backed.restarted_with(|options| options);
        assert_eq!(lineage_check(&backed.records.place.hub), Value::Null);
        assert_eq!(known.told(&backed), [true; 3]);
        assert_eq!(backed.records.place.user.seq(&backed.records.place.database) / 1_000_000, 1, "once");
        // The same, as the setting says for every start.
        backed.records.place.hub.kill();
        backed = over(backed, &again, &["--on-copied=restored"]);
        assert_told(&backed, &known);
    }
}

// Verifies: OPR-32, OPR-37
#[test]
fn a_hub_that_was_moved_goes_on_unnoticed() {
    let mut backed = Backed::new();
    backed.write(0);
    let known = Known::of(&backed);
    let data = backed.records.place.hub.data_dir();
    for (place, arguments) in [("moved", &[][..]), ("again", &["--on-copied=moved"])] {
        backed.records.place.hub.stop();
        let (from, to) = (backed.records.place.hub.data_dir(), beside(&backed, place));
        copy(&from, &to);
        if arguments.is_empty() {
            must_ask(&to);
            lineage("moved", &to);
            // A copy of what was said to have moved is a copy.
            let third = beside(&backed, "third");
            copy(&to, &third);
            must_ask(&third);
        }
        backed = over(backed, &to, arguments);
        assert_nothing_told(&backed, &known);
    }
    assert_eq!(actions(&backed.records.place.hub, "lineage.moved"), ["hub", "hub"]);
    backed.write(1);
    backed.records.place.hub.stop();
    // Nothing is to be answered where nothing was copied; and nothing while a hub runs.
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    let moved = ["admin", "lineage", "moved", "--data-dir"];
    let again = beside(&backed, "again");
    let refused = ferry.fails(78, &[&moved[..], &[again.to_str().unwrap()]].concat());
    assert!(refused.contains("does not ask"), "{refused}");
    let backed = over(backed, &again, &[]);
    let refused = ferry.fails(78, &[&moved[..], &[again.to_str().unwrap()]].concat());
    assert!(refused.contains("stop it first"), "{refused}");
    let nowhere =
        ferry.fails(78, &[&moved[..], &[data.with_file_name("nowhere").to_str().unwrap()]].concat());
    assert!(nowhere.contains("control.db"), "{nowhere}");
    drop(backed);
}

/// How an older state is put into the folder `data`, of which `older` is a copy.
type PutBack = fn(older: &Path, data: &Path, database: &str);

fn control_alone(older: &Path, data: &Path, _: &str) {
    for name in ["control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(data.join(name));
    }
    fs::copy(older.join("control.db"), data.join("control.db")).unwrap();
}

fn all_but_lineage(older: &Path, data: &Path, _: &str) {
    // In place, as what a backup program leaves that was told to.
    let newest = fs::read(data.join("lineage")).unwrap();
    put_back(older, data);
    fs::write(data.join("lineage"), newest).unwrap();
}

fn one_database(older: &Path, data: &Path, database: &str) {
    let place = |dir: &Path| dir.join("databases").join(database);
    fs::remove_dir_all(place(data)).unwrap();
    copy(&place(older), &place(data));
}

// Verifies: OPR-31, OPR-33, OPR-35, OPR-37
#[test]
fn each_sign_of_an_older_state_is_noticed_and_told_once() {
    let ways: [(&str, PutBack, &str); 3] = [
        ("only control.db", control_alone, "control.db does not know the run"),
        ("all but the file lineage", all_but_lineage, "control.db does not know the run"),
        ("only one main.db", one_database, "lacks commits that were acknowledged"),
    ];
    for (what, put_back, reason) in ways {
        for ends in ["stopped", "killed"] {
            let WrittenOn { mut backed, data, older, database, known } = WrittenOn::new();
            if ends == "stopped" {
                backed.records.place.hub.stop();
            } else {
                wait_until_told(&backed, &database);
                backed.records.place.hub.kill();
            }
            put_back(&older, &data, &database);
            backed = backed.restarted_with(|options| options);
            assert_eq!(known.told(&backed), [true; 3], "{what}, {ends}");
            assert_told(&backed, &known);
            let breaks = shown(&data, "break");
            assert_eq!(breaks.len(), 1, "{breaks:?}");
            assert!(breaks[0].contains(reason), "{breaks:?}");
            // All go on from there, and it is not noticed again.
            backed.records.push("maker", "", &json!([insert("tasks", "later", "x")]));
            backed.records.place.hub.stop();
            backed = backed.restarted_with(|options| options);
            assert_eq!(lineage_check(&backed.records.place.hub), Value::Null, "{what}, {ends}");
            let seq = backed.records.place.user.seq(&database);
            assert_eq!((seq / 1_000_000, seq % 1_000_000 < 20), (1, true), "{what}, {ends}: {seq}");
        }
    }
}

/// Waits until the control plane knows how far the database is.
fn wait_until_told(backed: &Backed, database: &str) {
    let control = control_db(&backed.records.place.hub);
    let sql = "SELECT head FROM watermarks WHERE model = 'database' AND database_id = ?1";
    let seq = backed.records.place.user.seq(database);
    ferry_testkit::wait::until("the position to be saved", || {
        let head: Option<u64> = control.query_row(sql, [database], |row| row.get(0)).ok();
        head.filter(|head| *head >= seq)
    });
}

// control.db of earlier in the same run: its runs are as they were, and it lacks what the hub wrote down when it stopped.
// Verifies: OPR-31
#[test]
fn a_control_db_of_earlier_in_the_run_is_noticed() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, older) = (backed.records.place.hub.data_dir(), beside(&backed, "older"));
    copy(&data, &older);
    backed.records.place.user.create_database("another");
    let known = Known::of(&backed);
    backed.records.place.hub.stop();
    for name in ["control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(data.join(name));
        let _ = fs::copy(older.join(name), data.join(name));
    }
    fs::copy(older.join("control.db"), data.join("control.db")).unwrap();
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
    assert!(shown(&data, "break")[0].contains("lacks commits"));
}

// Verifies: OPR-30, OPR-31
#[test]
fn a_lineage_file_that_is_missing_or_torn_asks() {
    let mut backed = Backed::new();
    backed.write(0);
    let known = Known::of(&backed);
    let file = backed.records.place.hub.data_dir().join("lineage");
    let data = backed.records.place.hub.data_dir();
    backed.records.place.hub.stop();
    let whole = fs::read(&file).unwrap();
    // One of two records was half written when the power went.
    for at in [100, 612] {
        let mut torn = whole.clone();
        torn[at] ^= 0x55;
        fs::write(&file, torn).unwrap();
        assert_eq!(shown(&data, "verdict"), ["same\t"]);
    }
    for bad in [Some(&b"nothing that a hub wrote"[..]), None] {
        match bad {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let output = must_ask(&data);
        assert!(output.contains("`lineage` is missing"), "{output}");
    }
    lineage("moved", &data);
    backed = backed.restarted_with(|options| options);
    assert_nothing_told(&backed, &known);
}

// Verifies: OPR-33
#[test]
fn a_break_is_applied_once_although_the_hub_is_killed_at_any_step() {
    for point in ["lineage.starting", "lineage.named", "break.noted", "break.applied"] {
        let WrittenOn { mut backed, older: copied, database, known, .. } = WrittenOn::new();
        backed.records.place.hub.stop();
        let killed = options().data_dir(&copied).arg("--on-copied=restored").fault(format!("{point}=kill"));
        if point.starts_with("lineage") {
            assert_eq!(killed.try_start().map(drop).unwrap_err().code, None, "{point}");
        } else {
            let mut hub = killed.start();
            let path = "/v1/databases/-/records/changes?app=todo&since=0";
            let bearer = format!("Bearer {}", backed.token);
            let cut = http::send(hub.address(), "GET", path, &[("Authorization", &bearer)], b"");
            assert!(cut.is_err(), "{point}");
            hub.ended();
        }
        // The verdict outlives the start that found it: nothing is asked again.
        backed = over(backed, &copied, &[]);
        assert_eq!(known.told(&backed), [true; 3], "{point}");
        let seq = backed.records.place.user.seq(&database);
        assert_eq!((seq / 1_000_000, shown(&copied, "break").len()), (1, 1), "{point}: {seq}");
    }
}

// One file that is older by itself is given a number before it is changed: a hub that is killed in between finds the number.
// Verifies: OPR-33, OPR-35
#[test]
fn a_break_of_one_file_is_applied_once_although_the_hub_is_killed() {
    for point in ["break.noted", "break.applied"] {
        let WrittenOn { mut backed, data, older, database, known } = WrittenOn::new();
        backed.records.place.hub.stop();
        one_database(&older, &data, &database);
        backed = backed.restarted_with(|options| options.fault(format!("{point}=kill")));
        let bearer = format!("Bearer {}", backed.token);
        let path = "/v1/databases/-/ops";
        let cut = http::send(backed.records.address(), "GET", path, &[("Authorization", &bearer)], b"");
        assert!(cut.is_err(), "{point}");
        backed.records.place.hub.ended();
        backed = backed.restarted_with(ferry_testkit::hub::Options::without_faults);
        assert_eq!(known.told(&backed), [true; 3], "{point}");
        let seq = backed.records.place.user.seq(&database);
        assert_eq!((seq / 1_000_000, shown(&data, "break").len()), (1, 1), "{point}: {seq}");
        assert_eq!(actions(&backed.records.place.hub, "lineage.break"), [database], "{point}");
    }
}

// What the operator knows and no file does: a volume was rolled back.
// Verifies: OPR-32, OPR-37
#[test]
fn the_operator_may_say_that_a_volume_was_rolled_back() {
    let WrittenOn { mut backed, data, older, known, .. } = WrittenOn::new();
    backed.records.place.hub.stop();
    put_back(&older, &data);
    assert_eq!(shown(&data, "verdict"), ["same\t"], "nothing shows it");
    lineage("restored", &data);
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
    let told: Value = serde_json::from_str(&Ferry::new(FERRY, "http://127.0.0.1:1").ok(&[
        "admin",
        "lineage",
        "show",
        "--json",
        "--data-dir",
        data.to_str().unwrap(),
    ]))
    .unwrap();
    let broken = &told["breaks"][0];
    assert_eq!((&broken["scope"], &told["verdict"]), (&json!("hub"), &json!("same")), "{told}");
    let (since, at) =
        (broken["lost_since_unix_ms"].as_i64().unwrap(), broken["at_unix_ms"].as_i64().unwrap());
    assert!(since > 0 && since < at, "{told}");
}

// A database that was made after the break took it for one that it lacks: its first store was on hold.
// Verifies: OPR-33
#[test]
fn databases_that_are_made_after_a_break_lack_none() {
    let mut backed = Backed::new();
    backed.write(0);
    let data = backed.records.place.hub.data_dir();
    backed.records.place.hub.stop();
    lineage("restored", &data);
    for restarts in [true, false] {
        backed = backed.restarted_with(|options| options);
        let name = if restarts { "first" } else { "second" };
        let place = &backed.records.place;
        let id = place.user.create_database(name);
        let request =
            json!({"databaseId": id, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 60});
        let token =
            place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let open = || {
            LiveSocket::open(place.hub.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
        };
        let mut socket = open().unwrap_or_else(|refused| panic!("{}", refused.text()));
        assert_eq!(socket.push(&a(1), &chain(0, 1)).code(), "success", "{name}");
        assert!(open().is_ok(), "{name}");
        assert!(place.user.seq(&id) < 10, "{name}");
    }
    let seq = |name: &str, backed: &Backed| {
        let listed = backed.records.place.user.ferry("ListDatabases", &json!({})).unwrap();
        let all = listed["databases"].as_array().unwrap().clone();
        let found = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{listed}"));
        backed.records.place.user.seq(found["id"].as_str().unwrap())
    };
    let backed = backed.restarted_with(|options| options);
    assert!(seq("first", &backed) < 10 && seq("second", &backed) < 10);
}

// With `remint` nobody waits: clients begin anew under another identity.
// Verifies: OPR-34, EVT-44
#[test]
fn with_remint_stores_of_an_older_state_serve_at_once() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, older) = (backed.records.place.hub.data_dir(), beside(&backed, "older"));
    backed.records.place.hub.stop();
    copy(&data, &older);
    backed = backed.restarted_with(|options| options);
    let mut socket = backed.open_store().unwrap();
    socket.pull(&a(1), false, None);
    let id = socket.page(&a(1)).backend_id;
    backed.write(1);
    backed.records.place.hub.stop();
    empty_but_for(&data, &[]);
    fs::remove_dir(&data).unwrap();
    copy(&older, &data);
    backed = over(backed, &data, &["--on-copied=restored", "--events-on-rollback=remint"]);
    let mut socket = backed.open_store().unwrap_or_else(|refused| panic!("{}", refused.text()));
    socket.pull(&a(1), true, Some((&id, 2)));
    assert_eq!(socket.exit_of(&a(1)).code(), "BackendIdMismatchError", "clients wipe their copy");
    assert_eq!(socket.push(&a(2), &chain(1, 1)).code(), "success");
}

// A file that is pushed may be a copy of one that a hub wrote: it says nothing of the hub that has it.
// Verifies: OPR-31
#[test]
fn a_pushed_copy_of_another_hubs_database_is_left_alone() {
    let other = Backed::new();
    other.write(0);
    let pull = other.records.place.pull_token();
    let bearer = format!("Bearer {pull}");
    let file = http::send(
        other.records.address(),
        "GET",
        "/v1/databases/-/file",
        &[("Authorization", &bearer)],
        b"",
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copied = folder.path().join("copied.db");
    fs::write(&copied, &file.body).unwrap();
    let place = Place::new();
    place.push(&copied);
    let mut place = place.restarted();
    place.pull(&folder.path().join("pulled.db"));
    let main = place.hub.database_dir(&place.database).join("main.db");
    place.hub.stop();
    let epoch = |path: &Path| -> String {
        let sql = "SELECT group_concat(key || value) FROM _ferry_meta ORDER BY key";
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(epoch(&main), epoch(&copied));
}

// Spokes of a hub that was put back by hand send again what they hold.
// Verifies: OPR-34, OPS-31
#[test]
fn spokes_give_a_copied_hub_what_it_lost() {
    let ops = crate::ops::Ops::new();
    let sites = [spokes::Site::new(&ops), spokes::Site::new(&ops)];
    sites[0].spoke.set("note/1", "title", &json!("first"));
    spokes::settle(&[&sites[0], &sites[1]]);
    sites.iter().for_each(spokes::Site::go_offline);
    let data = ops.place.hub.data_dir();
    let older = data.with_file_name("older");
    let mut ops = ops;
    ops.place.hub.stop();
    copy(&data, &older);
    let mut ops = ops.restarted();
    sites.iter().for_each(|site| site.network.set_target(ops.address()));
    sites[1].spoke.set("note/2", "title", &json!("lost"));
    spokes::settle(&[&sites[0], &sites[1]]);
    sites.iter().for_each(spokes::Site::go_offline);
    ops.place.hub.stop();
    let ops = ops.restarted_with(|options| options.data_dir(&older).arg("--on-copied=restored"));
    sites.iter().for_each(|site| site.network.set_target(ops.address()));
    spokes::settle(&[&sites[0], &sites[1]]);
    let state = spokes::assert_equal(&ops, &[&sites[0], &sites[1]]);
    assert_eq!(state["note/2"]["fields"]["title"], "lost");
}

// Verifies: OPR-88, OPR-31
#[test]
fn doctor_tells_what_the_next_start_finds() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, copied) = (backed.records.place.hub.data_dir(), beside(&backed, "copied"));
    let doctor = |data: &Path, arguments: &[&str]| {
        let data = data.to_str().unwrap();
        let listen = ["doctor", "--listen", "127.0.0.1:0", "--data-dir", data];
        let told = Ferry::new(FERRY, "http://127.0.0.1:1").run(&[&listen[..], arguments].concat());
        let line = told.stdout.lines().find(|line| line.contains("\tlineage\t"));
        line.unwrap_or_else(|| panic!("{}", told.stdout)).to_owned()
    };
    assert!(doctor(&data, &[]).starts_with("ok\t"));
    backed.records.place.hub.stop();
    copy(&data, &copied);
    let asked = doctor(&copied, &[]);
    assert!(asked.starts_with("fail\t") && asked.contains("admin lineage moved"), "{asked}");
    assert!(doctor(&copied, &["--on-copied", "restored"]).starts_with("warn\t"));
    control_alone(&data, &copied, "");
    fs::remove_file(copied.join("lineage")).unwrap();
    lineage("restored", &copied);
    let restored = doctor(&copied, &[]);
    assert!(restored.starts_with("warn\t") && restored.contains("older state"), "{restored}");
    backed = over(backed, &copied, &[]);
    assert!(doctor(&copied, &[]).starts_with("ok\t"));
    drop(backed);
}
