//! Record streams (server-sent events).

use ferry_testkit::wait;
use serde_json::{Value, json};

use super::{Records, device::Device, ids, insert, token_for};

fn changes(event: &ferry_testkit::records::Event) -> Vec<Value> {
    event.data["changes"].as_array().unwrap().clone()
}

// Streams sent their headers after 30 s, then the first 1,000 rows only, dropped events for slow readers, and skipped
// what came between query and subscription. Acceptance scenario 11.
// Verifies: REC-20
#[test]
fn a_stream_starts_at_once_sends_the_backlog_and_follows() {
    let records = Records::new();
    let (took, mut idle) = wait::timed(|| {
        let mut stream = records.stream("");
        assert_eq!(stream.line().as_deref(), Some(": connected"));
        stream
    });
    assert!(took < wait::PROMPT, "headers came after {took:?}");
    let inserts: Vec<Value> = (0..2_500).map(|n| insert("tasks", &format!("t{n}"), "x")).collect();
    records.push("maker", "", &json!(inserts));
    let mut seen = Vec::new();
    while seen.len() < 2_500 {
        let event = idle.event().expect("an event");
        assert_eq!((&*event.name, &event.data["table"]), ("changes", &json!("tasks")));
        seen.extend(ids(&changes(&event)));
    }
    // Cut in the middle of the second page and resumed: no gap, and what came twice changes nothing.
    let mut cut = records.stream("?collections=tasks");
    let event = cut.event().unwrap();
    assert_eq!(event.data["hasMore"], true);
    let id = event.id.clone().unwrap();
    while cut.line().expect("the next page") != "event: changes" {}
    cut.cut();
    let mut resumed = records.resumed(&id);
    let mut device = Device::new("");
    device.apply(&changes(&event));
    while device.ids().len() < 2_500 {
        let event = resumed.event().unwrap();
        device.apply(&changes(&event));
        if event.data["hasMore"] == false {
            break;
        }
    }
    let mut fresh = Device::new("fresh");
    fresh.pull(&records);
    assert_eq!(device.fields, fresh.fields);
    // What comes later follows, and only of the collections that were asked for.
    records.push("maker", "", &json!([insert("notes", "n1", "x"), insert("tasks", "late", "x")]));
    let event = records.stream("?collections=notes").event().unwrap();
    assert_eq!((ids(&changes(&event)), &event.data["table"]), (vec!["n1".to_owned()], &json!("notes")));
    loop {
        let event = resumed.event().unwrap();
        if ids(&changes(&event)) == ["late"] {
            break;
        }
    }
}

// Streams that have caught up share their pages, but for what their own device wrote.
// Verifies: REC-14, REC-20
#[test]
fn streams_of_many_devices_get_what_the_others_wrote_and_nothing_else() {
    const DEVICES: usize = 6;
    const PUSHES: usize = 25;
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "first", "x")]));
    let (address, bearer) = (records.address(), records.bearer());
    let follow = |device: &str, query: &str| {
        let mut headers = vec![("Authorization", &*bearer)];
        if !device.is_empty() {
            headers.push(("X-Client-Id", device));
        }
        let path = format!("/sync/todo/stream{query}");
        let mut stream = ferry_testkit::records::EventStream::open(address, &path, &headers).unwrap();
        assert_eq!(ids(&changes(&stream.event().unwrap())), ["first"]);
        stream
    };
    let devices: Vec<String> = (0..DEVICES).map(|number| format!("device-{number}")).collect();
    let streams: Vec<_> = devices.iter().map(|device| (device.as_str(), follow(device, ""))).collect();
    let nameless = [("", follow("", "")), ("", follow("", "?collections=tasks"))];
    std::thread::scope(|scope| {
        for (device, mut stream) in streams.into_iter().chain(nameless) {
            let writers = devices.iter().filter(move |other| **other != device);
            let mut expected: Vec<String> =
                writers.flat_map(|other| (0..PUSHES).map(move |push| format!("{other}-{push}"))).collect();
            scope.spawn(move || {
                let mut seen = Vec::new();
                while seen.len() < expected.len() {
                    seen.extend(ids(&changes(&stream.event().unwrap())));
                    seen.sort();
                    seen.dedup();
                }
                expected.sort();
                assert_eq!(seen, expected, "the stream of {device:?}");
            });
        }
        for device in &devices {
            let records = &records;
            scope.spawn(move || {
                for push in 0..PUSHES {
                    records.push(device, "", &json!([insert("tasks", &format!("{device}-{push}"), "x")]));
                }
            });
        }
    });
}

