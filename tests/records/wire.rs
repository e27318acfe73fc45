//! Push and pull of compatible clients.

use std::{collections::BTreeSet, thread};

use serde_json::{Value, json};

use super::{Records, T, device::Device, ids, insert, update};

// Acceptance scenario 1.
// Verifies: REC-03, REC-15
#[test]
fn clients_of_two_generations_edit_one_record_alternately() {
    let records = Records::new();
    records.push("old", "", &json!([insert("tasks", "t1", "first")]));
    let gen_1 = json!([{"table": "tasks", "id": "t1", "op": "update",
        "fields": {"title": {"value": "of one", "updatedAt": "2026-01-01T12:00:01+02:00"}}}]);
    records.push("one", "", &gen_1);
    records.push("two", "", &json!([update("t1", "title", &json!("of two"), "2026-01-01T10:00:02Z")]));
    let page = records.pull("fresh", "tasks", "");
    let changes = page["serverChanges"].as_array().unwrap();
    assert_eq!((&changes[0]["op"], &changes[1]["op"]), (&json!("insert"), &json!("update")));
    assert_eq!(changes[0]["data"], json!({"id": "t1", "createdAt": "2026-01-01T10:00:00.000000000Z"}));
    let title = &changes[1]["fields"]["title"];
    assert_eq!(title["value"], "of two");
    for field in changes[1]["fields"].as_object().unwrap().values() {
        assert_eq!(field["at"], field["updatedAt"]);
    }
    assert_eq!(title["at"], "2026-01-01T10:00:02.000000000Z");
    assert!(page.get("hasMore").is_none() && page["conflicts"] == json!([]));
    let (mut one, mut two) = (Device::new("one"), Device::new("two"));
    for device in [&mut one, &mut two] {
        device.pull(&records);
    }
    for turn in 3..7 {
        let device = if turn % 2 == 0 { &mut one } else { &mut two };
        device.write(&records, "t1", "title", &json!(turn), &format!("2026-01-01T10:00:0{turn}.000000000Z"));
    }
    for device in [&mut one, &mut two] {
        device.pull(&records);
    }
    assert_eq!(one.fields, two.fields);
    assert_eq!(one.value("t1", "title"), 6);
}

// The server relayed changes and merged nothing; each reader did so in its own way, and they came to differ.
// Verifies: REC-01
#[test]
fn a_reader_that_applies_every_page_equals_the_hub() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "t1", "x")]));
    let (_, mut cursor) = records.pull_all("reader", "tasks", "");
    let mut taken = std::collections::BTreeMap::new();
    for (client, field, second) in
        [("a", "title", 9), ("b", "title", 5), ("b", "note", 7), ("a", "note", 3), ("c", "title", 8)]
    {
        let at = format!("2026-01-01T10:00:0{second}Z");
        let value = json!(format!("{field} of {client}"));
        records.push(client, "", &json!([update("t1", field, &value, &at)]));
        let (changes, next) = records.pull_all("reader", "tasks", &cursor);
        cursor = next;
        for change in changes {
            for (field, write) in change["fields"].as_object().unwrap() {
                taken.insert(field.clone(), write["value"].clone());
            }
        }
    }
    let held = records.v1("GET", "/todo/tasks/t1", "").json();
    for (field, winner) in [("title", "title of a"), ("note", "note of b")] {
        assert_eq!((&held["data"][field], &taken[field]), (&json!(winner), &json!(winner)));
    }
}

// In a tie devices A and B swapped their values for ever: each took what the other had. Acceptance scenario 2.
// Verifies: REC-01, REC-02, REC-16
#[test]
fn a_tie_has_one_winner_in_both_orders() {
    const AT: &str = "2026-01-01T10:00:05.000000000Z";
    for order in [["a", "b"], ["b", "a"]] {
        let records = Records::new();
        records.push("maker", "", &json!([insert("tasks", "t1", "x")]));
        let mut devices = order.map(Device::new);
        for device in &mut devices {
            device.pull(&records);
        }
        for (device, client) in devices.iter_mut().zip(order) {
            device.write(&records, "t1", "title", &json!(client), AT);
        }
        if order[0] == "b" {
            assert_eq!(devices[1].value("t1", "title"), "b", "the loser is told at once");
        }
        let [one, two] = &mut devices;
        // Both go on for a while, as they did when they swapped.
        for _ in 0..3 {
            for device in [&mut *one, &mut *two] {
                device.pull(&records);
                let held = device.value("t1", "title");
                device.write(&records, "t1", "title", &held, AT);
            }
        }
        let mut fresh = Device::new("fresh");
        fresh.pull(&records);
        for device in [one, two, &mut fresh] {
            assert_eq!(device.value("t1", "title"), "b", "{order:?}");
        }
    }
}

