//! Limits of bodies, batches and ops, and bodies that come badly (sections 2.7 and 5).

use std::io::{BufReader, Write as _};

use ferry_testkit::{
    hephd::{CursorRule, body_of, ops_of},
    http, process, wait,
};
use serde_json::{Value, json};

use super::{A, Ops, codes, hlc, set};

fn write(n: u64, value: &Value) -> Value {
    set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("n/{n}"), "t", value, &[])
}

// Verifies: OPS-08
#[test]
fn a_batch_has_a_number_of_ops_and_bytes() {
    let ops = Ops::with(&["--ops-body-max-bytes=100000"]);
    let many: Vec<Value> = (0..1_001).map(|n| json!(n)).collect();
    let refused = ops.v1("POST", "", &super::batch(A, &many));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (413, &json!("body_too_large")));
    let large = ops.v1("POST", "", &super::batch(A, &[write(1, &json!("x".repeat(100_000)))]));
    assert_eq!((large.status, &large.json()["error"]["code"]), (413, &json!("body_too_large")));
    let empty = ops.v1("POST", "", &super::batch(A, &[]));
    assert_eq!(
        (empty.status, empty.header("ferry-seq"), &empty.json()["results"]),
        (200, Some("0"), &json!([]))
    );
}

// Verifies: OPS-08
#[test]
fn an_op_of_a_mebibyte_is_taken_and_a_larger_one_is_not() {
    let ops = Ops::new();
    let envelope = write(1, &json!("")).to_string().len();
    let fits = write(1, &json!("x".repeat((1 << 20) - envelope)));
    let over = write(2, &json!("x".repeat((1 << 20) - envelope + 1)));
    let pushed = ops.push(A, &[fits, over, write(3, &json!("small"))]);
    assert_eq!(codes(&pushed), ["", "op_too_large", ""]);
    let page = ops.page("?bytes=1000");
    assert_eq!(
        (page["ops"].as_array().unwrap().len(), &page["has_more"]),
        (1, &json!(true)),
        "alone in its page"
    );
    assert_eq!(ops.log_from(0, "&bytes=1000").len(), 2);
}

