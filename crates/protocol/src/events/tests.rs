//! Every frame of the appendix, and decoders that nothing can upset.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::nesting;

fn decoded(text: &str) -> Inbound {
    Inbound::decode(text, Transport::Ws).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn call(text: &str, transport: Transport) -> (RequestId, Result<Call, String>) {
    match Inbound::decode(text, transport) {
        Ok(Inbound::Request(Request { id, call })) => (id, call),
        other => panic!("{text}: {other:?}"),
    }
}

fn a(id: &str) -> RequestId {
    RequestId::Text(id.into())
}

fn same(frame: &[u8], expected: &str) {
    let (frame, expected): (Value, Value) =
        (serde_json::from_slice(frame).unwrap(), serde_json::from_str(expected).unwrap());
    assert_eq!(frame, expected);
}

fn todo(name: &str, number: i64, parent: i64, time: &str) -> PageBody {
    let mut body = PageBody::default();
    add(&mut body, name, number, parent, time);
    body
}

fn add(body: &mut PageBody, name: &str, number: i64, parent: i64, time: &str) {
    let args = format!("{{\"id\":\"t{number}\",\"text\":\"hello {number}\"}}");
    body.push(&EventRef {
        seq_num: number,
        parent_seq_num: parent,
        name,
        args: Some(&args),
        client_id: "client-a",
        session_id: "sess-a",
        created_at: time,
    });
}

#[test]
fn g1_keep_alive() {
    assert_eq!(decoded(r#"{"_tag":"Ping"}"#), Inbound::Ping);
    same(&pong(), r#"{"_tag":"Pong"}"#);
}

#[test]
fn g2_to_g5_pulls_of_dialect_a() {
    let (id, pull) = call(
        r#"{"_tag":"Request","id":"0","tag":"SyncWsRpc.Pull","traceId":"671f4e87a256d279a444212da3c7ef4d","payload":{"storeId":"store-o4kk93","payload":{"authToken":"tok-1","n":1},"live":false,"cursor":{"_tag":"None"}},"spanId":"61f4ac4e83d9e046","sampled":true,"headers":[]}"#,
        Transport::Ws,
    );
    assert_eq!(id, a("0"));
    let expected = PullCall { store_id: "store-o4kk93".into(), live: false, cursor: None };
    assert_eq!(pull, Ok(Call::Pull(expected)));
    let empty = PageBody::default().finish(PageInfo::NoMore, "I4T0DpcfSxO0Cgh7ePEnx");
    same(
        &chunk(&id, &empty),
        r#"{"_tag":"Chunk","requestId":"0","values":[{"batch":[],"pageInfo":{"_tag":"NoMore"},"backendId":"I4T0DpcfSxO0Cgh7ePEnx"}]}"#,
    );
    assert_eq!(decoded(r#"{"_tag":"Ack","requestId":"0"}"#), Inbound::Ack(a("0")));
    same(&exit_void(&id), r#"{"_tag":"Exit","requestId":"0","exit":{"_tag":"Success"}}"#);
    let (_, pull) = call(
        r#"{"_tag":"Request","id":"12","tag":"SyncWsRpc.Pull","traceId":"dd3eecdf7ccd795c24699a2724cb1576","payload":{"storeId":"store-o4kk93","live":true,"cursor":{"_tag":"Some","value":{"backendId":"I4T0DpcfSxO0Cgh7ePEnx","eventSequenceNumber":260}}},"spanId":"f6b36b90673c6866","sampled":true,"headers":[]}"#,
        Transport::Ws,
    );
    let cursor = Some(LogCursor { backend_id: "I4T0DpcfSxO0Cgh7ePEnx".into(), seq_num: 260 });
    assert_eq!(pull, Ok(Call::Pull(PullCall { store_id: "store-o4kk93".into(), live: true, cursor })));
    let (_, pull) = call(
        r#"{"_tag":"Request","id":"0","tag":"SyncWsRpc.Pull","traceId":"livestore-noop-trace-idcmwou7ub2001ogv7dhrjdfa7p","payload":{"storeId":"full-k6wc31","payload":{"authToken":"tok"},"live":true,"cursor":{"_tag":"None"}},"spanId":"livestore-noop-span-idcmwou7ub2001pgv7d3g9z2frp","sampled":false,"headers":[]}"#,
        Transport::Ws,
    );
    assert_eq!(pull, Ok(Call::Pull(PullCall { store_id: "full-k6wc31".into(), live: true, cursor: None })));
}

#[test]
fn g6_and_g7_a_push_and_its_chunk() {
    let (id, push) = call(
        r#"{"_tag":"Request","id":"2","tag":"SyncWsRpc.Push","payload":{"storeId":"store-o4kk93","payload":{"authToken":"tok-1","n":1},"batch":[{"name":"todoCreated","args":{"id":"t1","text":"hello 1"},"seqNum":1,"parentSeqNum":0,"clientId":"client-a","sessionId":"sess-a"},{"name":"todoCleared","args":{"id":"t2","text":"hello 2"},"seqNum":2,"parentSeqNum":1,"clientId":"client-a","sessionId":"sess-a"}],"backendId":{"_tag":"Some","value":"I4T0DpcfSxO0Cgh7ePEnx"}},"traceId":"9faabe1beaef8dd0c53c0bf88ae22a3d","spanId":"0466a1c453731ff0","sampled":true,"headers":[]}"#,
        Transport::Ws,
    );
    let Ok(Call::Push(push)) = push else { panic!("{push:?}") };
    assert_eq!(
        (&*push.store_id, push.backend_id.as_deref()),
        ("store-o4kk93", Some("I4T0DpcfSxO0Cgh7ePEnx"))
    );
    assert_eq!((push.batch[1].seq_num, push.batch[1].parent_seq_num), (2, 1));
    assert_eq!(push.batch[0].args.as_deref(), Some(r#"{"id":"t1","text":"hello 1"}"#));
    let mut body = PageBody::default();
    for event in &push.batch {
        body.push(&event.committed("2026-11-20T10:27:52.250Z"));
    }
    let body = body.finish(PageInfo::NoMore, "I4T0DpcfSxO0Cgh7ePEnx");
    same(
        &chunk(&a("1"), &body),
        r#"{"_tag":"Chunk","requestId":"1","values":[{"batch":[{"eventEncoded":{"name":"todoCreated","args":{"id":"t1","text":"hello 1"},"seqNum":1,"parentSeqNum":0,"clientId":"client-a","sessionId":"sess-a"},"metadata":{"_tag":"Some","value":{"_tag":"SyncMessage.SyncMetadata","createdAt":"2026-11-20T10:27:52.250Z"}}},{"eventEncoded":{"name":"todoCleared","args":{"id":"t2","text":"hello 2"},"seqNum":2,"parentSeqNum":1,"clientId":"client-a","sessionId":"sess-a"},"metadata":{"_tag":"Some","value":{"_tag":"SyncMessage.SyncMetadata","createdAt":"2026-11-20T10:27:52.250Z"}}}],"pageInfo":{"_tag":"NoMore"},"backendId":"I4T0DpcfSxO0Cgh7ePEnx"}]}"#,
    );
    same(&exit_empty(&id), r#"{"_tag":"Exit","requestId":"2","exit":{"_tag":"Success","value":{}}}"#);
}

#[test]
fn g8_to_g12_failures_and_a_page_in_between() {
    same(
        &exit_error(&a("3"), &RpcError::ServerAhead { head: 2, provided: 1 }),
        r#"{"_tag":"Exit","requestId":"3","exit":{"_tag":"Failure","cause":{"_tag":"Fail","error":{"minimumExpectedNum":2,"providedNum":1,"_tag":"ServerAheadError"}}}}"#,
    );
    let mismatch =
        RpcError::BackendIdMismatch { expected: "I4T0DpcfSxO0Cgh7ePEnx".into(), received: "WRONG".into() };
    same(
        &exit_error(&a("3"), &mismatch),
        r#"{"_tag":"Exit","requestId":"3","exit":{"_tag":"Failure","cause":{"_tag":"Fail","error":{"expected":"I4T0DpcfSxO0Cgh7ePEnx","received":"WRONG","_tag":"BackendIdMismatchError"}}}}"#,
    );
    same(
        &exit_error(&a("5"), &RpcError::new(ErrorCode::Rejected, "push rejected by policy")),
        r#"{"_tag":"Exit","requestId":"5","exit":{"_tag":"Failure","cause":{"_tag":"Fail","error":{"_tag":"UnknownError","cause":{"name":"FerryError","message":"push rejected by policy"},"payload":{"code":"REJECTED"}}}}}"#,
    );
    let ill_typed = r#"{"_tag":"Request","id":"6","tag":"SyncWsRpc.Push","payload":{"storeId":"s","batch":[{"name":"n","seqNum":"1","parentSeqNum":0,"clientId":"c","sessionId":"s"}],"backendId":{"_tag":"None"}}}"#;
    let (id, call) = call(ill_typed, Transport::Ws);
    same(
        &exit_die(&id, &call.unwrap_err()),
        r#"{"_tag":"Exit","requestId":"6","exit":{"_tag":"Failure","cause":{"_tag":"Die","defect":"batch[0].seqNum: expected an integer"}}}"#,
    );
    assert_eq!(decoded(r#"{"_tag":"Interrupt","requestId":"1"}"#), Inbound::Interrupt(a("1")));
    let body = todo("todoCreated", 1, 0, "2026-11-20T10:27:52.250Z");
    same(
        &chunk(&a("11"), &body.finish(PageInfo::MoreKnown(252), "I4T0DpcfSxO0Cgh7ePEnx")),
        r#"{"_tag":"Chunk","requestId":"11","values":[{"batch":[{"eventEncoded":{"name":"todoCreated","args":{"id":"t1","text":"hello 1"},"seqNum":1,"parentSeqNum":0,"clientId":"client-a","sessionId":"sess-a"},"metadata":{"_tag":"Some","value":{"_tag":"SyncMessage.SyncMetadata","createdAt":"2026-11-20T10:27:52.250Z"}}}],"pageInfo":{"_tag":"MoreKnown","remaining":252},"backendId":"I4T0DpcfSxO0Cgh7ePEnx"}]}"#,
    );
}

#[test]
fn g13_to_g15_dialect_b() {
    let (id, pull) = call(
        r#"{"_tag":"Request","id":11,"tag":"SyncWsRpc.Pull","payload":{"storeId":"store-x3pinu","payload":null,"live":false,"cursor":{"_tag":"None"}},"traceId":"5cf4af7910d4f7bc70d40f259407004e","spanId":"914b0da8df9cbfe7","sampled":true,"headers":[]}"#,
        Transport::Ws,
    );
    assert_eq!((id.clone(), id.dialect()), (RequestId::Number(11), LiveStoreDialect::B));
    assert!(matches!(pull, Ok(Call::Pull(PullCall { live: false, cursor: None, .. }))));
    same(&exit_void(&id), r#"{"_tag":"Exit","requestId":11,"exit":{"_tag":"Success","value":null}}"#);
    let (id, pull) = call(
        r#"{"_tag":"Request","id":12,"tag":"SyncWsRpc.Pull","payload":{"storeId":"store-x3pinu","payload":null,"live":true,"cursor":{"_tag":"Some","value":{"backendId":"cOH_H8zAR9GO-r3jqwr78","eventSequenceNumber":260}}},"traceId":"83222c31ceb925d77e7ee15bf006faea","spanId":"f7509d3e76bafe1f","sampled":true,"headers":[]}"#,
        Transport::Ws,
    );
    assert!(matches!(pull, Ok(Call::Pull(PullCall { live: true, cursor: Some(_), .. }))));
    let empty = PageBody::default().finish(PageInfo::NoMore, "cOH_H8zAR9GO-r3jqwr78");
    same(
        &chunk(&id, &empty),
        r#"{"_tag":"Chunk","requestId":12,"values":[{"batch":[],"pageInfo":{"_tag":"NoMore"},"backendId":"cOH_H8zAR9GO-r3jqwr78"}]}"#,
    );
    assert_eq!(decoded(r#"{"_tag":"Ack","requestId":12}"#), Inbound::Ack(RequestId::Number(12)));
    assert_eq!(decoded(r#"{"_tag":"Interrupt","requestId":1}"#), Inbound::Interrupt(RequestId::Number(1)));
    let (id, push) = call(
        r#"{"_tag":"Request","id":4,"tag":"SyncWsRpc.Push","payload":{"storeId":"store-x3pinu","payload":{"authToken":"tok-1","n":1},"batch":[{"name":"todoCreated","args":{"id":"t10","text":"hello 10"},"seqNum":10,"parentSeqNum":2,"clientId":"client-a","sessionId":"sess-a"}],"backendId":{"_tag":"Some","value":"cOH_H8zAR9GO-r3jqwr78"}},"traceId":"1deb42b359fbc3073923461acf688932","spanId":"a079dd1808c8d566","sampled":true,"headers":[]}"#,
        Transport::Ws,
    );
    assert!(matches!(push, Ok(Call::Push(_))));
    let body = todo("todoCreated", 10, 2, "2026-11-20T10:37:53.592Z");
    same(
        &chunk(&RequestId::Number(1), &body.finish(PageInfo::NoMore, "cOH_H8zAR9GO-r3jqwr78")),
        r#"{"_tag":"Chunk","requestId":1,"values":[{"batch":[{"eventEncoded":{"name":"todoCreated","args":{"id":"t10","text":"hello 10"},"seqNum":10,"parentSeqNum":2,"clientId":"client-a","sessionId":"sess-a"},"metadata":{"_tag":"Some","value":{"_tag":"SyncMessage.SyncMetadata","createdAt":"2026-11-20T10:37:53.592Z"}}}],"pageInfo":{"_tag":"NoMore"},"backendId":"cOH_H8zAR9GO-r3jqwr78"}]}"#,
    );
    same(&exit_empty(&id), r#"{"_tag":"Exit","requestId":4,"exit":{"_tag":"Success","value":{}}}"#);
}

#[test]
fn g16_and_g17_failures_of_dialect_b() {
    let b = RequestId::Number;
    same(
        &exit_error(&b(3), &RpcError::ServerAhead { head: 2, provided: 1 }),
        r#"{"_tag":"Exit","requestId":3,"exit":{"_tag":"Failure","cause":[{"_tag":"Fail","error":{"_tag":"ServerAheadError","minimumExpectedNum":2,"providedNum":1}}]}}"#,
    );
    let limited = RpcError::Unknown {
        code: ErrorCode::RateLimited,
        message: "slow down".into(),
        retry_after_ms: Some(1500),
    };
    same(
        &exit_error(&b(5), &limited),
        r#"{"_tag":"Exit","requestId":5,"exit":{"_tag":"Failure","cause":[{"_tag":"Fail","error":{"_tag":"UnknownError","cause":{"name":"FerryError","message":"slow down"},"payload":{"code":"RATE_LIMITED","retryAfterMs":1500}}}]}}"#,
    );
    same(
        &exit_die(&b(6), "batch[0].seqNum: expected an integer"),
        r#"{"_tag":"Exit","requestId":6,"exit":{"_tag":"Failure","cause":[{"_tag":"Die","defect":"batch[0].seqNum: expected an integer"}]}}"#,
    );
}

#[test]
fn g18_to_g20_over_http() {
    let query = ConnectQuery::parse(
        "storeId=http-ywto60&payload=%257B%2522authToken%2522%253A%2522tok%2522%257D&transport=http",
    )
    .unwrap();
    assert_eq!((&*query.store_id, query.transport), ("http-ywto60", Transport::Http));
    assert_eq!(query.payload, Some(json!({"authToken": "tok"})));
    assert_eq!(query.payload_text(&["token", "authToken"]), Some("tok"));
    let (id, ping) = call(
        r#"{"_tag":"Request","id":"0","tag":"SyncHttpRpc.Ping","payload":{"storeId":"http-ywto60","payload":{"authToken":"tok"}},"traceId":"5f1680ff59acf7bef2e17db81282c6a4","spanId":"e9749f107876cd1a","sampled":true,"headers":[]}"#,
        Transport::Http,
    );
    assert_eq!(ping, Ok(Call::Ping("http-ywto60".into())));
    same(
        &exit_pong(&id),
        r#"{"_tag":"Exit","requestId":"0","exit":{"_tag":"Success","value":{"_tag":"SyncMessage.Pong"}}}"#,
    );
    let (_, pull) = call(
        r#"{"_tag":"Request","id":"8","tag":"SyncHttpRpc.Pull","traceId":"f82b99083678ca66b9d3d122a7f43bd5","payload":{"storeId":"http-ywto60","payload":{"authToken":"tok"},"cursor":{"_tag":"Some","value":{"backendId":"7jxs-RItjKw0nlfjTuB1h","eventSequenceNumber":152}}},"spanId":"f62423533de2b599","sampled":true,"headers":[]}"#,
        Transport::Http,
    );
    let cursor = Some(LogCursor { backend_id: "7jxs-RItjKw0nlfjTuB1h".into(), seq_num: 152 });
    assert_eq!(pull, Ok(Call::Pull(PullCall { store_id: "http-ywto60".into(), live: false, cursor })));
    let (id, pull) = call(
        r#"{"_tag":"Request","id":6,"tag":"SyncHttpRpc.Pull","payload":{"storeId":"http4-fzgb6t","payload":{"authToken":"tok"},"cursor":{"_tag":"Some","value":{"backendId":"9939aae0-634e-4eeb-aaf9-a6ff56d922a1","eventSequenceNumber":1}}},"traceId":"2c8159a26083295257c36ea16b8144bb","spanId":"cef3e756c25adeb7","sampled":true,"headers":[]}"#,
        Transport::Http,
    );
    assert!(matches!(pull, Ok(Call::Pull(_))));
    same(&exit_void(&id), r#"{"_tag":"Exit","requestId":6,"exit":{"_tag":"Success","value":null}}"#);
}

fn pushed(event: &str) -> Result<Call, String> {
    let frame = format!(
        r#"{{"_tag":"Request","id":1,"tag":"SyncWsRpc.Push","payload":{{"storeId":"s","batch":[{event}],"backendId":{{"_tag":"None"}}}}}}"#
    );
    call(&frame, Transport::Ws).1
}

// Verifies: EVT-08
#[test]
fn args_are_kept_byte_for_byte() {
    for args in [
        "null",
        "9007199254740993",
        "\"\\ud800\"",
        "{\"a\":1,\"a\":2}",
        "{\n  \"b\" : [ 1.0e0 ]\n}",
        "-0.0",
        "\"é\\u00e9\"",
    ] {
        let event = format!(
            r#"{{"name":"n","args":{args},"seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"}}"#
        );
        let Ok(Call::Push(push)) = pushed(&event) else { panic!("{args}") };
        assert_eq!(push.batch[0].args.as_deref(), Some(args));
        let mut body = PageBody::default();
        body.push(&push.batch[0].committed("t"));
        assert!(body.events().contains(&format!("\"args\":{args},")), "{args}");
    }
    let absent = r#"{"name":"n","seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"}"#;
    let Ok(Call::Push(push)) = pushed(absent) else { panic!("args may be absent") };
    assert_eq!(push.batch[0].args, None);
    let mut body = PageBody::default();
    body.push(&push.batch[0].committed("t"));
    assert!(!body.events().contains("args"));
}

// Verifies: EVT-36
#[test]
fn mistakes_name_the_field() {
    let event = |number: &str| {
        format!(r#"{{"name":"n","seqNum":{number},"parentSeqNum":0,"clientId":"c","sessionId":"s"}}"#)
    };
    let ok = event("1");
    for (batch, expected) in [
        (event("1.5"), "batch[0].seqNum: expected an integer"),
        (format!("{ok},{}", event("null")), "batch[1].seqNum: expected an integer"),
        ("7".into(), "batch[0]: expected an object"),
        (ok.replace("\"n\"", "5"), "batch[0].name: expected a string"),
        (ok.replace(",\"sessionId\":\"s\"", ""), "batch[0].sessionId: expected a string"),
    ] {
        assert_eq!(pushed(&batch), Err(expected.to_owned()), "{batch}");
    }
    let frame = |tag: &str, payload: &str| {
        let text = format!(r#"{{"_tag":"Request","id":"1","tag":{tag},"payload":{payload}}}"#);
        call(&text, Transport::Ws).1.unwrap_err()
    };
    assert_eq!(frame("\"SyncWsRpc.Push\"", "{\"storeId\":\"s\"}"), "batch: expected an array");
    assert_eq!(frame("\"SyncWsRpc.Push\"", "null"), "payload: expected an object");
    let no_live = r#"{"storeId":"s","cursor":{"_tag":"None"}}"#;
    assert_eq!(frame("\"SyncWsRpc.Pull\"", no_live), "live: expected a boolean");
    let no_option = r#"{"storeId":"s","live":true,"cursor":5}"#;
    assert_eq!(
        frame("\"SyncWsRpc.Pull\"", no_option),
        "cursor: expected an Option such as {\"_tag\":\"None\"}"
    );
    assert!(frame("\"SyncHttpRpc.Pull\"", "{}").starts_with("tag: this hub does not know"));
    assert!(frame("5", "{}").starts_with("tag: expected"));
    // Beyond 64 bits it is an integer all the same, and no valid number.
    assert!(matches!(pushed(&event("99999999999999999999")), Ok(Call::Push(_))));
}

#[test]
fn malformed_frames_are_refused_and_unknown_ones_ignored() {
    for bad in [
        "",
        "5",
        "[]",
        "{}",
        "{\"_tag\":5}",
        "{\"_tag\":\"Request\"}",
        "{\"_tag\":\"Request\",\"id\":1.5}",
        "{\"_tag\":\"Request\",\"id\":null}",
        "{\"_tag\":\"Ping\"} x",
    ] {
        assert_eq!(Inbound::decode(bad, Transport::Ws), Err(Malformed), "{bad}");
    }
    for nothing in
        ["{\"_tag\":\"Eof\"}", "{\"_tag\":\"Later\",\"x\":[1]}", "{\"_tag\":\"Ack\",\"requestId\":{}}"]
    {
        assert_eq!(decoded(nothing), Inbound::Ignored);
    }
    assert_eq!(decoded("{\"_tag\":\"WSMessage.PullReq\",\"cursor\":1}"), Inbound::Outdated);
    let wide = decoded("{\"extra\":{\"deep\":[[]]},\"_tag\":\"Ping\"}");
    assert_eq!(wide, Inbound::Ping);
}

#[test]
fn query_parameters_are_decoded() {
    let parse = ConnectQuery::parse;
    let id = |query| parse(query).map(|query| query.store_id.into_string());
    assert_eq!(id("transport=ws&storeId=a%20b").as_deref(), Ok("a b"));
    assert_eq!(id("transport=ws&storeId=a+b").as_deref(), Ok("a b"));
    assert_eq!(id("transport=ws&storeId=%5Ba.b%5D&x").as_deref(), Ok("[a.b]"));
    assert!(id(&format!("transport=ws&storeId={}", "é".repeat(128))).is_ok());
    for bad in [
        "",
        "transport=ws",
        "storeId=&transport=ws",
        "storeId=a",
        "storeId=a&transport=tcp",
        "storeId=a%0Ab&transport=ws",
        "storeId=%ff&transport=ws",
        "storeId=%f&transport=ws",
        "storeId=a&transport=ws&payload=%257B",
        "storeId=a&transport=ws&payload=x",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert!(parse(&format!("transport=ws&storeId={}", "a".repeat(257))).is_err());
    assert_eq!(parse("storeId=a&transport=ws").unwrap().payload, None);
}

#[test]
fn nesting_is_counted_outside_of_strings() {
    assert_eq!((nesting("1"), nesting("[[{}]]"), nesting("[\"[[\\\"[\",[]]")), (0, 3, 2));
    let deep = format!("{}{}", "[".repeat(513), "]".repeat(513));
    let event =
        format!(r#"{{"name":"n","args":{deep},"seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"}}"#);
    let Ok(Call::Push(push)) = pushed(&event) else { panic!("the frame itself is well-formed") };
    assert!(push.batch[0].nests_too_deep());
    let shallow = deep.replacen('[', "", 1).replacen(']', "", 1);
    let fine = Event { args: Some(shallow.into()), ..push.batch[0].clone() };
    assert!(!fine.nests_too_deep());
}

proptest! {
    #[test]
    fn strings_are_escaped_as_json(text in any::<String>()) {
        let mut out = String::new();
        super::encode::string(&mut out, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in any::<String>()) {
        for transport in [Transport::Ws, Transport::Http] {
            let _ = Inbound::decode(&text, transport);
        }
        let _ = ConnectQuery::parse(&text);
    }

    #[test]
    fn any_broken_frame_is_decoded_or_refused(
        at in 0..400_usize, cut in 0..400_usize, byte in any::<char>(), dialect in any::<bool>(),
    ) {
        let id = if dialect { "\"4\"" } else { "4" };
        let frame = format!(
            r#"{{"_tag":"Request","id":{id},"tag":"SyncWsRpc.Push","payload":{{"storeId":"store","payload":null,"batch":[{{"name":"todo","args":{{"id":[1,"\ud800"]}},"seqNum":10,"parentSeqNum":2,"clientId":"a","sessionId":"b"}}],"backendId":{{"_tag":"Some","value":"x"}}}}}}"#
        );
        let mut chars: Vec<char> = frame.chars().collect();
        let index = at % chars.len();
        chars[index] = byte;
        chars.truncate(cut.max(index + 1));
        let text: String = chars.into_iter().collect();
        let _ = Inbound::decode(&text, Transport::Ws);
    }
}
