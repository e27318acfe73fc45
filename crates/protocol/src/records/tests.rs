use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const T: &str = "2026-01-01T10:05:00.000Z";

fn refusal(body: &Value) -> String {
    decode_push(body.to_string().as_bytes()).unwrap_err().message.into_owned()
}

fn one(change: &Value) -> Value {
    json!({"changes": [change]})
}

#[test]
fn the_documented_push_is_read() {
    let body = json!({"clientId": "c1", "since": T, "schemaVersion": 1, "changes": [
        {"table": "tasks", "id": "t1", "op": "insert", "data": {"id": "t1", "title": "a", "createdAt": T}},
        {"table": "tasks", "id": "t1", "op": "update", "fields": {"title": {"value": "b", "at": T}}},
        {"table": "tasks", "id": "t2", "op": "delete", "deletedAt": T, "actor": {"n": 1}, "origin": "agent",
         "spaceId": "s", "eventId": "e", "unknown": [1]}]})
    .to_string();
    let push = decode_push(body.as_bytes()).unwrap();
    assert_eq!((push.client.as_deref(), push.since.as_deref()), (Some("c1"), Some(T)));
    let at = UnixNanos::parse(T);
    let [insert, update, delete] = &push.changes[..] else { panic!("{push:?}") };
    assert!(insert.data.as_ref().unwrap().iter().all(|member| member.at == at));
    assert_eq!(
        update.fields.as_ref().unwrap()[0],
        FieldWrite { key: "title".into(), value: "\"b\"".into(), at }
    );
    assert_eq!((delete.deleted_at, delete.actor.as_deref()), (at, Some(r#"{"n":1}"#)));
    assert_eq!((delete.origin, delete.space.as_deref()), (Some(ChangeOrigin::Agent), Some("s")));
    assert_eq!(decode_push(b"{}").unwrap().changes, []);
}

#[test]
fn both_spellings_of_a_field_time_are_read_and_at_wins() {
    let later = "2026-01-01T11:00:00Z";
    for (field, time) in [
        (json!({"value": 1, "updatedAt": T}), Some(T)),
        (json!({"value": 1, "updatedAt": T, "at": later}), Some(later)),
        (json!({"value": 1, "at": 12}), None),
        (json!({"value": 1}), None),
    ] {
        let body = one(&json!({"table": "t", "id": "i", "op": "update", "fields": {"a": field}})).to_string();
        let push = decode_push(body.as_bytes()).unwrap();
        assert_eq!(push.changes[0].fields.as_ref().unwrap()[0].at, time.and_then(UnixNanos::parse));
    }
}

// Values went through floats and a text column that takes no U+0000: numbers were changed, requests failed.
#[test]
fn values_stay_the_text_they_are() {
    let body = r#"{"changes":[{"table":"t","id":"i","op":"update","fields":{"a.b\u0000":{"value":
        {"z":9007199254740993,"a" : "\u0000\ud800","n":1.10e5}}}}]}"#;
    let push = decode_push(body.as_bytes()).unwrap();
    let field = &push.changes[0].fields.as_ref().unwrap()[0];
    assert_eq!(field.key, r"a.b\u0000");
    assert_eq!(field.value, r#"{"z":9007199254740993,"a":"\u0000\ud800","n":1.10e5}"#);
}

#[test]
fn refusals_have_their_documented_texts() {
    let change = |op: &str| json!({"table": "t", "id": "i", "op": op});
    assert!(decode_push(b"[1").unwrap_err().message.starts_with("invalid JSON: "));
    assert_eq!(refusal(&json!({"schemaVersion": 2})), "unsupported schemaVersion 2 (max 1)");
    assert_eq!(refusal(&json!({"changes": [change("insert"), change("x")]})), "invalid op \"x\" in change 1");
    for bad in [
        json!({"op": "delete", "id": "i"}),
        json!({"op": "delete", "table": "t", "id": ""}),
        json!({"op": "delete", "table": "t", "id": 7}),
    ] {
        assert_eq!(refusal(&one(&bad)), "missing table or id in change 0");
    }
    assert!(
        refusal(&one(&json!({"op": "delete", "table": "t", "id": "a\nb"})))
            .starts_with("invalid id in change 0")
    );
    let long = "x".repeat(257);
    assert!(
        refusal(&one(&json!({"op": "delete", "table": long, "id": "i"})))
            .starts_with("invalid table in change 0")
    );
    let null = one(&json!({"table": "t", "id": "i", "op": "update", "fields": {"x": null}}));
    assert!(refusal(&null).starts_with("field \"x\" in change 0 is null"));
}