// A page of a stream is an event per collection: one whose second event did not arrive has not arrived.
// Verifies: REC-20
#[test]
fn a_page_interrupted_between_its_events_is_sent_again() {
    let records = Records::new();
    for n in 0..3 {
        records.push(
            "maker",
            "",
            &json!([insert("tasks", &format!("t{n}"), "x"), insert("notes", &format!("n{n}"), "x")]),
        );
    }
    let mut cut = records.stream("");
    let first = cut.event().unwrap();
    let id = first.id.clone().unwrap();
    cut.cut();
    let mut resumed = records.resumed(&id);
    let mut seen = ids(&changes(&first));
    for _ in 0..2 {
        seen.extend(ids(&changes(&resumed.event().unwrap())));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["n0", "n1", "n2", "t0", "t1", "t2"]);
}

// A stream looked at its rights only when it had nothing to send: a long backlog outlived them.
// Verifies: REC-31
#[test]
fn a_backlog_is_not_delivered_after_the_right_ended() {
    const RECORDS: usize = 48;
    let records = Records::new();
    // 43 MB, of which the connection and one page hold far less.
    let value = "x".repeat(900_000);
    for push in 0..RECORDS / 8 {
        let inserts = (0..8).map(|n| insert("tasks", &format!("t{push}-{n}"), &value));
        records.push("maker", "2200-01-01T00:00:00Z", &json!(inserts.collect::<Vec<_>>()));
    }
    let mut stream = records.stream("");
    let mut seen = ids(&changes(&stream.event().unwrap())).len();
    let request = json!({"database": records.place.database});
    records.place.user.ferry("RevokeDatabaseTokens", &request).unwrap();
    let bye = loop {
        let event = stream.event().unwrap();
        if event.name == "bye" {
            break event;
        }
        seen += ids(&changes(&event)).len();
    };
    assert_eq!(bye.data, json!({"reason": "revoked"}));
    assert!(seen < RECORDS, "all was sent after the right to it had gone");
    assert_eq!(stream.event(), None);
}

// Verifies: REC-31
#[test]
fn a_stream_ends_with_its_credential() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "t1", "x")]));
    let short = token_for(&records.place, &["read"], &[], 2);
    let path = format!("/sync/todo/stream?access_token={short}");
    let mut stream = ferry_testkit::records::EventStream::open(records.address(), &path, &[]).unwrap();
    assert_eq!(stream.event().unwrap().name, "changes");
    let bye = stream.event().unwrap();
    assert_eq!((&*bye.name, &bye.data), ("bye", &json!({"reason": "expired"})));
    assert_eq!(stream.event(), None);
    let mut stream = records.stream("");
    stream.event().unwrap();
    let request = json!({"database": records.place.database});
    records.place.user.ferry("RevokeDatabaseTokens", &request).unwrap();
    assert_eq!(stream.event().unwrap().data, json!({"reason": "revoked"}));
}

#[test]
fn a_stopping_hub_ends_streams_with_a_bye() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "t1", "x")]));
    let mut stream = records.stream("");
    stream.event().unwrap();
    records.place.hub.begin_stop();
    assert_eq!(stream.event().unwrap().data, json!({"reason": "shutdown"}));
}
