//! Many devices that push and pull at once (acceptance scenario 4).

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{Records, T, device::Device, ids, insert, update};

const WRITERS: usize = 32;
const PULLERS: usize = 8;
/// Of each writer.
const BATCHES: usize = 25;
const INSERTS: usize = 10;
const EDITS: usize = 15;
/// Records that all writers edit.
const SHARED: usize = 100;

/// One batch of a writer on Ferry's own wire, whose answers bring no delta.
fn batch(writer: usize, number: usize) -> String {
    let field = |value: &str, at: &str| json!({"value": value, "at": at});
    let mut changes: Vec<Value> = (0..INSERTS)
        .map(|n| {
            let id = format!("w{writer}-{number}-{n}");
            json!({"collection": "tasks", "id": id, "op": "insert", "fields": {"title": field("x", T)}})
        })
        .collect();
    changes.extend((0..EDITS).map(|n| {
        let edit = number * EDITS + n;
        // Neither the order of sending nor one writer decides who wins.
        let at = format!("2026-01-01T10:01:{:02}.{:03}Z", edit % 60, (writer * 7 + edit) % 1000);
        let (id, name) = (format!("s{}", (writer + edit * 3) % SHARED), format!("f{}", edit % 3));
        let value = format!("w{writer}-{edit}");
        json!({"collection": "tasks", "id": id, "op": "update", "fields": {name: field(&value, &at)}})
    }));
    json!({"app": "todo", "changes": changes}).to_string()
}

/// Counts a writer out when it ends, whichever way.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// The times at which transactions began served as cursors: what was committed late stayed behind them for ever.
// Verifies: REC-10, REC-19
#[test]
fn every_puller_ends_with_the_state_of_the_hub() {
    let records = Records::new();
    let shared: Vec<Value> = (0..SHARED).map(|n| insert("tasks", &format!("s{n}"), "x")).collect();
    records.push("maker", "", &json!(shared));
    let writing = AtomicUsize::new(WRITERS);
    let devices: Vec<Device> = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (records, writing) = (&records, &writing);
            scope.spawn(move || {
                // Also if it fails: the pullers go on until nobody writes.
                let _written = Done(writing);
                let client = format!("w{writer}");
                for number in 0..BATCHES {
                    let body = batch(writer, number);
                    let answer = records.call("POST", "/v1/databases/-/records/changes", &client, &body);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
        let pullers: Vec<_> = (0..PULLERS)
            .map(|puller| {
                let (records, writing) = (&records, &writing);
                scope.spawn(move || {
                    let mut device = Device::new(&format!("p{puller}"));
                    loop {
                        let is_last = writing.load(Ordering::SeqCst) == 0;
                        device.pull(records);
                        if is_last {
                            return device;
                        }
                    }
                })
            })
            .collect();
        pullers.into_iter().map(|puller| puller.join().unwrap()).collect()
    });
    let mut fresh = Device::new("fresh");
    fresh.pull(&records);
    assert_eq!(fresh.ids().len(), SHARED + WRITERS * BATCHES * INSERTS);
    for device in &devices {
        assert!(device.fields == fresh.fields, "a puller lacks something, or has something else");
    }
}

// Two users share a client id, say because an app gives every installation the same one: each is a device of its own.
// Verifies: REC-13, REC-30
#[test]
fn a_client_id_of_two_users_is_two_devices() {
    let users = super::rights::Users::new();
    let push = |sub: &str, since: &str, changes: &Value| {
        let body = json!({"clientId": "phone", "since": since, "changes": changes}).to_string();
        let answer = users.call(sub, "POST", "/sync/todo", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let pull = |sub: &str, since: &str| {
        let path = format!("/sync/todo/pull?collection=tasks&since={since}");
        users.call(sub, "GET", &path, "").json()
    };
    push("ada", "", &json!([insert("tasks", "a1", "of ada"), insert("tasks", "both", "of ada")]));
    push("bob", "", &json!([insert("tasks", "b1", "of bob"), insert("tasks", "both", "of bob")]));
    let of = |sub: &str| {
        let page = pull(sub, "");
        (ids(page["serverChanges"].as_array().unwrap()), page["syncedUntil"].as_str().unwrap().to_owned())
    };
    let (ada, ada_cursor) = of("ada");
    assert_eq!(ada, ["a1", "both"]);
    assert_eq!(of("bob").0, ["b1", "both"]);
    // A cursor of ada's proves nothing of bob: what his device was never given is given to it.
    let delta = push("bob", &ada_cursor, &json!([]));
    assert_eq!(ids(delta["serverChanges"].as_array().unwrap()), ["b1", "both"]);
    // What bob's phone writes is no writing of ada's phone, and nothing of it shows there.
    push("bob", "", &json!([update("both", "title", &json!("edited by bob"), "2026-01-01T10:00:09Z")]));
    assert_eq!(pull("ada", &ada_cursor)["serverChanges"], json!([]));
    let marks = |sub: &str| {
        let devices = users.call(sub, "GET", "/v1/databases/-/records/devices", "").json();
        devices["devices"].as_array().unwrap().len()
    };
    assert!(marks("ada") >= 1 && marks("bob") >= 1);
    assert_eq!(users.call("ada", "DELETE", "/v1/databases/-/records/devices/phone", "").status, 200);
    assert_eq!(marks("ada"), 0);
    assert!(marks("bob") >= 1, "the other's device stays");
}
