//! Live streams of ops.

use std::io::Write as _;

use ferry_testkit::{http, process, sse::Sent, wait};
use serde_json::{Value, json};

use super::{A, B, Ops, hlc, set, text, token, token_for};

fn write(n: u64) -> Value {
    set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("task/{n}"), "t", &json!(n), &[])
}

/// The next event, comments left out.
fn event(stream: &mut ferry_testkit::sse::EventStream) -> (String, Option<String>, Value) {
    loop {
        match stream.next() {
            Sent::Event { id, name, data } => return (name, id, serde_json::from_str(&data).unwrap()),
            Sent::Comment(_) => {}
            Sent::End => panic!("the stream ended"),
        }
    }
}

/// Reads nudges up to this head.
fn nudged(stream: &mut ferry_testkit::sse::EventStream, head: u64) -> usize {
    let deadline = wait::Deadline::of("the nudge");
    let mut nudges = 0;
    loop {
        deadline.check();
        let (name, id, data) = event(stream);
        let told = data["head"].as_u64().unwrap();
        assert_eq!((&*name, id), ("nudge", Some(told.to_string())));
        nudges += 1;
        assert!(told <= head, "{told}");
        if told == head {
            return nudges;
        }
    }
}

// Verifies: OPS-53
#[test]
fn a_nudge_tells_the_head_at_once_if_it_is_ahead_and_after_each_commit() {
    let ops = Ops::new();
    ops.accepted(A, &[write(1), write(2)]);
    let mut behind = ops.stream("?after_seq=1");
    let (name, _, ready) = event(&mut behind);
    assert_eq!((&*name, &ready["head"]), ("ready", &json!(2)));
    assert_eq!((text(&ready["hub_id"]).len(), text(&ready["epoch"]).len()), (32, 16));
    nudged(&mut behind, 2);
    let mut at_head = ops.stream("?after_seq=2&mode=nudge");
    assert_eq!(event(&mut at_head).0, "ready");
    ops.accepted(A, &[write(3)]);
    nudged(&mut behind, 3);
    nudged(&mut at_head, 3);
    // Many commits are told together.
    for n in 4..104 {
        ops.accepted(A, &[write(n)]);
    }
    let nudges = nudged(&mut at_head, 103);
    assert!(nudges < 100, "{nudges}");
    assert_eq!(at_head.head.header("ferry-seq"), Some("1"), "{:?}", at_head.head);
}

// Verifies: OPS-01, OPS-53
#[test]
fn a_stream_of_ops_sends_the_backlog_and_follows_and_resumes_at_an_id() {
    let ops = Ops::new();
    let backlog: Vec<Value> = (0..2_500).map(write).collect();
    backlog.chunks(1_000).for_each(|ops_| drop(ops.accepted(A, ops_)));
    let mut stream = ops.stream("?mode=ops");
    assert_eq!(event(&mut stream).0, "ready");
    let mut seen = 0;
    while seen < 2_500 {
        let (name, id, data) = event(&mut stream);
        seen += 1;
        assert_eq!((&*name, id, &data["seq"]), ("op", Some(seen.to_string()), &json!(seen)));
        assert_eq!(data["op"], backlog[usize::try_from(seen).unwrap() - 1]);
    }
    ops.accepted(A, &[write(2_500)]);
    assert_eq!(event(&mut stream).2["seq"], 2_501);
    // As a browser that comes again, which also asks for events by `Accept`.
    let bearer = format!("Bearer {}", ops.token);
    let headers = [("Authorization", &*bearer), ("Last-Event-ID", "2500"), ("Accept", "text/event-stream")];
    let path = "/v1/databases/-/ops?mode=ops&after_seq=7";
    let mut resumed = ferry_testkit::sse::EventStream::open(ops.address(), path, &headers).unwrap();
    assert_eq!(event(&mut resumed).0, "ready");
    assert_eq!(event(&mut resumed).2["seq"], 2_501);
}

// Verifies: OPS-04
#[test]
fn line_breaks_of_an_op_are_spaces_in_an_event() {
    let ops = Ops::new();
    let mut stream = ops.stream("?mode=ops");
    assert_eq!(event(&mut stream).0, "ready", "of a log that is not made yet");
    let client = ops.hephd(super::CursorRule::Replaced);
    assert_eq!(client.push("{\"ops\":[{\"hlc\":\"1\",\r\n\"a\":\n[1]}]}").status, 200);
    let Sent::Event { data, .. } = stream.next() else { panic!("an event") };
    assert_eq!(data, "{\"seq\":1,\"op\":{\"hlc\":\"1\",  \"a\": [1]}}");
}

