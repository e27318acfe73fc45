//! A full disk is told alike by all models of one database, changes nothing, and is over once there is room.

use std::{
    fs::{self, File},
    io::Write as _,
};

use ferry_testkit::{
    http::{self, Response},
    wait,
};
use serde_json::{Value, json};

use crate::{
    ops::{A, batch, hlc, set},
    support::{Place, SmallDisk, options},
};

/// A way to write to the database, and to see how much of it is there.
struct Way {
    model: &'static str,
    method: &'static str,
    path: fn(&str) -> String,
    /// The body that writes so many bytes under this name.
    body: fn(&str, usize) -> String,
    look: &'static str,
    count: fn(&Value) -> usize,
}

const WAYS: [Way; 3] = [
    Way {
        model: "events",
        method: "POST",
        path: |_| "events".into(),
        body: |name, bytes| {
            let event = json!({"name": name, "args": {"text": "x".repeat(bytes)}});
            json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s", "events": [event]})
                .to_string()
        },
        look: "events?store=app",
        count: |page| page["head"].as_u64().map_or(usize::MAX, |head| usize::try_from(head).unwrap()),
    },
    Way {
        model: "records",
        method: "PUT",
        path: |name| format!("records/todo/tasks/{name}"),
        body: |_, bytes| json!({"title": "x".repeat(bytes)}).to_string(),
        look: "records/todo/tasks",
        count: |page| page["records"].as_array().expect("records").len(),
    },
    Way {
        model: "ops",
        method: "POST",
        path: |_| "ops".into(),
        body: |name, bytes| {
            let ops: Vec<Value> = (0..bytes.div_ceil(20_000))
                .map(|n| {
                    let value = json!("x".repeat(bytes.min(20_000)));
                    // No two names are of one length.
                    let at = hlc((name.len() * 1000 + n) as u64, 0, A);
                    set(&format!("{name}-{n:05}"), &at, &format!("e/{name}"), "t", &value, &[])
                })
                .collect();
            batch(A, &ops)
        },
        look: "ops?limit=1000",
        count: |page| page["ops"].as_array().expect("ops").len(),
    },
];

struct Writer {
    place: Place,
    token: String,
}

impl Writer {
    fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {}", self.token);
        let path = format!("/v1/databases/{}/{path}", self.place.database);
        let headers = [("Authorization", &*bearer)];
        http::send(self.place.hub.address(), method, &path, &headers, body.as_bytes()).unwrap()
    }

    fn write(&self, way: &Way, name: &str, bytes: usize) -> Response {
        self.send(way.method, &(way.path)(name), &(way.body)(name, bytes))
    }

    fn count(&self, way: &Way) -> usize {
        let looked = self.send("GET", way.look, "");
        assert_eq!(looked.status, 200, "{}: {}", way.model, looked.text());
        (way.count)(&looked.json())
    }
}

// Events told 500 without a reason, ops 503, records 507.
// Verifies: EVT-01, OPS-02
#[test]
fn a_full_disk_is_told_alike_by_all_models_and_is_over_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let place = Place::of(options().data_dir(disk.path().join("data")).start());
    let request = json!({"databaseId": place.database, "models": ["events", "records", "ops"],
                         "ops": ["read", "write"], "ttlSeconds": 3600});
    let token = place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
    let writer = Writer { place, token };
    for way in &WAYS {
        let written = writer.write(way, "before", 100);
        assert!(written.status < 300, "{}: {} {}", way.model, written.status, written.text());
        assert_eq!(writer.count(way), 1, "{}", way.model);
    }
    let filler = disk.path().join("filler");
    let mut file = File::create(&filler).unwrap();
    let mut piece = &[7; 1 << 20][..];
    while !piece.is_empty() {
        if file.write_all(piece).is_err() {
            piece = &piece[..piece.len() / 2];
        }
    }
    // Twice: what was refused first has left nothing that the next one trips over.
    for way in WAYS.iter().chain(&WAYS) {
        let refused = writer.write(way, "refused", 400_000);
        let error = &refused.json()["error"];
        assert_eq!(
            (refused.status, &error["reason"]),
            (507, &json!("STORAGE_FULL")),
            "{}: {error}",
            way.model
        );
        assert!(error["message"].as_str().unwrap().contains("free space on it"), "{error}");
        assert_eq!(writer.count(way), 1, "{}: nothing has changed, and reads go on", way.model);
    }
    drop(file);
    fs::remove_file(&filler).unwrap();
    for way in &WAYS {
        wait::until("it is written again", || (writer.write(way, "after", 100).status < 300).then_some(()));
        assert_eq!(writer.count(way), 2, "{}", way.model);
    }
}
