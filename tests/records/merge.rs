//! Devices that wrote concurrently hold one state after syncing.

use ferry_protocol::records::UnixNanos;
use ferry_testkit::wait;
use serde_json::{Value, json};

use super::{Records, T, device::Device, ids, insert, update};

/// An update without a time: the hub's counts.
fn edit(id: &str, title: &str) -> Value {
    json!([{"table": "tasks", "id": id, "op": "update", "fields": {"title": {"value": title}}}])
}

// Fresh devices stamped fields wrongly and diverged from old ones. Acceptance scenario 6.
// Verifies: REC-05, REC-06, REC-15
#[test]
fn a_fresh_device_equals_an_old_one() {
    let records = Records::new();
    let mut old = Device::new("old");
    let gone = json!([{"table": "tasks", "id": "t1", "op": "delete"}]);
    let back =
        json!([{"table": "tasks", "id": "t1", "op": "update", "fields": {"deletedAt": {"value": null}}}]);
    let without_times =
        json!([{"table": "tasks", "id": "t1", "op": "insert", "data": {"id": "t1", "title": "first"}}]);
    for step in [without_times.clone(), edit("t1", "second"), gone, back, without_times, edit("t1", "third")]
    {
        records.push("maker", "", &step);
        old.pull(&records);
    }
    let mut fresh = Device::new("fresh");
    fresh.pull(&records);
    // The insert had no createdAt. Devices then get the least time of its fields with their first page of it.
    for device in [&mut old, &mut fresh] {
        device.fields.retain(|(_, field), _| field != "createdAt");
    }
    assert_eq!(old.fields, fresh.fields);
    assert_eq!((fresh.value("t1", "title"), fresh.value("t1", "deletedAt")), (json!("third"), json!(null)));
    for (writer, title) in [("old", "of the old one"), ("fresh", "of the fresh one")] {
        records.push(writer, "", &edit("t1", title));
        old.pull(&records);
        fresh.pull(&records);
        let mut third = Device::new("third");
        third.pull(&records);
        assert_eq!(third.value("t1", "title"), title, "the next edit is accepted");
    }
}

// A device that lost its IndexedDB but kept its client id never got its own data back. Acceptance scenario 7.
// Verifies: REC-14
#[test]
fn a_wiped_device_gets_its_own_data_back() {
    let records = Records::new();
    let inserts: Vec<Value> = (0..1_500).map(|n| insert("tasks", &format!("t{n}"), "x")).collect();
    records.push("c", "", &json!(inserts));
    let (all, cursor) = records.pull_all("c", "tasks", "");
    assert_eq!(ids(&all).len(), 1_500);
    records.push("c", &cursor, &edit("t7", "mine"));
    assert_eq!(records.pull_all("c", "tasks", &cursor).0, [] as [Value; 0], "its own write is left out");
    assert_eq!(records.pull_all("d", "tasks", &cursor).0.len(), 1, "another device gets it");
    assert_eq!(ids(&records.pull_all("c", "tasks", "").0).len(), 1_500, "from the epoch everything returns");
}

// A clock a year ahead won for a year. Acceptance scenario 8.
// Verifies: REC-04, REC-16
#[test]
fn a_clock_far_ahead_converges_to_the_edits_of_others() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "t1", "first")]));
    let sent = "2099-01-01T00:00:00.000000000Z";
    let answer = records.push("ahead", T, &json!([update("t1", "title", &json!("of the future"), sent)]));
    let reply = |answer: &Value| {
        let changes = answer["serverChanges"].as_array().unwrap().clone();
        changes.iter().rfind(|change| !change["fields"]["title"].is_null()).unwrap()["fields"]["title"]
            .clone()
    };
    assert_eq!(reply(&answer)["value"], "of the future");
    let mut fresh = Device::new("fresh");
    fresh.pull(&records);
    let stored = &fresh.fields[&("t1".to_owned(), "title".to_owned())];
    assert!(stored.0 == "of the future" && stored.1.as_str() < "2099", "{stored:?}");
    records.push("other", T, &edit("t1", "of today"));
    fresh.pull(&records);
    assert_eq!(fresh.value("t1", "title"), "of today");
    // The device ahead holds its own write at 2099, and must accept the later one all the same.
    let seen = reply(&records.pull("ahead", "tasks", answer["syncedUntil"].as_str().unwrap()));
    assert_eq!(seen["value"], "of today");
    assert!(seen["at"].as_str().unwrap() >= sent, "{seen}");
}

