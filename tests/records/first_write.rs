//! What a database takes with its first record.

use std::fs;

use serde_json::json;

use super::{Records, insert};

// Each table and index takes a page of every database: it was 84 KiB.
#[test]
fn a_database_with_one_record_takes_at_most_32_kib() {
    let mut records = Records::new();
    records.push("c", "", &json!([insert("tasks", "t1", "x")]));
    let dir = records.place.hub.database_dir(&records.place.database);
    records.place.hub.stop();
    let bytes = fs::metadata(dir.join("main.db")).unwrap().len();
    assert!(bytes <= 32 << 10, "{bytes} bytes");
    let records = records.restarted();
    assert_eq!(super::ids(&records.pull_all("d", "tasks", "").0), ["t1"]);
}