// Verifies: OPS-52, OPS-53
#[test]
fn a_narrowed_credential_is_sent_what_it_may_see() {
    let ops = Ops::new();
    let narrow = token(&ops.place, &["read", "write"], &["tbl=task/1"]);
    ops.accepted(A, &[write(1), write(2)]);
    let mut stream = ops.stream_as(&narrow, "?mode=ops").unwrap();
    assert_eq!(event(&mut stream).0, "ready");
    assert_eq!(event(&mut stream).2["op"]["entity"], "task/1");
    assert_eq!(ops.hephd(super::CursorRule::Replaced).push(r#"{"ops":[{"hlc":"1"}]}"#).status, 200);
    ops.accepted(A, &[write(3), write(10), write(4)]);
    let (_, id, data) = event(&mut stream);
    assert_eq!((id.as_deref(), &data["op"]["entity"]), (Some("5"), &json!("task/10")));
}

// Verifies: OPS-53
#[test]
fn streams_end_with_the_right_the_time_the_epoch_and_the_hub() {
    let mut ops = Ops::new();
    ops.accepted(A, &[write(1)]);
    let short = token_for(&ops.place, &["read"], &[], 2);
    let mut expiring = ops.stream_as(&short, "?after_seq=1").unwrap();
    assert_eq!(event(&mut expiring).0, "ready");
    let (name, _, data) = event(&mut expiring);
    assert_eq!((&*name, &data["reason"]), ("bye", &json!("expired")));
    assert_eq!(expiring.next(), Sent::End);

    let mut revoked = ops.stream("?after_seq=1&mode=ops");
    assert_eq!(event(&mut revoked).0, "ready");
    let request = json!({"database": ops.place.database});
    ops.place.user.ferry("RevokeDatabaseTokens", &request).unwrap();
    assert_eq!(event(&mut revoked).2["reason"], "revoked");
    assert!(ops.stream_as(&ops.token, "").is_err());

    ops.token = token(&ops.place, &["read", "write"], &[]);
    let (mut nudges, mut all) = (ops.stream("?after_seq=1"), ops.stream("?after_seq=1&mode=ops"));
    assert_eq!((event(&mut nudges).0, event(&mut all).0), ("ready".into(), "ready".into()));
    let body = json!({"policy": "repush", "confirm": "app"}).to_string();
    assert_eq!(ops.v1_as(&ops.admin(), "POST", "/epoch", &body).status, 200);
    assert_eq!((event(&mut nudges).0, event(&mut all).0), ("resync".into(), "resync".into()));
    assert_eq!(nudges.next(), Sent::End);

    let mut last = ops.stream("?after_seq=1");
    assert_eq!(event(&mut last).0, "ready");
    ops.place.hub.begin_stop();
    assert_eq!(event(&mut last).2["reason"], "shutdown");
    assert_eq!(last.next(), Sent::End);
    ops.place.hub.ended();
}

// Verifies: OPS-32
#[test]
fn a_cursor_that_the_log_does_not_continue_opens_no_stream() {
    let ops = Ops::new();
    ops.accepted(A, &[write(1)]);
    let refused = ops.stream_as(&ops.token, "?after_seq=5").err().expect("a refusal");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("log_diverged")));
    let refused = ops.stream_as(&ops.token, "?epoch=0000000000000000").err().expect("a refusal");
    assert_eq!((refused.status, &refused.json()["error"]["details"]["policy"]), (409, &json!("repush")));
}

// Streams hold no file: the database is closed beneath them, and opened by the next push.
// Verifies: OPS-53
#[test]
fn a_stream_holds_no_file_of_an_idle_database() {
    let ops = Ops::with(&["--idle-close-seconds=1"]);
    ops.accepted(A, &[write(1)]);
    let mut streams = [ops.stream("?after_seq=1"), ops.stream("?after_seq=1&mode=ops")];
    streams.iter_mut().for_each(|stream| assert_eq!(event(stream).0, "ready"));
    let dir = ops.place.hub.database_dir(&ops.place.database);
    let pid = ops.place.hub.pid();
    wait::until("the database to be closed", || {
        let open = process::open_files(pid);
        (!open.iter().any(|path| path.starts_with(&dir))).then_some(())
    });
    ops.accepted(B, &[set("op-b-00001", &hlc(5, 0, B), "task/b", "t", &json!(1), &[])]);
    nudged(&mut streams[0], 2);
    assert_eq!(event(&mut streams[1]).2["seq"], 2);
}

// Verifies: OPS-53
#[test]
fn readers_that_take_nothing_hold_nobody_up() {
    let ops = Ops::new();
    ops.accepted(A, &[write(0)]);
    // They send a request and never read again; another one sends half a request.
    let request = format!(
        "GET /v1/databases/-/ops/live?mode=ops&after_seq=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        ops.token
    );
    let mut deaf: Vec<_> = (0..20).map(|_| http::connect(ops.address()).unwrap()).collect();
    deaf.iter_mut().for_each(|stream| stream.write_all(request.as_bytes()).unwrap());
    let mut half = http::connect(ops.address()).unwrap();
    half.write_all(&request.as_bytes()[..request.len() / 2]).unwrap();
    let mut reader = ops.stream("?after_seq=1");
    assert_eq!(event(&mut reader).0, "ready");
    let filler = "x".repeat(900_000);
    for n in 1..40 {
        let op = set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("task/{n}"), "t", &json!(filler), &[]);
        ops.accepted(A, &[op]);
    }
    nudged(&mut reader, 40);
    drop((deaf, half));
}
