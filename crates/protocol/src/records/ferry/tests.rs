//! Ferry's records wire.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_cursor_has_one_spelling() {
    for text in ["0", "17", "17:5", "17~00abcdef01234567", "17:5~00abcdef01234567"] {
        assert_eq!(text.parse::<RecordsCursor>().unwrap().to_string(), text);
    }
    assert_eq!("".parse(), Ok(RecordsCursor::default()));
    let beginning: RecordsCursor = "0~00abcdef01234567".parse().unwrap();
    assert_eq!(beginning.to_string(), "0", "the beginning is every run's");
    for bad in
        ["-1", "x", "1:", "+1", "1:2:3", "99999999999999999999", "1~", "~", "1~5", "1~00ABCDEF01234567"]
    {
        assert_eq!(bad.parse::<RecordsCursor>(), Err(BadCursor), "{bad}");
    }
}

#[test]
fn one_bad_change_does_not_refuse_the_others() {
    let at = "2026-01-01T10:07:00.000001417Z";
    let body = json!({"app": "todo", "epoch": "e", "since": "9:4", "changes": [
        {"collection": "tasks", "id": "t1", "op": "insert", "seen": "5", "fields": {"a": {"value": 1, "at": at}}},
        {"collection": "tasks", "id": "t1", "op": "noop", "fields": {}},
        {"collection": "tasks", "id": "t1", "op": "delete", "fields": {"a": {"value": 1, "at": at}}},
        {"collection": "tasks", "id": "t1", "op": "update"},
        {"collection": "tasks", "id": "t1", "op": "update", "fields": {"a": {"value": "x".repeat(1 << 20)}}}]});
    let push = decode(body.to_string().as_bytes()).unwrap();
    assert_eq!((&*push.app, push.epoch.as_deref(), push.since.since), ("todo", Some("e"), UnixNanos(9)));
    let insert = push.changes[0].as_ref().unwrap();
    assert_eq!((insert.table.as_ref(), insert.seen), ("tasks", Some(UnixNanos(5))));
    assert_eq!(push.changes[2].as_ref().unwrap().deleted_at, UnixNanos::parse(at));
    let reason = |index: usize| match push.changes[index].as_ref().unwrap_err() {
        ResultOut::Rejected { reason, .. } => *reason,
        ResultOut::Ok(_) => "ok",
    };
    assert_eq!([reason(1), reason(3), reason(4)], ["invalid", "invalid", "too_large"]);
    assert!(decode(b"{}").is_err() && decode(b"[").is_err());
}

#[test]
fn answers_are_the_documented_json() {
    let at = UnixNanos(5);
    let mut changes = Vec::new();
    let entry = RecordEntry { app: Some("todo"), collection: "tasks", id: "t1", cts: at, space: None };
    let field = FieldEntry { key: "a", value: "[1]", at, writer: "c\"1" };
    write_entry(&mut changes, &entry, [field].into_iter());
    let cursor = RecordsCursor { since: UnixNanos(8), floor: UnixNanos(2), run: Some(RunId(10)) };
    let page =
        PageOut { epoch: "e", is_snapshot: true, now: at, seq: 3, changes: &changes, cursor, has_more: true };
    let page: Value = serde_json::from_slice(&page.encode()).unwrap();
    let time = at.text();
    assert_eq!(
        page,
        json!({"epoch": "e", "now": time, "seq": 3, "snapshot": true, "cursor": "8:2~000000000000000a", "more": true,
        "changes": [{"app": "todo", "collection": "tasks", "id": "t1", "cts": "5",
            "fields": {"a": {"value": [1], "at": time, "by": "c\"1"}}}]})
    );
    let results = [
        ResultOut::Ok(None),
        ResultOut::Ok(Some("{\"a\":1}".into())),
        ResultOut::Rejected { reason: "forbidden", message: "no".into() },
    ];
    let answer: Value =
        serde_json::from_slice(&push_answer("e", at, 3, RecordsCursor::complete(at, None), &results, &[]))
            .unwrap();
    assert_eq!(
        answer["results"],
        json!([{"status": "ok"}, {"status": "ok", "fields": {"a": 1}},
        {"status": "rejected", "reason": "forbidden", "message": "no"}])
    );
    let frame: Value = serde_json::from_slice(&resync(Resync::Epoch, "e")).unwrap();
    assert_eq!(frame, json!({"resync": true, "reason": "epoch", "epoch": "e"}));
    let frame: Value = serde_json::from_slice(&resync(Resync::Diverged, "e")).unwrap();
    assert_eq!(frame["reason"], "diverged");
}
