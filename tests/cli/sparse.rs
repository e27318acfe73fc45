//! A file of more than a gigabyte, of which most was never written: holes cost nothing on the wire, and the page that covers
//! SQLite's lock bytes is none (PAG-20).

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

use ferry_testkit::http::{self, Response};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::sync::{ada, run, second_machine};
use crate::support::hub;

const PAGE: u64 = 2048;
/// The page that covers the lock bytes, counted from 1.
const LOCK_PAGE: u64 = (1 << 30) / PAGE + 1;

/// A file whose rows stand on both sides of the lock page, behind half a million pages that are holes.
fn create(path: &Path) {
    run(path, &format!("PRAGMA page_size={PAGE}; CREATE TABLE t(id INTEGER PRIMARY KEY, x)"));
    let count = LOCK_PAGE - 40;
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(count * PAGE).unwrap();
    file.write_all_at(&u32::try_from(count).unwrap().to_be_bytes(), 28).unwrap();
    drop(file);
    run(
        path,
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
               INSERT INTO t SELECT i, hex(randomblob(700)) FROM n",
    );
}

#[track_caller]
fn assert_same_bytes(one: &Path, two: &Path) {
    let (mut one, mut two) = (File::open(one).unwrap(), File::open(two).unwrap());
    assert_eq!(one.metadata().unwrap().len(), two.metadata().unwrap().len());
    let (mut left, mut right) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    let mut at = 0;
    loop {
        let read = one.read(&mut left).unwrap();
        if read == 0 {
            return;
        }
        two.read_exact(&mut right[..read]).unwrap();
        // Page 1 has counters that SQLite rewrites.
        let from = if at == 0 { 100 } else { 0 };
        assert!(left[from..read] == right[from..read], "differ after {at}");
        at += read;
    }
}

// Verifies: PAG-20, PAG-27, PAG-61, PAG-64
#[test]
fn a_sparse_file_of_more_than_a_gigabyte_travels_as_its_rows() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    create(&file);
    let count = file.metadata().unwrap().len() / PAGE;
    assert!(count > LOCK_PAGE + 40, "{count}");
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let pushed = json(&one.ok(&["push", "app.db", "app", "--json"]));
    assert!(pushed["wire_bytes"].as_u64().unwrap() < 400_000, "{pushed}");
    let copy = two.file("copy.db");
    let cloned = json(&two.ok(&["clone", "app", "copy.db", "--json"]));
    assert!(cloned["wire_bytes"].as_u64().unwrap() < 400_000, "{cloned}");
    assert_same_bytes(&file, &copy);
    run(&file, "UPDATE t SET x = 'changed' WHERE id % 50 = 0");
    one.ok(&["push", "app.db"]);
    two.ok(&["pull", "copy.db"]);
    let sum = |path: &Path| -> i64 {
        let sql = "SELECT sum(length(x) * id) FROM t";
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(sum(&file), sum(&copy));

    // The lock page has no leaf and is in no body; the file has zeros there.
    let token = one.ok(&["db", "token", "app", "--direction", "pull"]).trim().to_owned();
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| -> Response {
        let bearer = format!("Bearer {token}");
        let headers = [&[("Authorization", bearer.as_str())][..], headers].concat();
        http::send(hub.address(), method, &format!("/v1/databases/-/{path}"), &headers, body.as_bytes())
            .unwrap()
    };
    let ask = |question: &Value| send("POST", "pages/reconcile", &[], &question.to_string());
    let newest = ask(&json!({"at": null, "level": null}));
    assert_eq!(newest.header("ferry-page-count"), Some(&*count.to_string()));
    let tag = newest.header("etag").unwrap().trim_matches('"').to_owned();
    let nodes = |first: u64, last: u64| ask(&json!({"at": tag, "level": 0, "nodes": [[first, last]]}));
    let around = nodes(LOCK_PAGE - 2, LOCK_PAGE);
    assert_eq!(around.body[8..16], [0; 8]);
    assert!(around.body[..8] != [0; 8] && around.body[16..] != [0; 8]);
    let range = format!("bytes={}-{}", (1_u64 << 30) - 1, (1_u64 << 30) + PAGE);
    let bytes = send("GET", "file", &[("Range", &range)], "");
    assert_eq!((bytes.status, bytes.body.len() as u64), (206, PAGE + 2));
    assert!(bytes.body[1..=PAGE as usize].iter().all(|byte| *byte == 0));
    let page = send("GET", &format!("pages?since=0&pages={LOCK_PAGE}-{LOCK_PAGE}"), &[], "");
    assert_eq!(page.body.len(), 64 + 1 + 4 + 32, "a header, and an END of no target");

    // Of this many digests one answer has no more than its limit.
    let most = nodes(0, 524_287);
    assert_eq!((most.status, most.body.len()), (200, 524_288 * 8));
    let more = nodes(0, 524_288);
    assert_eq!(more.status, 413, "{}", more.text());
    assert_eq!(more.json()["error"]["reason"], "TOO_LARGE");
}
