//! Data directories that were copied or moved (acceptance scenario 10): the hub asks what they are where it cannot tell, and clients are
//! told where something was lost, and only there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ferry_testkit::{Hub, Session, command::Ferry, http, hub::Refused};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::Backed;
use crate::support::{FERRY, Place, control_db, options};

/// What clients of records and ops know of the hub.
pub(super) struct Known {
    cursor: String,
    records_epoch: String,
    ops_epoch: String,
    head: u64,
}

impl Known {
    /// As they saw it last.
    pub(super) fn of(backed: &Backed) -> Self {
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

    /// As clients of the version before have it, whose cursors name no run.
    fn without_run(self) -> Self {
        let (cursor, _) = self.cursor.split_once('~').expect("a cursor names its run");
        Self { cursor: cursor.to_owned(), ..self }
    }

    /// What each client is told now: of events, records, ops.
    pub(super) fn told(&self, backed: &Backed) -> [bool; 3] {
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
pub(super) struct WrittenOn {
    pub(super) backed: Backed,
    pub(super) data: PathBuf,
    pub(super) older: PathBuf,
    pub(super) database: String,
    pub(super) known: Known,
}

impl WrittenOn {
    pub(super) fn new() -> Self {
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
pub(super) fn over(backed: Backed, data: &Path, arguments: &[&str]) -> Backed {
    backed.restarted_with(|options| {
        arguments.iter().fold(options, |options, argument| options.arg(*argument)).data_dir(data)
    })
}

/// A folder beside the hub's data, not made yet.
pub(super) fn beside(backed: &Backed, name: &str) -> PathBuf {
    backed.records.place.hub.data_dir().with_file_name(name)
}

pub(super) fn copy(from: &Path, to: &Path) {
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
pub(super) fn lineage(verb: &str, data: &Path) -> String {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    ferry.ok(&["admin", "lineage", verb, "--data-dir", data.to_str().unwrap()])
}

/// Lines of a kind that `lineage show` prints.
pub(super) fn shown(data: &Path, kind: &str) -> Vec<String> {
    let all = lineage("show", data);
    let lines = all.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix('\t'));
    lines.map(str::to_owned).collect()
}

/// What `/readyz` says of the data's origin.
pub(super) fn lineage_check(hub: &Hub) -> Value {
    let ready = http::get(hub.address(), "/readyz").unwrap();
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")), "{}", ready.text());
    ready.json()["checks"]["lineage"].clone()
}

pub(super) fn metric(hub: &Hub, name: &str) -> f64 {
    let text = http::get(hub.address(), "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |number| number.parse().unwrap())
}

/// What `GetLineage` tells the operator, page by page.
pub(super) fn steps(backed: &Backed) -> Vec<Value> {
    let place = &backed.records.place;
    let operator = Session { token: place.hub.operator_token(), ..place.user.clone() };
    let (mut steps, mut page) = (Vec::new(), String::new());
    loop {
        let request = json!({"pageSize": 1, "pageToken": page});
        let answer = operator.ferry("GetLineage", &request).unwrap();
        steps.extend(answer["steps"].as_array().cloned().unwrap_or_default());
        page = answer["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if page.is_empty() {
            return steps;
        }
    }
}

pub(super) fn actions(hub: &Hub, action: &str) -> Vec<String> {
    let control = control_db(hub);
    let mut statement = control.prepare("SELECT target FROM audit WHERE action = ?1 ORDER BY id").unwrap();
    statement.query_map([action], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Waits until the control plane knows how far the database is.
pub(super) fn wait_until_told(backed: &Backed, database: &str) {
    let control = control_db(&backed.records.place.hub);
    let sql = "SELECT head FROM watermarks WHERE model = 'database' AND database_id = ?1";
    let seq = backed.records.place.user.seq(database);
    ferry_testkit::wait::until("the position to be saved", || {
        let head: Option<u64> = control.query_row(sql, [database], |row| row.get(0)).ok();
        head.filter(|head| *head >= seq)
    });
}

#[track_caller]
pub(super) fn assert_nothing_told(backed: &Backed, known: &Known) {
    assert_eq!(known.told(backed), [false; 3]);
    let hub = &backed.records.place.hub;
    assert_eq!(lineage_check(hub), Value::Null);
    assert_eq!(metric(hub, "ferry_breaks_total"), 0.0);
    assert!(!hub.log().contains("put back"), "{}", hub.log());
}

#[track_caller]
pub(super) fn assert_told(backed: &Backed, known: &Known) {
    assert_eq!(known.told(backed), [true; 3]);
    let hub = &backed.records.place.hub;
    assert_eq!(lineage_check(hub), "restored");
    assert_eq!(metric(hub, "ferry_breaks_total"), 1.0);
    assert_eq!(backed.records.place.user.seq(&backed.records.place.database) / 1_000_000, 1);
}

fn empty_of_marks(data: &Path) {
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("run-") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// The data as the version before left it, which named no runs.
fn of_the_version_before(data: &Path, database: &str) {
    fs::remove_file(data.join("lineage")).unwrap();
    empty_of_marks(data);
    let control = Connection::open(data.join("control.db")).unwrap();
    let sql = "DROP TABLE runs; DROP TABLE breaks; DELETE FROM watermarks WHERE model = 'database'; DROP TABLE outbox;
               DROP TABLE email_verifications; ALTER TABLE users DROP COLUMN operator;
               ALTER TABLE sessions DROP COLUMN ends; PRAGMA user_version = 6";
    control.execute_batch(sql).unwrap();
    let main = Connection::open(data.join("databases").join(database).join("main.db")).unwrap();
    assert_eq!(main.execute("DELETE FROM _ferry_meta WHERE key IN ('run', 'break')", []).unwrap(), 1);
}

// Verifies: OPR-30, OPR-31
#[test]
fn upgrades_restarts_kills_and_renames_are_no_restore() {
    let mut backed = Backed::new();
    backed.write(0);
    let known = Known::of(&backed).without_run();
    let (data, database) = (backed.records.place.hub.data_dir(), backed.records.place.database.clone());
    backed.records.place.hub.stop();
    of_the_version_before(&data, &database);
    let _ = fs::remove_file(backed.target.path().join("anchor.json"));
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
    let kinds: Vec<_> = steps(&backed).iter().map(|step| step["kind"].clone()).collect();
    assert_eq!(kinds, ["moved", "moved"]);
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