// Rows of equal time at the border of two pages were skipped. Acceptance scenario 3.
// Verifies: REC-10, REC-11, REC-12
#[test]
fn pages_miss_nothing_during_concurrent_writes() {
    let records = Records::new();
    let inserts: Vec<Value> = (0..2_500).map(|n| insert("tasks", &format!("t{n:04}"), "x")).collect();
    records.push("maker", "", &json!(inserts));
    let pulled = thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..40 {
                let at = format!("2026-01-01T10:01:{:02}Z", n % 60);
                records.push(
                    "editor",
                    "",
                    &json!([update(&format!("t{:04}", n * 60), "title", &json!(n), &at)]),
                );
            }
        });
        records.pull_all("reader", "tasks", "")
    });
    let (mut changes, cursor) = pulled;
    changes.extend(records.pull_all("reader", "tasks", &cursor).0);
    let seen: BTreeSet<String> = ids(&changes).into_iter().collect();
    assert_eq!(seen.len(), 2_500);
    for n in 0..40 {
        let id = format!("t{:04}", n * 60);
        let last = changes.iter().rfind(|change| change["id"] == id && change["op"] == "update").unwrap();
        assert_eq!(last["fields"]["title"]["value"], n, "{id}");
    }
    let (mut reader, mut fresh) = (Device::new("reader"), Device::new("fresh"));
    reader.apply(&changes);
    fresh.pull(&records);
    assert_eq!(reader.fields, fresh.fields);
}

// A POST set the cursor of tables that were never pulled, and their history was lost.
// Verifies: REC-13
#[test]
fn a_push_brings_the_history_of_what_was_never_pulled() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("notes", "n1", "x"), insert("tasks", "t1", "x")]));
    let cursor = records.pull_all("reader", "tasks", "").1;
    let answer = records.push("reader", &cursor, &json!([insert("tasks", "t2", "x")]));
    let seen = answer["serverChanges"].as_array().unwrap();
    assert!(seen.iter().any(|change| change["table"] == "notes" && change["id"] == "n1"), "{answer}");
    // Once its cursor has come back, it is not sent again.
    let cursor = answer["syncedUntil"].as_str().unwrap();
    assert_eq!(records.push("reader", cursor, &json!([]))["serverChanges"], json!([]));
    assert_eq!(records.pull("reader", "notes", cursor)["serverChanges"], json!([]));
}

// A delta that was cut at 5,000 changes was declared complete, and the rest was lost. Acceptance scenario 5.
// Verifies: REC-12, REC-13
#[test]
fn an_incomplete_answer_to_a_push_is_not_declared_complete() {
    let records = Records::new();
    for table in ["tasks", "notes"] {
        let inserts: Vec<Value> = (0..3_000).map(|n| insert(table, &format!("{table}{n}"), "x")).collect();
        records.push("maker", "", &json!(inserts));
    }
    let first = records.push("reader", "", &json!([]));
    assert_eq!(first["hasMore"], true);
    let mut seen: BTreeSet<String> = ids(first["serverChanges"].as_array().unwrap()).into_iter().collect();
    assert!(seen.len() < 6_000);
    let cursor = first["syncedUntil"].as_str().unwrap();
    for table in ["tasks", "notes"] {
        seen.extend(ids(&records.pull_all("reader", table, cursor).0));
    }
    assert_eq!(seen.len(), 6_000);
    // By pushes alone, too.
    let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let answer = records.push("poster", &cursor, &json!([]));
        seen.extend(ids(answer["serverChanges"].as_array().unwrap()));
        answer["syncedUntil"].as_str().unwrap().clone_into(&mut cursor);
        if answer.get("hasMore").is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 6_000);
}

// The good changes of a batch with a bad one stayed, and retries doubled rows. Acceptance scenario 10.
// Verifies: REC-18
#[test]
fn one_bad_change_among_200_refuses_the_whole_push() {
    let records = Records::new();
    let mut changes: Vec<Value> = (0..200).map(|n| insert("tasks", &format!("t{n}"), "x")).collect();
    let good = changes[137].take();
    changes[137] = json!({"table": "tasks", "id": "t137", "op": "upsert"});
    let body = json!({"clientId": "c", "changes": changes}).to_string();
    let refused = records.call("POST", "/sync/todo", "", &body);
    assert_eq!((refused.status, &*refused.text()), (400, "invalid op \"upsert\" in change 137\n"));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(records.pull("r", "tasks", "")["serverChanges"], json!([]));
    changes[137] = good;
    records.push("c", "", &json!(changes));
    let (seen, cursor) = records.pull_all("r", "tasks", "");
    assert_eq!(ids(&seen).len(), 200);
    let again = records.push("c", "", &json!(changes));
    assert_eq!(records.pull_all("r", "tasks", &cursor).0, [] as [Value; 0], "a retry changes nothing");
    assert_eq!(again["conflicts"], json!([]));
}

#[test]
fn a_future_cursor_gets_nothing_new_and_a_malformed_one_everything() {
    let records = Records::new();
    records.push("c", "", &json!([insert("tasks", "t1", "x")]));
    let newest = records.pull("r", "tasks", "")["syncedUntil"].clone();
    let future = records.pull("r", "tasks", "2200-01-01T00:00:00Z");
    assert_eq!((&future["serverChanges"], &future["syncedUntil"]), (&json!([]), &newest));
    assert_eq!(records.pull("r", "tasks", "yesterday")["serverChanges"].as_array().unwrap().len(), 2);
    assert_eq!(
        records.push("c2", "2200-01-01T00:00:00Z", &json!([]))["serverChanges"].as_array().unwrap().len(),
        2,
        "what was never delivered is delivered"
    );
    let apps = records.call("GET", "/sync/other%20app/pull?collection=tasks&since=", "", "");
    assert_eq!(apps.json()["serverChanges"], json!([]), "an app of its own");
    let with_slash = T.replace(':', "%3A");
    assert_eq!(records.pull("r", "tasks", &with_slash)["syncedUntil"], newest);
}
