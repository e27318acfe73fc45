//! One test per failure that record sync must not have, each with its story.

use ferry_core::records::{
    ChangeResult, Dialect, RecordMaintenance as _, intents, maintenance, sqlite::SqliteRecords,
};
use ferry_protocol::records::UnixNanos;
use serde_json::{Value, json};

use super::{
    device::{Device, Generation},
    hub::{APP, BEGIN, Hub, OWNER, parse_changes},
};
use crate::NativeSql;

const DAY_MS: i64 = 24 * 3600 * 1000;

fn update(id: &str, field: &str, value: &Value, at: UnixNanos) -> Value {
    let fields = json!({field: {"value": value, "at": at.text()}});
    json!({"table": "tasks", "id": id, "op": "update", "fields": fields})
}

fn insert(id: &str, at: UnixNanos) -> Value {
    json!({"table": "tasks", "id": id, "op": "insert", "data": {"id": id, "createdAt": at.text()}})
}

fn data(hub: &Hub, id: &str) -> Value {
    let text = hub.text(&format!("SELECT data FROM _ferry_records WHERE id = '{id}'")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn old(hub: &Hub, client: &str, changes: &[Value]) -> super::hub::Answer {
    hub.push(client, BEGIN, Dialect::Old, changes)
}

fn pulled(hub: &Hub, client: &str, since: UnixNanos) -> Vec<Value> {
    parse_changes(&hub.pull(Some(client), "tasks", since).changes)
}

// A retry doubled rows, and stamped writes without times anew, so that they won over later edits.
// Verifies: REC-18
#[test]
fn a_retry_changes_nothing() {
    let hub = Hub::new(100);
    let first = [
        json!({"table": "tasks", "id": "t1", "op": "insert", "data": {"id": "t1", "title": "a"}}),
        update("t1", "done", &json!(true), BEGIN),
        json!({"table": "tasks", "id": "t1", "op": "update", "fields": {"note": {"value": "x"}}}),
        json!({"table": "tasks", "id": "t2", "op": "delete"}),
        update("t1", "far", &json!(1), BEGIN.plus_ms(365 * DAY_MS)),
    ];
    let answer = old(&hub, "a", &first);
    assert_eq!(answer.results, [ChangeResult::Applied; 5]);
    let state = hub.state();
    let changes = hub.connection.total_changes();
    let notes = hub.notes();
    hub.sleep_ms(60_000);
    let again = old(&hub, "a", &first);
    assert_eq!(again.results, [ChangeResult::Unchanged; 5]);
    assert_eq!((hub.state(), again.touched), (state, 0));
    assert_eq!(hub.notes(), notes);
    assert_eq!(hub.connection.total_changes(), changes, "a retry writes nothing, so that it takes no seq");
    // Somebody edits the untimed field; the retry, sent before its device saw that, still loses.
    hub.sleep_ms(1);
    old(&hub, "b", &[update("t1", "note", &json!("y"), hub.now.get())]);
    hub.sleep_ms(60_000);
    old(&hub, "a", &first);
    assert_eq!(data(&hub, "t1")["note"], "y");
}

// A clock a year ahead won for a year.
// Verifies: REC-04, REC-16
#[test]
fn a_clock_far_ahead_does_not_win() {
    let hub = Hub::new(100);
    let mut ahead = Device::new("ahead", Generation::One, 365 * DAY_MS);
    ahead.insert(&hub, "tasks", "t1", "future", true);
    let answer = ahead.push(&hub, true).unwrap();
    assert!(answer.changes.iter().any(|change| change["fields"]["title"]["value"] == "future"));
    for round in 0..3 {
        hub.sleep_ms(1_000);
        let mut other = Device::new(&format!("b{round}"), Generation::Two, 0);
        other.pull_all(&hub);
        other.update(&hub, "tasks", "t1", "title", json!(round));
        other.push(&hub, true);
        ahead.pull_all(&hub);
        let key = ("tasks".to_owned(), "t1".to_owned());
        assert_eq!(ahead.records[&key]["title"].value, json!(round));
    }
}

// An insert without times was stamped "now" on each replay and rejected all later edits.
// Verifies: REC-05
#[test]
fn an_insert_takes_its_own_times_and_revives_nothing_newer() {
    let hub = Hub::new(100);
    let at = BEGIN.plus_ms(-5_000);
    old(&hub, "a", &[update("t1", "title", &json!("late"), BEGIN)]);
    let mut late = insert("t1", at);
    late["data"]["title"] = json!("first");
    late["data"]["kind"] = json!("k");
    old(&hub, "b", &[late]);
    let record = data(&hub, "t1");
    assert_eq!(
        (&record["title"], &record["kind"], &record["deletedAt"]),
        (&json!("late"), &json!("k"), &Value::Null)
    );
    assert_eq!(record.get("id"), None, "the id is no field");
}

// A delete without `deletedAt` destroyed newer edits; a revival met a tombstone that could not be lifted.
// Verifies: REC-06, REC-17
#[test]
fn deletes_edits_and_revivals_in_every_order_give_one_state() {
    let changes = [
        insert("t1", BEGIN),
        update("t1", "title", &json!("edited"), BEGIN.plus_ms(30)),
        json!({"table": "tasks", "id": "t1", "op": "delete", "deletedAt": BEGIN.plus_ms(20).text()}),
        update("t1", "deletedAt", &Value::Null, BEGIN.plus_ms(40)),
    ];
    let mut states = Vec::new();
    for order in permutations(4) {
        let hub = Hub::new(100);
        hub.sleep_ms(1_000);
        for index in order {
            old(&hub, ["a", "b", "c", "a"][index], &[changes[index].clone()]);
        }
        states.push(data(&hub, "t1"));
    }
    assert!(states.iter().all(|state| *state == states[0]), "{states:#?}");
    assert_eq!((&states[0]["deletedAt"], &states[0]["title"]), (&Value::Null, &json!("edited")));
    // Without the revival it stays deleted, and the editing device gets a conflict.
    let hub = Hub::new(100);
    old(&hub, "a", &changes[..1]);
    old(&hub, "b", &changes[2..3]);
    let answer = old(&hub, "c", &changes[1..2]);
    assert!(answer.changes.iter().any(|change| change["op"] == "delete"), "{answer:?}");
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let insert = |order: &Vec<usize>, index| {
        let mut order = order.clone();
        order.insert(index, count - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..count).map(move |index| insert(order, index))).collect()
}

// An update of an unknown id made an incomplete record on every device.
// Verifies: REC-07
#[test]
fn an_update_waits_for_its_insert_at_most_a_day() {
    let hub = Hub::new(100);
    old(&hub, "a", &[update("t1", "title", &json!("x"), BEGIN), update("t2", "title", &json!("y"), BEGIN)]);
    assert_eq!(pulled(&hub, "b", UnixNanos::EPOCH), Vec::<Value>::new());
    let cursor = hub.pull(Some("b"), "tasks", UnixNanos::EPOCH).until;
    hub.sleep_ms(10);
    old(&hub, "c", &[insert("t1", BEGIN)]);
    let news = pulled(&hub, "b", cursor);
    assert_eq!((&news[0]["op"], &news[0]["id"]), (&json!("insert"), &json!("t1")));
    assert_eq!(news[1]["fields"]["title"]["value"], "x", "what waited comes with it");
    let cursor = hub.pull(Some("b"), "tasks", cursor).until;
    hub.sleep_ms(DAY_MS + 20);
    hub.maintain();
    let news = pulled(&hub, "b", cursor);
    assert_eq!((&news[0]["id"], &news[1]["fields"]["title"]["value"]), (&json!("t2"), &json!("y")));
}

// `fields` beside a delete, and an update with `data` alone, were lost.
// Verifies: REC-08
#[test]
fn accompanying_fields_are_merged() {
    let hub = Hub::new(100);
    old(&hub, "a", &[insert("t1", BEGIN)]);
    let fields = json!({"why": {"value": "done", "at": BEGIN.text()}});
    let delete =
        json!({"table": "tasks", "id": "t1", "op": "delete", "deletedAt": BEGIN.text(), "fields": fields});
    old(&hub, "a", &[delete, json!({"table": "tasks", "id": "t1", "op": "update", "data": {"n": 1}})]);
    assert_eq!((&data(&hub, "t1")["why"], &data(&hub, "t1")["n"]), (&json!("done"), &json!(1)));
}

// Numbers were changed on their way through floats, U+0000 was a failure, keys came back sorted.
// Verifies: REC-09
#[test]
fn values_return_as_they_were() {
    let hub = Hub::new(100);
    let value = r#"{"z":9007199254740993,"a":"\u0000\ud83d","n":[1.10,-0,1e400]}"#;
    let body = format!(
        r#"{{"changes":[{{"table":"tasks","id":"t1","op":"insert","data":{{"a.b\"":{value},"createdAt":"{}"}}}}]}}"#,
        BEGIN.text()
    );
    let sql = NativeSql(&hub.connection);
    let read = ferry_protocol::records::decode_push(body.as_bytes()).unwrap();
    let caller = ferry_core::records::PushCaller {
        owner: OWNER,
        app: APP,
        client: "a",
        now: BEGIN,
        since: UnixNanos::EPOCH,
        dialect: Dialect::Old,
        max_changes: 9,
        tables: ferry_core::records::ReachedTables::default(),
    };
    let store = SqliteRecords::new(&sql);
    ferry_core::records::push(&store, &caller, &read.changes).unwrap();
    let page = String::from_utf8(hub.pull(None, "tasks", UnixNanos::EPOCH).changes).unwrap();
    assert!(page.contains(&format!(r#""a.b\"":{{"value":{value},"at":"#)), "{page}");
}

// Times of transactions as cursors lost rows that were committed late, and rows of equal time at a page border.
// Verifies: REC-10, REC-12
#[test]
fn cursors_are_the_order_of_commits_even_when_the_clock_steps_back() {
    let hub = Hub::new(2);
    for id in ["t1", "t2", "t3", "t4", "t5"] {
        old(&hub, "a", &[insert(id, BEGIN)]);
        hub.sleep_ms(-60_000);
    }
    let (mut since, mut seen) = (UnixNanos::EPOCH, Vec::new());
    loop {
        let page = hub.pull(Some("b"), "tasks", since);
        assert!(page.until > since);
        since = page.until;
        let changes = parse_changes(&page.changes);
        seen.extend(
            changes.iter().filter(|c| c["op"] == "insert").map(|c| c["id"].as_str().unwrap().to_owned()),
        );
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, ["t1", "t2", "t3", "t4", "t5"]);
    let idle = hub.pull(Some("b"), "tasks", since);
    assert_eq!((idle.until, idle.changes.len(), idle.has_more), (since, 0, false));
    let future = hub.pull(Some("b"), "tasks", BEGIN.plus_ms(DAY_MS * 9_000));
    assert_eq!((future.until, future.changes.len()), (since, 0), "a cursor of the future is put right");
}

// A POST set the cursor of tables that were never pulled, and their history was lost; a lost answer did the same.
// Verifies: REC-12, REC-13
#[test]
fn a_push_delivers_what_was_never_pulled_even_if_answers_are_lost() {
    let hub = Hub::new(2);
    let mut writer = Device::new("w", Generation::Two, 0);
    for number in 0..9 {
        writer.insert(&hub, "tasks", &format!("t{number}"), "x", true);
        writer.insert(&hub, "notes", &format!("n{number}"), "x", true);
        hub.sleep_ms(5);
    }
    writer.push(&hub, true);
    for lost in [0, 1, 3] {
        let mut reader = Device::new(&format!("r{lost}"), Generation::One, 0);
        for _ in 0..lost {
            reader.push(&hub, false);
        }
        while reader.pull(&hub, "tasks", true) {}
        while reader.push(&hub, true).unwrap().has_more {}
        assert_eq!(reader.records.len(), 18, "{lost} lost answers");
    }
}

// A device that lost its IndexedDB but kept its client id never got its own data back.
// Verifies: REC-14
#[test]
fn a_wiped_device_gets_its_own_data_back_over_all_pages() {
    let hub = Hub::new(2);
    let mut device = Device::new("d", Generation::Two, 0);
    for number in 0..9 {
        device.insert(&hub, "tasks", &format!("t{number}"), "x", true);
        hub.sleep_ms(5);
    }
    device.push(&hub, true);
    device.pull_all(&hub);
    let cursor = device.cursors["tasks"];
    hub.sleep_ms(5);
    device.update(&hub, "tasks", "t1", "title", json!("mine"));
    device.push(&hub, true);
    assert_eq!(pulled(&hub, "d", cursor), Vec::<Value>::new(), "its own change is left out");
    device.wipe();
    device.pull_all(&hub);
    assert_eq!(device.records.len(), 9);
}

// A conflict went unnoticed: both edited without having seen the other.
// Verifies: REC-42
#[test]
fn edits_that_did_not_see_each_other_are_one_conflict() {
    let hub = Hub::new(100);
    let mut a = Device::new("a", Generation::Two, 0);
    a.insert(&hub, "tasks", "t1", "first", true);
    a.push(&hub, true);
    let mut b = Device::new("b", Generation::Two, 0);
    b.pull_all(&hub);
    hub.sleep_ms(10);
    a.update(&hub, "tasks", "t1", "title", json!("of a"));
    hub.sleep_ms(10);
    b.update(&hub, "tasks", "t1", "title", json!("of b"));
    b.push(&hub, true);
    let sent = a.outbox.clone();
    let answer = a.push(&hub, true).unwrap();
    assert_eq!(answer.conflicts, 1);
    hub.push("a", BEGIN, Dialect::Old, &sent);
    let open = "SELECT count(*) FROM _ferry_record_conflicts WHERE state = 'open' AND field = 'title'";
    assert_eq!(hub.count(open), 1, "a retry is no second conflict");
    // Who has seen the other value overwrites it without one.
    hub.sleep_ms(10);
    a.pull_all(&hub);
    a.update(&hub, "tasks", "t1", "title", json!("agreed"));
    a.push(&hub, true);
    hub.push("b", BEGIN, Dialect::Old, &[update("t1", "title", &json!("of b"), BEGIN.plus_ms(20))]);
    assert_eq!(
        hub.count(open),
        1,
        "{:?}",
        hub.text("SELECT group_concat(loser) FROM _ferry_record_conflicts")
    );
}

// Tombstones were never purged, or deleted records came back with the next old device.
// Verifies: REC-40, REC-41
#[test]
fn a_device_that_returns_after_200_days_resurrects_nothing() {
    let hub = Hub::new(2);
    let mut writer = Device::new("w", Generation::Two, 0);
    let mut away = Device::new("away", Generation::One, 0);
    for number in 0..5 {
        writer.insert(&hub, "tasks", &format!("t{number}"), "x", true);
    }
    writer.push(&hub, true);
    away.push(&hub, true);
    away.pull_all(&hub);
    let stale = insert("t1", BEGIN);
    hub.sleep_ms(1_000);
    writer.delete(&hub, "tasks", "t1");
    writer.push(&hub, true);
    writer.pull_all(&hub);
    hub.sleep_ms(2 * DAY_MS);
    hub.maintain();
    let rows = "SELECT count(*) FROM _ferry_records WHERE id = 't1'";
    assert_eq!(hub.count(rows), 1, "a device has not passed the tombstone");
    away.insert(&hub, "tasks", "new", "made offline", true);
    hub.sleep_ms(198 * DAY_MS);
    writer.pull_all(&hub);
    hub.maintain();
    assert_eq!(hub.count(rows), 0, "purged");
    assert_eq!(hub.count("SELECT count(*) FROM _ferry_record_history WHERE cts > 0 AND id = 't1'"), 0);
    away.outbox.push(stale);
    away.push(&hub, true);
    away.pull_all(&hub);
    away.pull_all(&hub);
    assert_eq!(hub.count(rows), 0, "the dead stay dead");
    assert_eq!(hub.count("SELECT count(*) FROM _ferry_record_conflicts WHERE id = 't1' AND field = ''"), 1);
    let dead = &away.records[&("tasks".to_owned(), "t1".to_owned())]["deletedAt"];
    assert!(dead.value.is_string(), "and the device learns that");
    assert_eq!(data(&hub, "new")["title"], "made offline", "its own new record lives");
    // Made again under the same id, later than the delete, it is alive.
    old(&hub, "w", &[insert("t1", hub.now.get())]);
    assert_eq!(hub.count(rows), 1);
}

// A restored hub accepted cursors that covered lost commits.
// Verifies: REC-43, REC-44
#[test]
fn a_new_epoch_starts_every_device_over_and_an_owner_can_be_forgotten() {
    let hub = Hub::new(2);
    let mut device = Device::new("d", Generation::Two, 0);
    device.insert(&hub, "tasks", "t1", "x", true);
    device.push(&hub, true);
    device.pull_all(&hub);
    let cursor = device.cursors["tasks"];
    let sql = NativeSql(&hub.connection);
    let store = SqliteRecords::new(&sql);
    hub.sleep_ms(1_000);
    maintenance::begin_epoch(&store, "e2", hub.now.get()).unwrap();
    assert_eq!(store.epoch().unwrap().as_deref(), Some("e2"));
    assert_eq!(pulled(&hub, "d", cursor).len(), 2, "insert and update again");
    device.pull_all(&hub);
    assert_eq!(pulled(&hub, "d", device.cursors["tasks"]).len(), 0, "once");
    assert!(store.remove_owner(OWNER).unwrap());
    assert_eq!(hub.state(), "");
}

// SQL could not reach records, and records not SQL.
// Verifies: REC-50, REC-51, REC-52
#[test]
fn a_collection_is_a_view_and_writes_to_it_reach_devices() {
    let hub = Hub::new(100);
    let mut change = insert("t1", BEGIN);
    change["data"] =
        json!({"title": "a", "done": true, "tags": ["x"], "we\"ird": 1, "createdAt": BEGIN.text()});
    old(&hub, "a", &[change]);
    old(&hub, "a", &[update("t1", "Title", &json!("other"), BEGIN)]);
    let cursor = hub.pull(Some("b"), "tasks", UnixNanos::EPOCH).until;
    assert_eq!(
        hub.text("SELECT title || done || tags || _owner FROM records_todo__tasks").unwrap(),
        "a1[\"x\"]ada"
    );
    let extra: Value =
        serde_json::from_str(&hub.text("SELECT _extra FROM records_todo__tasks").unwrap()).unwrap();
    assert_eq!(extra, json!({"Title": "other", "we\"ird": 1}));
    let drain = |sql: &str| {
        hub.sleep_ms(1);
        hub.connection.execute_batch(sql).unwrap();
        intents::drain(&SqliteRecords::new(&NativeSql(&hub.connection)), hub.now.get()).unwrap()
    };
    let touched =
        drain("UPDATE records_todo__tasks SET title = 'by SQL', done = 0, tags = '[1,2]' WHERE id = 't1'");
    assert_eq!(touched, [(OWNER.to_owned(), APP.to_owned(), "tasks".to_owned())]);
    let news = pulled(&hub, "b", cursor);
    let fields = news[0]["fields"].as_object().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["done", "tags", "title"], "only what was written");
    assert_eq!((&fields["done"]["value"], &fields["tags"]["value"]), (&json!(false), &json!([1, 2])));
    drain(
        "INSERT INTO records_todo__tasks(id, _owner, title) VALUES ('t2', 'ada', 'new'); DELETE FROM records_todo__tasks WHERE id = 't1'",
    );
    let news = pulled(&hub, "b", hub.pull(Some("b"), "tasks", cursor).until);
    assert!(news.is_empty());
    assert_eq!(hub.text("SELECT group_concat(id) FROM records_todo__tasks").unwrap(), "t2");
    // A write of SQL wins over a device whose clock ran a little ahead.
    old(&hub, "a", &[update("t2", "title", &json!("ahead"), hub.now.get().plus_ms(60_000))]);
    drain("UPDATE records_todo__tasks SET title = 'wins' WHERE id = 't2'");
    assert_eq!(hub.text("SELECT title FROM records_todo__tasks").unwrap(), "wins");
    assert!(hub.connection.execute_batch("UPDATE records_todo__tasks SET id = 'x'").is_err());
    assert_eq!(intents::view_name("To-do", "a_b"), "records__54o_2ddo__a_5fb");
}
