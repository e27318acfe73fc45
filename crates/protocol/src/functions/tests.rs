//! Golden texts of the wire.

use super::*;

// Verifies: FUN-22
#[test]
fn tables_are_known_by_djb2_in_base_36() {
    for (name, hash) in [
        ("users", "4l0bjr"),
        ("posts", "4heh4u"),
        ("todos", "4k7sni"),
        ("order_items", "uovdsy"),
        ("日本", "40m46"),
    ] {
        assert_eq!(table_hash(name), hash, "{name}");
    }
    assert_eq!(table_hashes(["users", "posts", "users"]), ["4l0bjr", "4heh4u"]);
}

#[test]
fn answers_have_exactly_the_members_of_their_dialect() {
    let (tables, warnings) = (vec!["4l0bjr".to_owned()], vec!["careful".to_owned()]);
    let text = |answer: RpcSuccess<'_>| String::from_utf8(answer.encode()).unwrap();
    let edgepod = RpcSuccess { data: Some(r#"[{"id":1}]"#), tables: &tables, warnings: &[], ferry: None };
    assert_eq!(text(edgepod), r#"{"success":true,"data":[{"id":1}],"_meta":{"t":["4l0bjr"]}}"#);
    let nothing = RpcSuccess { data: None, warnings: &warnings, ..edgepod };
    assert_eq!(text(nothing), r#"{"success":true,"_meta":{"t":["4l0bjr"]},"warnings":["careful"]}"#);
    let ferry = RpcSuccess { ferry: Some(FerryMeta { seq: 7, hash: "00" }), ..edgepod };
    assert_eq!(
        text(ferry),
        r#"{"success":true,"data":[{"id":1}],"_meta":{"t":["4l0bjr"],"seq":7,"hash":"00"}}"#
    );
    let failure = RpcFailure { error: "boom", ferry: None };
    assert_eq!(failure.encode(), br#"{"success":false,"error":"boom"}"#);
    let failure = RpcFailure { error: "boom", ferry: Some(("INTERNAL", "r1")) };
    assert_eq!(failure.encode(), br#"{"success":false,"error":"boom","code":"INTERNAL","requestId":"r1"}"#);
}

#[test]
fn messages_mean_what_the_table_says() {
    for (message, status, code) in [
        ("NOT_FOUND: no", 404, "NOT_FOUND"),
        ("UNAUTHORIZED: x", 401, "UNAUTHORIZED"),
        ("Unauthorized", 401, "UNAUTHORIZED"),
        ("Forbidden", 403, "FORBIDDEN"),
        ("Not Found", 404, "NOT_FOUND"),
        ("INVALID: args.x: no", 400, "INVALID"),
        ("PAYMENT_REQUIRED:", 402, "PAYMENT_REQUIRED"),
        ("CONFLICT: x", 409, "CONFLICT"),
        ("TOO_LARGE: x", 413, "TOO_LARGE"),
        ("RATE_LIMITED: x", 429, "RATE_LIMITED"),
        ("UNAVAILABLE: x", 503, "UNAVAILABLE"),
        ("TIMEOUT: x", 504, "TIMEOUT"),
        ("Not found", 500, "INTERNAL"),
        ("boom: NOT_FOUND: x", 500, "INTERNAL"),
        ("not_found: x", 500, "INTERNAL"),
    ] {
        assert_eq!(status_of(message), RpcErrorCode { status, code }, "{message}");
    }
}

#[test]
fn frames_of_sockets() {
    let tables = vec!["4l0bjr".to_owned()];
    for (frame, text) in [
        (
            ServerFrame::Invalidate { tables: &tables, seq: None },
            r#"{"action":"invalidate","tables":["4l0bjr"]}"#,
        ),
        (
            ServerFrame::Invalidate { tables: &tables, seq: Some(42) },
            r#"{"action":"invalidate","tables":["4l0bjr"],"seq":42}"#,
        ),
        (ServerFrame::AuthOk { exp: Some(1_790_000_000) }, r#"{"type":"auth","ok":true,"exp":1790000000}"#),
        (
            ServerFrame::AuthFailed { error: "Token expired" },
            r#"{"type":"auth","ok":false,"error":"Token expired"}"#,
        ),
        (
            ServerFrame::Result {
                id: "1",
                seq: 41,
                hash: "ab",
                data: Some("[]"),
                same: false,
                tables: &tables,
            },
            r#"{"type":"result","id":"1","seq":41,"hash":"ab","t":["4l0bjr"],"data":[]}"#,
        ),
        (
            ServerFrame::Result {
                id: "1",
                seq: 41,
                hash: "ab",
                data: Some("[]"),
                same: true,
                tables: &tables,
            },
            r#"{"type":"result","id":"1","seq":41,"hash":"ab","same":true,"t":["4l0bjr"]}"#,
        ),
        (ServerFrame::Stale { id: "1", seq: 42 }, r#"{"type":"stale","id":"1","seq":42}"#),
        (
            ServerFrame::Error { id: None, status: 400, code: "INVALID", error: "x" },
            r#"{"type":"error","status":400,"code":"INVALID","error":"x"}"#,
        ),
        (ServerFrame::Deployed { deployment: "dep_1" }, r#"{"type":"deployed","deployment":"dep_1"}"#),
    ] {
        assert_eq!(frame.encode(), text);
    }
    assert!(matches!(ClientFrame::decode("ping"), ClientFrame::Ping));
    assert!(
        matches!(ClientFrame::decode(r#"{"type":"auth","token":"t"}"#), ClientFrame::Auth { token } if token == "t")
    );
    let sub = ClientFrame::decode(r#"{"type":"sub","id":"1","fn":"f","args":{ "a":1 },"known":"h"}"#);
    assert!(matches!(sub, ClientFrame::Subscribe { args: r#"{ "a":1 }"#, known: Some(_), .. }));
    assert!(matches!(
        ClientFrame::decode(r#"{"type":"sub","id":"1","fn":"f"}"#),
        ClientFrame::Subscribe { args: "{}", known: None, .. }
    ));
    for unknown in
        ["", "hello", "{}", "[]", r#"{"type":"sub","id":1}"#, r#"{"type":"auth"}"#, r#"{"type":"x"}"#]
    {
        assert!(matches!(ClientFrame::decode(unknown), ClientFrame::Unknown), "{unknown}");
    }
}
