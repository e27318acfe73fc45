//! Records at the boundary of a page. A record whose field `a` changed before the cut and whose field `b` changed
//! after it stands behind the cut: what follows must bring both, although `a` is older than the cursor.

use serde_json::{Value, json};

use super::{Records, device::Device, insert, update};

/// A record that the reader knows, then `a`, a crowd of others, and `b`. Returns the reader's cursor before them.
fn crowd(records: &Records, count: usize) -> String {
    records.push("maker", "", &json!([insert("tasks", "known", "x")]));
    let cursor = records.pull_all("reader", "tasks", "").1;
    let edit = |field: &str| json!([update("known", field, &json!("new"), "2026-01-01T10:00:09Z")]);
    records.push("maker", "", &edit("a"));
    let others: Vec<Value> = (0..count).map(|n| insert("tasks", &format!("t{n}"), "x")).collect();
    records.push("maker", "", &json!(others));
    records.push("maker", "", &edit("b"));
    cursor
}

fn has_both(reader: &Device) -> bool {
    ["a", "b"].iter().all(|field| reader.value("known", field) == "new")
}

// Verifies: REC-11, REC-12
#[test]
fn a_pull_cut_at_a_page_boundary_loses_no_field() {
    let records = Records::new();
    let cursor = crowd(&records, 1_500);
    let first = records.pull("reader", "tasks", &cursor);
    assert_eq!(first["hasMore"], true);
    let seen = first["serverChanges"].as_array().unwrap();
    assert!(seen.iter().all(|change| change["id"] != "known"), "it stands behind the cut");
    let mut reader = Device::new("reader");
    let (rest, end) = records.pull_all("reader", "tasks", first["syncedUntil"].as_str().unwrap());
    reader.apply(&rest);
    assert!(has_both(&reader), "{:?}", reader.value("known", "a"));
    // Behind a whole page only what is new is sent again.
    records.push("maker", "", &json!([update("known", "b", &json!("newer"), "2026-01-01T10:00:19Z")]));
    let news = records.pull_all("reader", "tasks", &end).0;
    assert_eq!(news.len(), 1);
    assert_eq!(news[0]["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    // So for a reader that does not say who it is.
    let page = records.pull("", "tasks", &cursor);
    let mut nameless = Device::new("");
    nameless.apply(&records.pull_all("", "tasks", page["syncedUntil"].as_str().unwrap()).0);
    assert_eq!(nameless.value("known", "a"), "new");
}

// Verifies: REC-11, REC-12, REC-13
#[test]
fn the_answer_to_a_push_cut_at_a_page_boundary_loses_no_field() {
    let records = Records::new();
    let cursor = crowd(&records, 3_000);
    // On by pushes, and on by pulls from the cursor of a push.
    for by_pull in [false, true] {
        let first = records.push("reader", &cursor, &json!([]));
        assert_eq!(first["hasMore"], true);
        let seen = first["serverChanges"].as_array().unwrap();
        assert!(seen.iter().all(|change| change["id"] != "known"), "it stands behind the cut");
        let mut reader = Device::new("reader");
        let since = first["syncedUntil"].as_str().unwrap();
        if by_pull {
            reader.apply(&records.pull_all("reader", "tasks", since).0);
        } else {
            let second = records.push("reader", since, &json!([]));
            reader.apply(second["serverChanges"].as_array().unwrap());
        }
        assert!(has_both(&reader), "by pull: {by_pull}");
    }
}

// Verifies: REC-11, REC-20
#[test]
fn a_stream_cut_at_a_page_boundary_loses_no_field() {
    let records = Records::new();
    let cursor = crowd(&records, 1_500);
    let until_known = |reader: &mut Device, stream: &mut ferry_testkit::records::EventStream| {
        loop {
            let event = stream.event().unwrap();
            let changes = event.data["changes"].as_array().unwrap();
            reader.apply(changes);
            if changes.iter().any(|change| change["id"] == "known") {
                return;
            }
        }
    };
    let mut stream = records.stream(&format!("?since={cursor}"));
    let first = stream.event().unwrap();
    assert_eq!(first.data["hasMore"], true);
    let mut reader = Device::new("reader");
    until_known(&mut reader, &mut stream);
    assert!(has_both(&reader));
    let mut resumed = records.stream(&format!("?since={}", first.id.unwrap()));
    let mut reader = Device::new("reader");
    until_known(&mut reader, &mut resumed);
    assert!(has_both(&reader), "resumed behind the cut");
}

// Verifies: REC-11
#[test]
fn a_page_boundary_of_ferrys_own_wire_loses_no_field() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "known", "x")]));
    let page = |cursor: &str| {
        let path = format!("/v1/databases/-/records/changes?app=todo&limit=2&since={cursor}");
        records.call("GET", &path, "reader", "").json()
    };
    let cursor = page("0")["cursor"].as_str().unwrap().to_owned();
    for changes in [
        json!([update("known", "a", &json!("new"), "2026-01-01T10:00:09Z")]),
        json!((0..3).map(|n| insert("tasks", &format!("t{n}"), "x")).collect::<Vec<_>>()),
        json!([update("known", "b", &json!("new"), "2026-01-01T10:00:09Z")]),
    ] {
        records.push("maker", "", &changes);
    }
    let first = page(&cursor);
    assert_eq!(first["more"], true);
    let second = page(first["cursor"].as_str().unwrap());
    let changes = second["changes"].as_array().unwrap();
    let known = changes.iter().find(|change| change["id"] == "known").unwrap();
    assert_eq!(known["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
}
