//! Long absences, delayed work, and clocks that step.

use ferry_testkit::{hub::Options, wait};
use serde_json::{Value, json};

use super::{Records, device::Device, ids, insert, update};
use crate::support::options;

// Tombstones were kept for ever, or purged, and deleted records came back with the next old device. Acceptance scenario 15.
// Verifies: REC-40
#[test]
fn a_device_that_returns_after_200_days_resurrects_nothing() {
    let mut records = Records::new();
    records.push("writer", "", &json!([insert("tasks", "dead", "x"), insert("tasks", "alive", "x")]));
    let mut away = Device::new("away");
    away.pull(&records);
    records.push("writer", "", &json!([{"table": "tasks", "id": "dead", "op": "delete"}]));
    assert_eq!(records.v1("GET", "/todo/tasks/dead", "").json()["deleted"], true);
    records = records.with_clock_ahead(200);
    // The first one to come finds it purged.
    wait::until("the tombstone is purged", || {
        (records.v1("GET", "/todo/tasks/dead", "").status == 404).then_some(())
    });
    // What it has kept since then, and what it made offline.
    let made = json!([
        insert("tasks", "dead", "x"),
        update("dead", "title", &json!("edited while away"), "2026-01-02T10:00:00Z"),
        insert("tasks", "new", "made while away"),
        update("alive", "title", &json!("edited while away"), "2026-01-02T10:00:00Z"),
    ]);
    let answer = records.push("away", &away.cursor, &made);
    away.apply(answer["serverChanges"].as_array().unwrap());
    away.pull(&records);
    assert!(away.value("dead", "deletedAt").is_string(), "the device learns that it is dead");
    assert_eq!(records.v1("GET", "/todo/tasks/dead", "").status, 404, "the dead stay dead");
    for (id, title) in [("new", "made while away"), ("alive", "edited while away")] {
        assert_eq!(records.v1("GET", &format!("/todo/tasks/{id}"), "").json()["data"]["title"], title);
        assert_eq!(away.value(id, "title"), title);
    }
    let open = records.v1("GET", "/conflicts", "").json();
    let kept = |conflict: &&Value| conflict["record"] == "dead" && conflict["field"] == "";
    assert_eq!(open["conflicts"].as_array().unwrap().iter().filter(kept).count(), 1, "{open}");
    let mut fresh = Device::new("fresh");
    fresh.pull(&records);
    assert_eq!(fresh.ids().into_iter().collect::<Vec<_>>(), ["alive", "new"]);
    // Ferry's own client gets a resync.
    let resync = records.v1("GET", "/changes?app=todo&since=8", "").json();
    assert_eq!((&resync["resync"], &resync["reason"]), (&json!(true), &json!("horizon")));
}

// A client of the first generation sends of an add and an edit that it made offline only the edit: its record was hidden
// from all other devices for 24 hours.
// Verifies: REC-07
#[test]
fn an_edit_whose_insert_never_comes_is_delivered_after_seconds() {
    let waiting = |seconds: &'static str| {
        move |options: Options| options.env("FERRY_RECORDS_INCOMPLETE_SECONDS", seconds)
    };
    let mut records = Records::of(waiting("3600")(options()).start());
    let edit = |id: &str| json!([update(id, "title", &json!("of the edit alone"), "2026-01-01T10:00:05Z")]);
    records.push("first generation", "", &edit("before"));
    let mut other = Device::new("other");
    other.pull(&records);
    assert_eq!(other.ids().len(), 0, "its insert may be on its way");
    let shown = records.v1("GET", "/todo/tasks?incomplete=true", "").json();
    assert_eq!(shown["records"][0]["data"]["title"], "of the edit alone", "{shown}");
    // What waited when the hub stopped, and what is pushed to one that runs.
    records = records.restarted_with(waiting("1"));
    let mut stream = records.stream("");
    let mut reply =
        ids(stream.event().expect("a reader that is there is told").data["changes"].as_array().unwrap());
    records.push("first generation", "", &edit("after"));
    while reply.len() < 2 {
        let event = stream.event().expect("a reader that is there is told");
        reply.extend(ids(event.data["changes"].as_array().unwrap()));
    }
    assert_eq!(reply, ["before", "after"]);
    other.pull(&records);
    assert_eq!(other.value("after", "title"), "of the edit alone");
    assert_eq!(records.v1("GET", "/todo/tasks?incomplete=true", "").json()["records"], json!([]));
    // An insert that comes late is merged as ever.
    records.push("first generation", "", &json!([insert("tasks", "after", "x")]));
    other.pull(&records);
    assert_eq!(other.value("after", "title"), "of the edit alone");
}

// The upkeep ran once an hour over what was open then: a database in use for minutes a day kept everything for ever.
// Verifies: REC-07
#[test]
fn what_became_due_while_the_database_was_closed_is_done_at_its_next_use() {
    let mut records = Records::new();
    records.push("a", "", &json!([update("t1", "title", &json!("orphan"), "2026-01-01T10:00:00Z")]));
    assert_eq!(records.pull("r", "tasks", "")["serverChanges"], json!([]));
    records = records.with_clock_ahead(2);
    let mut stream = records.stream("");
    let event = stream.event().expect("a reader that is there is told");
    assert_eq!(ids(event.data["changes"].as_array().unwrap()), ["t1"]);
}

// Commit times that were but clock readings would fall behind cursors that are out when the clock steps back, and
// nobody would get what they stand for.
// Verifies: REC-10
#[test]
fn cursors_hold_when_the_clock_of_the_hub_steps_back() {
    let day_ahead = format!("clock={}", 24 * 3600 * 1000);
    let mut records = Records::of(options().fault(day_ahead).start());
    records.push("c", "", &json!([insert("tasks", "t1", "x")]));
    let (mut device, mut cursors) = (Device::new("r"), Vec::new());
    device.pull(&records);
    cursors.push(device.cursor.clone());
    records = records.with_clock_ahead(0);
    for id in ["t2", "t3"] {
        records.push("c", "", &json!([insert("tasks", id, "x")]));
        device.pull(&records);
        cursors.push(device.cursor.clone());
        assert!(device.ids().contains(id), "{id} stayed behind the cursor");
    }
    assert!(cursors.is_sorted() && cursors[0] != cursors[2], "{cursors:?}");
}