// Whatever order the same changes arrive in, there is one state; and an edit under a tombstone is a conflict.
// Acceptance scenario 9.
// Verifies: REC-02, REC-06, REC-17
#[test]
fn deletes_and_edits_in_every_order_give_one_state() {
    let at = |second: u32| format!("2026-01-01T10:00:{second:02}Z");
    let writes = |id: &str| {
        [
            ("a", insert("tasks", id, "first")),
            ("b", update(id, "title", &json!("edited"), &at(20))),
            ("c", json!({"table": "tasks", "id": id, "op": "delete", "deletedAt": at(30)})),
            ("a", update(id, "deletedAt", &json!(null), &at(40))),
        ]
    };
    let records = Records::new();
    let mut reader = Device::new("reader");
    let mut orders: Vec<Vec<usize>> = vec![vec![]];
    for _ in 0..4 {
        let longer = orders.iter().flat_map(|order| {
            (0..4).filter(|next| !order.contains(next)).map(|next| [&order[..], &[next]].concat())
        });
        orders = longer.collect();
    }
    assert_eq!(orders.len(), 24);
    for order in &orders {
        let (kept, lost) = (format!("kept{order:?}"), format!("lost{order:?}"));
        for place in order {
            let (client, write) = &writes(&kept)[*place];
            records.push(client, "", &json!([write]));
            if *place < 3 {
                let (client, write) = &writes(&lost)[*place];
                records.push(client, "", &json!([write]));
            }
        }
        reader.pull(&records);
        let shown = |id: &str| (reader.value(id, "title"), reader.value(id, "deletedAt"));
        assert_eq!(shown(&kept), (json!("edited"), json!(null)), "{order:?}");
        let (title, deleted) = shown(&lost);
        assert!(title == "edited" && deleted.is_string(), "{order:?}: {title} {deleted}");
    }
    let mut fresh = Device::new("fresh");
    fresh.pull(&records);
    assert_eq!(fresh.fields, reader.fields);
    // An edit under a tombstone gets the tombstone back.
    let late = records.push(
        "late",
        "2200-01-01T00:00:00Z",
        &json!([update("lost[0, 1, 2, 3]", "n", &json!(1), &at(50))]),
    );
    let changes = late["serverChanges"].as_array().unwrap();
    assert!(
        changes.iter().any(|change| change["id"] == "lost[0, 1, 2, 3]" && change["op"] == "delete"),
        "the writer is told of the tombstone"
    );
}

// Times were compared as texts: `…05Z` beat `…05.500Z`, and offsets were misjudged.
// Verifies: REC-03
#[test]
fn times_are_compared_as_instants() {
    let times = [
        ("2026-01-01T10:00:05Z", "2026-01-01T10:00:05.500Z"),
        ("2026-01-01T23:00:00+14:00", "2026-01-01T10:00:00Z"),
        ("2026-01-01T10:00:00.000000001Z", "2026-01-01T05:00:00.000000002-05:00"),
    ];
    let records = Records::new();
    for (n, (early, late)) in times.into_iter().enumerate() {
        for (order, writes) in [("up", [early, late]), ("down", [late, early])] {
            let id = format!("{n}{order}");
            records.push("maker", "", &json!([insert("tasks", &id, "x")]));
            for (client, at) in ["a", "b"].into_iter().zip(writes) {
                records.push(client, "", &json!([update(&id, "n", &json!(at), at)]));
            }
            let mut reader = Device::new("reader");
            reader.pull(&records);
            let (value, at) = &reader.fields[&(id, "n".to_owned())];
            assert_eq!(value, late, "{order}");
            assert!(at.len() == 30 && at.ends_with('Z'), "{at}");
        }
    }
}

// An insert without times was stamped "now" on each replay, and rejected all later edits.
// Verifies: REC-05, REC-18
#[test]
fn a_replayed_insert_without_times_takes_nothing_back() {
    let records = Records::new();
    let untimed = json!([{"table": "tasks", "id": "t1", "op": "insert", "data": {"id": "t1", "title": "first", "kind": "k"}}]);
    records.push("a", "", &untimed);
    for round in 0..3 {
        records.push("b", "", &edit("t1", &format!("edit {round}")));
        records.push("a", "", &untimed);
        let held = records.v1("GET", "/todo/tasks/t1", "").json();
        assert_eq!(
            (&held["data"]["title"], &held["data"]["kind"]),
            (&json!(format!("edit {round}")), &json!("k"))
        );
    }
}

