//! Concurrent large pushes: decoded they take many times their bytes, so they are decoded one after another.

use std::{fs, thread};

use ferry_testkit::{
    http::{self, Response},
    wait,
};
use serde_json::json;

use super::{Records, T};
use crate::support::options;

fn push(records: &Records, id: &str, bytes: usize) -> Response {
    let data = json!({"id": id, "createdAt": T, "text": "x".repeat(bytes)});
    let changes = json!([{"table": "notes", "id": id, "op": "insert", "data": data}]);
    let body = json!({"clientId": id, "since": "2200-01-01T00:00:00Z", "changes": changes}).to_string();
    let bearer = format!("Bearer {}", records.token);
    let address = records.place.hub.address();
    http::send(address, "POST", "/sync/todo", &[("Authorization", &bearer)], body.as_bytes()).unwrap()
}

// Seven pushes at once took 1.3 GB: what they were decoded to was bounded by nothing.
// Verifies: WEB-11
#[test]
fn large_pushes_are_decoded_one_after_another_and_small_ones_pass() {
    const LARGE: usize = 9 << 20;
    let folder = tempfile::tempdir().unwrap();
    let block = folder.path().join("block");
    let records = Records::of(options().fault(format!("records.applied=wait:{}", block.display())).start());
    let refused = thread::scope(|scope| {
        let records = &records;
        let held: Vec<_> = ["a", "b"]
            .map(|id| {
                let pushing = scope.spawn(move || push(records, id, LARGE));
                wait::until("a push to stand before its commit", || block.exists().then_some(()));
                pushing
            })
            .into();
        // The second of them may still be on its way: then this one takes its turn, and it is refused.
        let third = scope.spawn(|| push(records, "c", LARGE));
        let small = scope.spawn(|| push(records, "d", 1 << 10));
        let mut large: Vec<_> = held.into_iter().chain([third]).collect();
        let place = wait::until("one of three to be refused", || {
            large.iter().position(thread::ScopedJoinHandle::is_finished)
        });
        let refused = large.remove(place).join().unwrap();
        fs::remove_file(&block).unwrap();
        let all_done = || {
            // It stands there again for each that comes after.
            let _ = fs::remove_file(&block);
            (large.iter().all(thread::ScopedJoinHandle::is_finished) && small.is_finished()).then_some(())
        };
        wait::until("the others to be committed", all_done);
        for pushing in large.into_iter().chain([small]) {
            let answer = pushing.join().unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        refused
    });
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(
        refused.header("retry-after").is_some() && refused.text().contains("large pushes"),
        "{}",
        refused.text()
    );
}