#[test]
fn limits_are_named_and_bound_what_is_kept() {
    let changes = vec![json!({"table": "t", "id": "i", "op": "delete"}); 5_001];
    assert!(refusal(&json!({"changes": changes})).contains("5000 changes"));
    let fields: serde_json::Map<_, _> = (0..501).map(|n| (n.to_string(), json!({"value": n}))).collect();
    let wide = json!({"table": "t", "id": "i", "op": "update", "fields": fields});
    let large = json!({"table": "t", "id": "i", "op": "insert", "data": {"a": "x".repeat(1 << 20)}});
    for (change, word) in [(wide, "500 fields"), (large, "1048576 bytes")] {
        let body = one(&change).to_string();
        let refused = decode_within(body.as_bytes(), ChangeLimits::FERRY).unwrap_err();
        assert!(refused.message.contains(word), "{}", refused.message);
        // Who cannot set it aside would send it for ever.
        assert!(decode_push(body.as_bytes()).is_ok());
    }
}

#[test]
fn changes_are_written_with_both_spellings() {
    let at = UnixNanos::parse(T).unwrap();
    let head = Head { cts: at, table: "ta\"b", id: "i", space: Some("\"s\""), actor: None, origin: None };
    let mut out = Vec::new();
    write_insert(&mut out, &head, at);
    out.push(b',');
    write_update(&mut out, &head, [FieldOut { key: "a", value: "[1]", at }].into_iter());
    out.push(b',');
    write_delete(&mut out, &head, at);
    let lost = ConflictOut {
        table: "t".into(),
        id: "i".into(),
        field: "a".into(),
        winner: ("1".into(), at, "a".into()),
        loser: ("2".into(), at, "b".into()),
    };
    let answer: Value = serde_json::from_slice(&push_answer(&out, &[lost], true, at)).unwrap();
    let nine = "2026-01-01T10:05:00.000000000Z";
    let changes = &answer["serverChanges"];
    assert_eq!(changes[0]["data"], json!({"id": "i", "createdAt": nine}));
    assert_eq!(changes[1]["fields"], json!({"a": {"value": [1], "at": nine, "updatedAt": nine}}));
    assert_eq!((&changes[2]["deletedAt"], &changes[2]["table"]), (&json!(nine), &json!("ta\"b")));
    assert_eq!((&answer["hasMore"], &answer["syncedUntil"]), (&json!(true), &json!(nine)));
    assert_eq!(answer["conflicts"][0]["winner"], json!({"value": 1, "at": nine}));
    assert!(pull_answer(b"", false, at).ends_with(b"\"}\n"));
}

#[test]
fn an_event_is_one_line_of_json() {
    let event =
        String::from_utf8(changes_event("tasks", b"{\"op\":\"x\"}", false, UnixNanos(5), UnixNanos(7)))
            .unwrap();
    let lines: Vec<&str> = event.lines().collect();
    assert_eq!(lines[..2], ["event: changes", "id: 1970-01-01T00:00:00.000000005Z"]);
    let data: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&data["table"], &data["hasMore"]), (&json!("tasks"), &json!(false)));
    assert!(event.ends_with("\n\n") && String::from_utf8(bye(Bye::Expired)).unwrap().contains("\"expired\""));
}

#[test]
fn socket_messages_are_the_documented_json() {
    assert_eq!(ClientMessage::decode(r#"{"type":"auth","token":"x"}"#), Ok(ClientMessage::Auth("x".into())));
    assert_eq!(ClientMessage::decode(r#"{"type":"auth"}"#), Ok(ClientMessage::Auth(String::new())));
    assert_eq!(ClientMessage::decode(r#"{"type":"later"}"#), Ok(ClientMessage::Unknown));
    assert_eq!(ClientMessage::decode("ping"), Err(SocketError));
    let tables = ["tasks".to_owned()];
    let news: Value =
        serde_json::from_str(&ServerMessage::SyncAvailable { app: "a", tables: &tables }.encode()).unwrap();
    assert_eq!(news, json!({"type": "sync-available", "appId": "a", "tables": ["tasks"]}));
    assert_eq!(
        ServerMessage::Error("invalid token").encode(),
        r#"{"tables":["invalid token"],"type":"error"}"#
    );
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, text in r#"[\[\]{}":,a-z0-9\\ ]{0,60}"#) {
        let _ = decode_push(&bytes);
        let _ = decode_push(text.as_bytes());
        let _ = ClientMessage::decode(&text);
    }

    #[test]
    fn any_change_is_decoded_or_refused(members in proptest::collection::btree_map("table|id|op|data|fields|deletedAt|spaceId|actor|origin",
        "null|1|\"insert\"|\"update\"|\\{\\}|\\{\"a\":(1|null|\\{\\}|\\{\"at\":5\\})\\}|\\[\\]", 0..9)) {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let _ = decode_push(format!("{{\"changes\":[{{{}}}]}}", members.join(",")).as_bytes());
    }
}