// A delete without a time destroyed newer edits.
// Verifies: REC-06
#[test]
fn a_delete_without_a_time_takes_no_edit_with_it() {
    let records = Records::new();
    records.push("a", "", &json!([insert("tasks", "t1", "x")]));
    records.push("b", "", &edit("t1", "kept"));
    records.push("a", "", &json!([{"table": "tasks", "id": "t1", "op": "delete"}]));
    let held = records.v1("GET", "/todo/tasks/t1", "").json();
    assert_eq!(held["deleted"], true);
    records.push(
        "c",
        "",
        &json!([{"table": "tasks", "id": "t1", "op": "update", "fields": {"deletedAt": {"value": null}}}]),
    );
    let mut reader = Device::new("r");
    reader.pull(&records);
    assert_eq!((reader.value("t1", "title"), reader.value("t1", "deletedAt")), (json!("kept"), json!(null)));
}

// An update of an unknown id made a ghost record on every device.
// Verifies: REC-07
#[test]
fn an_update_waits_for_its_insert() {
    let records = Records::new();
    records.push("a", "", &json!([update("t1", "title", &json!("early"), "2026-01-01T10:00:09Z")]));
    assert_eq!(records.pull("r", "tasks", "")["serverChanges"], json!([]));
    records.push("b", "", &json!([insert("tasks", "t1", "x")]));
    let mut reader = Device::new("r");
    reader.pull(&records);
    assert_eq!(reader.value("t1", "title"), "early");
}

// `"fields":{"x":null}` was a crash; the fields beside a delete and those of an update without `fields` were lost.
// Verifies: REC-08
#[test]
fn unusual_changes_are_applied_whole_or_refused() {
    let records = Records::new();
    records.push("b", "", &json!([insert("tasks", "t1", "x")]));
    let mut reader = Device::new("r");
    records.push(
        "a",
        "",
        &json!([
            {"table": "tasks", "id": "t1", "op": "update", "data": {"n": 1}},
            {"table": "tasks", "id": "t1", "op": "delete", "fields": {"why": {"value": "done"}}, "unknown": 1}
        ]),
    );
    reader.pull(&records);
    assert_eq!((reader.value("t1", "n"), reader.value("t1", "why")), (json!(1), json!("done")));
    assert!(reader.value("t1", "deletedAt").is_string());
    let null = json!({"clientId": "a", "changes": [{"table": "tasks", "id": "t1", "op": "update", "fields": {"x": null}}]});
    let refused = records.call("POST", "/sync/todo", "", &null.to_string());
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("change 0"), "{}", refused.text());
}

// Integers beyond 2^53 were rounded, keys came back in another order, and `\u0000` was a 500.
// Verifies: REC-09
#[test]
fn values_return_as_they_were_written() {
    let records = Records::new();
    let value = r#"{"z":9007199254740993,"a":[1.0,"\u0000\"/é"],"m":{"b":1,"a":2}}"#;
    let push = format!(
        r#"{{"clientId":"c","changes":[{{"table":"tasks","id":"t1","op":"insert","data":{{"odd.name":{value}}}}}]}}"#
    );
    assert_eq!(records.call("POST", "/sync/todo", "", &push).status, 200);
    let text = records.call("GET", "/sync/todo/pull?collection=tasks&since=", "r", "").text();
    assert!(text.contains(&format!("\"odd.name\":{{\"value\":{value}")), "{text}");
}

// Of two edits of one device whose clock is ten minutes ahead the older one held in half of the cases: both got the hub's
// time, and the digest of the values chose.
// Verifies: REC-04
#[test]
fn of_two_edits_of_a_device_with_a_fast_clock_the_later_one_holds() {
    let records = Records::new();
    for round in 0..12 {
        let (id, now) = (format!("t{round}"), wait::unix_seconds());
        let at = |seconds: i64| UnixNanos((now + seconds) * 1_000_000_000).text();
        let edit = |value: &str, seconds: i64| json!({"table": "tasks", "id": id, "op": "update", "fields": {"title": {"value": value, "at": at(seconds)}}});
        let (old, new) = (edit(&format!("old{round}"), 600), edit(&format!("new{round}"), 605));
        match round % 4 {
            0 => drop(records.push("c", "", &json!([insert("tasks", &id, "x"), old, new]))),
            1 => drop(records.push("c", "", &json!([insert("tasks", &id, "x"), new, old]))),
            // The clock jumped between the two.
            2 => drop(records.push("c", "", &json!([insert("tasks", &id, "x"), edit("old", 60), new]))),
            _ => {
                records.push("c", "", &json!([insert("tasks", &id, "x"), edit("old", 60)]));
                records.push("c", "", &json!([new]));
                records.push("c", "", &json!([old]));
            }
        }
        let held = records.v1("GET", &format!("/todo/tasks/{id}"), "").json();
        assert_eq!(held["data"]["title"], format!("new{round}"), "{held}");
    }
}
