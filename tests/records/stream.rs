//! Event streams.

use ferry_testkit::wait;
use serde_json::{Value, json};

use super::{Records, ids, insert, token_for};

fn changes(event: &ferry_testkit::records::Event) -> Vec<Value> {
    event.data["changes"].as_array().unwrap().clone()
}

// Verifies: REC-20
#[test]
fn a_stream_answers_at_once_drains_and_follows() {
    let records = Records::new();
    let (took, mut idle) = wait::timed(|| {
        let mut stream = records.stream("");
        assert_eq!(stream.line().as_deref(), Some(": connected"));
        stream
    });
    assert!(took.as_millis() < 2_000, "headers came after {took:?}");
    let inserts: Vec<Value> = (0..2_500).map(|n| insert("tasks", &format!("t{n}"), "x")).collect();
    records.push("maker", "", &json!(inserts));
    let mut seen = Vec::new();
    while seen.len() < 2_500 {
        let event = idle.event().expect("an event");
        assert_eq!((&*event.name, &event.data["table"]), ("changes", &json!("tasks")));
        seen.extend(ids(&changes(&event)));
    }
    // Cut in mid-page and resumed: no gap.
    let mut first = records.stream("?collections=tasks");
    let event = first.event().unwrap();
    assert_eq!(event.data["hasMore"], true);
    let mut seen = ids(&changes(&event));
    first.cut();
    let bearer = records.bearer();
    let id = event.id.unwrap();
    let headers = [("Authorization", &*bearer), ("Last-Event-ID", &*id)];
    let address = records.address();
    let mut resumed =
        ferry_testkit::records::EventStream::open(address, "/sync/todo/stream?since=", &headers).unwrap();
    while seen.len() < 2_500 {
        seen.extend(ids(&changes(&resumed.event().unwrap())));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2_500);
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
fn a_stopping_hub_says_goodbye() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "t1", "x")]));
    let mut stream = records.stream("");
    stream.event().unwrap();
    records.place.hub.begin_stop();
    assert_eq!(stream.event().unwrap().data, json!({"reason": "shutdown"}));
}