// Verifies: OPS-07, OPS-08
#[test]
fn foreign_ops_are_stored_set_aside_or_refused_by_their_size() {
    let ops = Ops::with(&["--ops-foreign-op-max-bytes=20000"]);
    let client = ops.hephd(CursorRule::Replaced);
    let op = |name: &str, bytes: usize| {
        let text = format!(r#"{{"hlc":"{name}","f":""}}"#);
        text.replace("\"\"}", &format!("\"{}\"}}", "x".repeat(bytes - text.len())))
    };
    let (fits, aside) = (op("1", 20_000), op("2", 40_000));
    let pushed = client.push(&body_of(&[fits.clone(), aside.clone(), op("3", 100)]));
    assert_eq!((pushed.status, &pushed.json()["applied"]), (200, &json!(2)), "{}", pushed.text());
    let kept = ops.v1_as(&ops.admin(), "GET", "/quarantine", "").json()["quarantine"].clone();
    assert_eq!((&kept[0]["code"], &kept[0]["raw"]), (&json!("too_large"), &json!(aside)));
    let refused = client.push(&body_of(&[op("4", 100), op("5", 40_001)]));
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert_eq!(ops_of(&client.pull().body)[0], fits);
}

// Verifies: OPS-02, OPS-08
#[test]
fn a_shims_body_beyond_the_limit_is_refused_and_what_came_before_stays() {
    let ops = Ops::with(&["--ops-shim-body-max-bytes=100000"]);
    let client = ops.hephd(CursorRule::Replaced);
    let all: Vec<String> = (0..3_000).map(|n| format!(r#"{{"hlc":"{n:030}"}}"#)).collect();
    let body = body_of(&all);
    let refused = client.push(&body);
    assert_eq!(refused.status, 413, "{}", refused.text());
    let stored = ops.page("")["head"].as_u64().unwrap();
    assert!((1_000..3_000).contains(&stored), "{stored}");
    for bad in ["", "[]", "{}", r#"{"ops":{}}"#, r#"{"ops":[1"#, r#"{"ops":[]} x"#, r#"{"ops":[],"ops":[]}"#]
    {
        assert_eq!(client.push(bad).status, 400, "{bad}");
    }
    let empty = client.push(r#"{"other":[{"hlc":"x"}],"ops":[]}"#);
    assert_eq!((empty.status, &empty.json()["applied"]), (200, &json!(0)));
}

/// The head of a push by hephd's wire whose body has so many bytes.
fn head(ops: &Ops, bytes: usize) -> String {
    format!(
        "POST /sync/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: \
         {bytes}\r\n\r\n",
        ops.token
    )
}

// Verifies: OPS-08
#[test]
fn a_large_shim_push_needs_little_memory() {
    let ops = Ops::new();
    ops.accepted(A, &[write(1, &json!(1))]);
    let before = process::usage(ops.place.hub.pid()).unwrap();
    let filler = "x".repeat(30_000);
    // 150 MiB, sent as it is made.
    let count = 5_000;
    let op = |n: usize| format!(r#"{{"hlc":"{n:09}","f":"{filler}"}}"#);
    let bytes = count * (op(0).len() + 1) + 9;
    let mut stream = http::connect(ops.address()).unwrap();
    stream.write_all(head(&ops, bytes + 1).as_bytes()).unwrap();
    stream.write_all(b"{\"ops\":[").unwrap();
    for n in 0..count {
        stream.write_all(op(n).as_bytes()).unwrap();
        stream.write_all(if n + 1 < count { b"," } else { b" " }).unwrap();
    }
    stream.write_all(b"]}").unwrap();
    let answer = http::read_response(&mut BufReader::new(stream), false).unwrap();
    assert_eq!((answer.status, &answer.json()["applied"]), (200, &json!(count)), "{}", answer.text());
    let after = process::usage(ops.place.hub.pid()).unwrap();
    let grown = after.peak_bytes.saturating_sub(before.peak_bytes);
    // The specification's bound is that of a release build; here the pages of SQLite are in it.
    assert!(grown < 96 << 20, "{} MiB", grown >> 20);
}

// Silent, slow, half-sent: none of them holds up others, nor the hub's memory for ever.
// Verifies: OPS-08
#[test]
fn bodies_that_stop_coming_are_given_up() {
    let ops = Ops::new();
    let mut stopped: Vec<_> = (0..30)
        .map(|n| {
            let mut stream = http::connect(ops.address()).unwrap();
            stream.write_all(head(&ops, 1_000_000).as_bytes()).unwrap();
            if n % 2 == 0 {
                stream.write_all(br#"{"ops":[{"hlc":"half"#).unwrap();
            }
            stream
        })
        .collect();
    ops.accepted(A, &[write(1, &json!(1))]);
    for stream in stopped.drain(..) {
        let answer = http::read_response(&mut BufReader::new(stream), false).unwrap();
        assert_eq!(answer.status, 408, "{}", answer.text());
    }
    assert_eq!(ops.page("")["head"], 1);
}

// Readers of large answers that never read.
// Verifies: OPS-05, OPS-41
#[test]
fn answers_that_nobody_takes_hold_nobody_up() {
    let ops = Ops::of(super::options().descriptors(256).start());
    let client = ops.hephd(CursorRule::Replaced);
    let filler = "x".repeat(100_000);
    let all: Vec<String> = (0..300).map(|n| format!(r#"{{"hlc":"{n:09}","f":"{filler}"}}"#)).collect();
    assert_eq!(client.push(&body_of(&all)).status, 200);
    let mut deaf = Vec::new();
    for path in ["/sync/pull", "/v1/databases/-/ops/snapshot", "/v1/databases/-/ops?bytes=8000000"] {
        for _ in 0..8 {
            let mut stream = http::connect(ops.address()).unwrap();
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", ops.token);
            stream.write_all(request.as_bytes()).unwrap();
            deaf.push(stream);
        }
    }
    for n in 0..20 {
        ops.accepted(A, &[write(n, &json!(n))]);
    }
    let mut reader = ops.hephd(CursorRule::Replaced);
    reader.sync_until_quiet(5);
    assert_eq!(reader.ops().len(), 300);
    let pid = ops.place.hub.pid();
    drop(deaf);
    let dir = ops.place.hub.data_dir();
    wait::until("the files of the snapshots to be closed", || {
        let deleted = |path: &std::path::PathBuf| {
            let path = path.to_string_lossy();
            path.starts_with(&*dir.to_string_lossy()) && path.ends_with("(deleted)")
        };
        (!process::open_files(pid).iter().any(deleted)).then_some(())
    });
}

// Bytes that come, or are taken, one after the other: slow is not broken.
// Verifies: OPS-05, OPS-08
#[test]
fn slow_bodies_and_slow_readers_get_there() {
    let ops = Ops::new();
    let filler = "x".repeat(200_000);
    let body = body_of(&(0..20).map(|n| format!(r#"{{"hlc":"{n:03}","f":"{filler}"}}"#)).collect::<Vec<_>>());
    let small = r#"{"ops":[{"hlc":"slow"}]}"#;
    let mut slow = http::connect(ops.address()).unwrap();
    slow.write_all(head(&ops, small.len()).as_bytes()).unwrap();
    let (first, rest) = small.as_bytes().split_at(small.len() - 8);
    for byte in first {
        slow.write_all(&[*byte]).unwrap();
    }
    assert_eq!(ops.hephd(CursorRule::Replaced).push(&body).status, 200, "beside it");
    for byte in rest {
        slow.write_all(&[*byte]).unwrap();
    }
    let answer = http::read_response(&mut BufReader::new(slow), false).unwrap();
    assert_eq!((answer.status, &answer.json()["applied"]), (200, &json!(1)));
    // A reader that begins to take its answer after the log has changed twice.
    let mut reader = http::connect(ops.address()).unwrap();
    let request = format!(
        "GET /sync/pull HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        ops.token
    );
    reader.write_all(request.as_bytes()).unwrap();
    let client = ops.hephd(CursorRule::Replaced);
    for clock in ["later-1", "later-2"] {
        assert_eq!(client.push(&format!(r#"{{"ops":[{{"hlc":"{clock}"}}]}}"#)).status, 200);
    }
    let answer = http::read_response(&mut BufReader::with_capacity(512, reader), false).unwrap();
    let pulled = ops_of(&answer.body);
    assert!(pulled.len() >= 21 && pulled[0].contains("000"), "{}", pulled.len());
}
