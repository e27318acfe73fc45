//! The examples of the specification, and properties.

mod properties;

use ferry_types::{OpSeq, OriginId};

use super::*;

const HUB: &str = "6f1d2c3b4a5968778695a4b3c2d1e0ff";
const EPOCH: &str = "9a0b1c2d3e4f5061";
const CREATE: &str = r#"{"v":1,"id":"op-a-0001","hlc":"01a1f8660d00-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"create","entity":"node/1","value":"note"}"#;
const MILK: &str = r#"{"v":1,"id":"op-a-0010","hlc":"01a1f8663410-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"node/1","field":"title","value":"Milk","base":[]}"#;
const TEA: &str = r#"{"v":1,"id":"op-b-0005","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"title","value":"Tea","base":[]}"#;
const CONFLICT: &str = r#"{"v":1,"id":"cf-f2cbe6da33f6e4ce0094a1e1c9597f29","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"0000000000000000","kind":"conflict","entity":"node/1","field":"title","value":{"op":"op-b-0005","origin":"b7d0193f5c2e8a46","value":"Tea"}}"#;
const FOREIGN: &str = r#"{ "hlc":"00001795168800000-0000-laptop","op":"node.set", "id":"n1","future":{"x":1.0,"big":9007199254740993}}"#;

fn head(head: u64, hub_time_ms: i64) -> LogHead {
    LogHead { hub_id: HUB.into(), epoch: EPOCH.into(), head: OpSeq(head), hub_time_ms }
}

fn ferry(raw: &str) -> FerryOp {
    match parse_op(raw).unwrap().body {
        OpBody::Ferry(op) => *op,
        OpBody::Foreign { hlc } => panic!("foreign, at {hlc}"),
    }
}

fn code_of(raw: &str) -> OpCode {
    parse_op(raw).unwrap_err().code
}

// Verifies: OPS-02, OPS-07
#[test]
fn a_push_and_its_answer_are_those_of_example_2() {
    let body = format!("{{\"origin\":\"a1b2c3d4e5f60718\",\"ops\":[{CREATE},{MILK}]}}");
    let read = PushBody::decode(body.as_bytes()).unwrap();
    assert_eq!(read.origin, Some(OriginId(0xa1b2_c3d4_e5f6_0718)));
    assert_eq!(read.ops, [CREATE, MILK]);
    assert_eq!(read.encode(), body.as_bytes());
    let results = PushResults {
        stamp: None,
        results: vec![
            OpResult::stored("op-a-0001", OpStatus::Accepted, OpSeq(1)),
            OpResult::stored("op-a-0010", OpStatus::Accepted, OpSeq(2)),
        ],
    };
    let answer = answer(&head(2, 1_795_168_811_000), &results);
    let expected = format!(
        "{{\"hub_id\":\"{HUB}\",\"epoch\":\"{EPOCH}\",\"head\":2,\"hub_time_ms\":1795168811000,\"results\":[\
         {{\"id\":\"op-a-0001\",\"status\":\"accepted\",\"seq\":1}},{{\"id\":\"op-a-0010\",\"status\":\"accepted\",\"seq\":2}}]}}"
    );
    assert_eq!(String::from_utf8(answer.clone()).unwrap(), expected);
    assert_eq!(read_answer::<PushResults>(&answer).unwrap(), results);
    assert_eq!(read_answer::<LogHead>(&answer).unwrap(), head(2, 1_795_168_811_000));
}

// Verifies: OPS-25
#[test]
fn the_op_of_a_conflict_has_exactly_the_bytes_of_example_4() {
    let loser = ferry(TEA);
    let conflict = conflict_op(&loser);
    assert_eq!(conflict.encode(), CONFLICT);
    assert_eq!(ferry(CONFLICT), conflict);
    assert_eq!(conflict_id("op-b-body1"), "cf-9e3b840c312b1336334d17a9a6624fc2");
}

// Verifies: OPS-08
#[test]
fn a_page_is_that_of_example_4() {
    let mut page = PageBuffer::with_capacity(100);
    page.push(OpSeq(3), TEA);
    page.push(OpSeq(4), CONFLICT);
    let next_id = Some("cf-f2cbe6da33f6e4ce0094a1e1c9597f29".to_owned());
    let end = PageEnd { floor: OpSeq(0), next: OpSeq(4), next_id, next_stamp: None, has_more: false };
    let bytes = page.finish(&head(4, 1_795_168_820_000), &end);
    let expected = format!(
        "{{\"hub_id\":\"{HUB}\",\"epoch\":\"{EPOCH}\",\"head\":4,\"hub_time_ms\":1795168820000,\"floor\":0,\"next\":4,\
         \"next_id\":\"cf-f2cbe6da33f6e4ce0094a1e1c9597f29\",\"has_more\":false,\
         \"ops\":[{{\"seq\":3,\"op\":{TEA}}},{{\"seq\":4,\"op\":{CONFLICT}}}]}}"
    );
    assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    let read: PageAnswer<'_> = read_answer(&bytes).unwrap();
    let ops: Vec<_> = read.ops.iter().map(|op| (op.seq.0, op.raw.get())).collect();
    assert_eq!(ops, [(3, TEA), (4, CONFLICT)]);
    assert_eq!((read.next, read.next_id, read.has_more), (end.next, end.next_id, false));
    let empty = PageEnd { floor: OpSeq(0), next: OpSeq(0), next_id: None, next_stamp: None, has_more: false };
    let bytes = PageBuffer::with_capacity(0).finish(&head(0, 0), &empty);
    assert!(bytes.ends_with(b"\"next\":0,\"next_id\":null,\"has_more\":false,\"ops\":[]}"));
}

// Verifies: OPS-27
#[test]
fn a_resolution_is_that_of_example_5() {
    let line = r#"{"jsonrpc":"2.0","id":7,"method":"conflicts.resolve","params":{"id":"cf-f2cbe6da33f6e4ce0094a1e1c9597f29","take":"loser"}}"#;
    let request = RpcRequest::read(line.as_bytes());
    assert_eq!(request.id.as_deref(), Some("7"));
    let call = request.call.unwrap();
    assert!(matches!(&call, SpokeCall::ConflictsResolve(params) if params.take == ResolveTake::Loser));
    assert_eq!(RpcRequest::line(7, &call), line);
    let op = r#"{"v":1,"id":"op-a-0020","hlc":"01a1f8665b20-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"node/1","field":"title","value":"Tea","base":["op-a-0010","op-b-0005"]}"#;
    assert_eq!(ferry(op).base, ["op-a-0010", "op-b-0005"]);
    assert_eq!(ferry(op).encode(), op);
}

// Verifies: OPS-22, OPS-23
#[test]
fn the_ops_of_example_6_read_back_as_they_are() {
    for raw in [
        r#"{"v":1,"id":"op-a-0030","hlc":"01a1f8666ea8-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"link.add","entity":"node/1","field":"tag","value":{"to":"tag/home"}}"#,
        r#"{"v":1,"id":"op-a-0031","hlc":"01a1f8666ea8-0001-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"link.remove","entity":"node/1","field":"tag","removes":["op-a-0030"]}"#,
        r#"{"v":1,"id":"op-b-body1","hlc":"01a1f8666ea8-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"body","value":"more","base":[]}"#,
        r#"{"v":1,"id":"op-a-0040","hlc":"01a1f8668230-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"tombstone","entity":"node/1","base":["op-a-0020"]}"#,
    ] {
        assert_eq!(ferry(raw).encode(), raw);
    }
    let text = r#"{"v":1,"id":"op-a-text1","hlc":"01a1f8666ea8-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"text","entity":"node/1","field":"t","value":"AQEBAAQBAXQIQnV5IG1pbGsA","base":[]}"#;
    assert_eq!(json_text(ferry(text).value.as_deref().unwrap()).unwrap(), "AQEBAAQBAXQIQnV5IG1pbGsA");
}

// Verifies: OPS-04
#[test]
fn a_foreign_op_of_example_8_is_kept_byte_for_byte() {
    let body = format!("{{\"ops\":[{FOREIGN}]}}");
    let mut scanner = ArrayScanner::new(1 << 20);
    assert_eq!(scanner.feed(body.as_bytes()).unwrap(), [FOREIGN]);
    scanner.finish().unwrap();
    let op = parse_op(FOREIGN).unwrap();
    assert_eq!(op.raw, FOREIGN);
    assert_eq!(op.body, OpBody::Foreign { hlc: "00001795168800000-0000-laptop".into() });
    let canonical = r#"{"future":{"big":9007199254740993,"x":1.0},"hlc":"00001795168800000-0000-laptop","id":"n1","op":"node.set"}"#;
    assert_eq!(super::canonical(FOREIGN), canonical);
    assert_eq!(op.id, foreign_id("00001795168800000-0000-laptop", canonical));
    assert_eq!(op.id.len(), "f:00001795168800000-0000-laptop:".len() + 32);
    assert_eq!(ShimPushed::body(1), r#"{"pulled":0,"applied":1,"pushed":0}"#);
}

#[test]
fn what_is_no_op_is_told_by_its_code() {
    let with = |key: &str, value: &str| {
        let mut op: serde_json::Map<String, serde_json::Value> = serde_json::from_str(MILK).unwrap();
        op.insert(key.to_owned(), serde_json::from_str(value).unwrap());
        serde_json::Value::from(op).to_string()
    };
    for (key, value, code) in [
        ("id", "\"short\"", OpCode::BadOp),
        ("id", "\"op a 0010\"", OpCode::BadOp),
        ("id", "\"cf-a-0010\"", OpCode::BadOp),
        ("hlc", "\"01A1f8663410-0000-a1b2c3d4e5f60718\"", OpCode::BadHlc),
        ("hlc", "7", OpCode::BadHlc),
        ("origin", "\"b7d0193f5c2e8a46\"", OpCode::BadOp),
        ("origin", "\"0000000000000000\"", OpCode::BadOp),
        ("kind", "\"conflict\"", OpCode::BadOp),
        ("kind", "\"\"", OpCode::BadOp),
        ("entity", "\"a\\u0007\"", OpCode::BadOp),
        ("field", "null", OpCode::BadOp),
        ("base", "[\"op-a-0010\"]", OpCode::BadBase),
        ("base", "\"op-a-0001\"", OpCode::BadOp),
        ("base", "[\"f:00:11\"]", OpCode::BadOp),
    ] {
        let raw = with(key, value);
        assert_eq!(code_of(&raw), code, "{raw}");
    }
    let text = with("kind", "\"text\"");
    assert!(parse_op(&text).is_ok(), "whether it is an update, the merge says");
    assert_eq!(code_of(&text.replace("\"Milk\"", "7")), OpCode::BadText);
    let repeated = MILK.replacen("{\"v\":1", "{\"v\":1,\"kin\\u0064\":\"set\"", 1);
    assert_eq!(parse_op(&repeated).unwrap_err().id.as_deref(), Some("op-a-0010"));
    let deep = |depth: usize| with("value", &format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(parse_op(&deep(100)).is_ok());
    let too_deep = MILK.replace("\"Milk\"", &format!("{}{}", "[".repeat(129), "]".repeat(129)));
    assert_eq!(code_of(&too_deep), OpCode::BadOp);
    assert!(parse_op(&MILK.replace("\"Milk\"", &format!("{}{}", "[".repeat(128), "]".repeat(128)))).is_ok());
    for (raw, has_hlc) in
        [("7", false), ("{}", false), ("{\"hlc\":\"a b\"}", false), ("{\"hlc\":\"a\",\"hlc\":\"a\"}", true)]
    {
        assert_eq!(parse_op(raw).unwrap_err().has_hlc, has_hlc, "{raw}");
    }
    // Another version is not Ferry's to judge.
    assert!(matches!(parse_op(&with("v", "2")).unwrap().body, OpBody::Foreign { .. }));
}

#[test]
fn canonical_json_sorts_and_keeps_numbers() {
    for (raw, expected) in [
        (" [ 1.0 , -0 , 1E5 ] ", "[1.0,-0,1E5]"),
        (r#"{"b":1,"a":{"d":[],"c":{}}}"#, r#"{"a":{"c":{},"d":[]},"b":1}"#),
        (r#""\u00e9\/\u0000\u001f\n""#, "\"é/\\u0000\\u001f\\n\""),
        (r#"{"\uffff":1,"\ud83d\ude00":2}"#, "{\"\u{ffff}\":1,\"😀\":2}"),
        (r#"{"\udead\ud800":"\udbff"}"#, r#"{"\udead\ud800":"\udbff"}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
    ] {
        assert_eq!(canonical(raw), expected, "{raw}");
    }
    for not_json in ["", "{", "[1,]", "01", "{\"a\"}", "nul", "\"\n\"", "1 2"] {
        assert_eq!(canonical(not_json), not_json);
    }
}

// Verifies: OPS-09
#[test]
fn ranges_to_skip_are_read_joined_and_written() {
    let skip: Skip = "12,3-9,10".parse().unwrap();
    assert_eq!(skip.to_string(), "3-10,12");
    assert_eq!((skip.contains(OpSeq(2)), skip.contains(OpSeq(12))), (false, true));
    assert_eq!(skip.end_of(OpSeq(4)), Some(OpSeq(10)));
    assert_eq!(Skip::of([5, 3, 4, 9].map(OpSeq)).to_string(), "3-5,9");
    assert_eq!(Skip::of((0..1000).map(|n| OpSeq(n * 2))).ranges().len(), SKIP_RANGES_MAX);
    for bad in ["3-", "-3", "9-3", "a", "1,,2", "+1", "99999999999999999999"] {
        assert!(bad.parse::<Skip>().is_err(), "{bad}");
    }
    assert!("".parse::<Skip>().unwrap().is_empty());
}

#[test]
fn a_pull_names_the_parameter_that_is_wrong() {
    let read = |query: &[(&str, &str)]| {
        PullQuery::read(query.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    };
    let query = PullQuery {
        after_seq: OpSeq(7),
        after_id: Some("f:a+b:1".into()),
        after_stamp: Some(String::new()),
        limit: 10,
        skip: "8-9".parse().unwrap(),
        ..PullQuery::default()
    };
    let pairs: Vec<_> = query.pairs();
    assert_eq!(read(&pairs.iter().map(|(n, v)| (*n, v.as_str())).collect::<Vec<_>>()), Ok(query));
    assert_eq!(read(&[]), Ok(PullQuery::default()));
    for (name, value) in [
        ("limit", "0"),
        ("limit", "5001"),
        ("bytes", "-1"),
        ("bytes", "8388609"),
        ("after_seq", "x"),
        ("skip", "9-3"),
    ] {
        assert!(read(&[(name, value)]).unwrap_err().0.starts_with(name), "{name}={value}");
    }
}

#[test]
fn the_live_stream_reads_back_in_any_pieces() {
    let ready = LiveReady { hub_id: HUB.into(), epoch: EPOCH.into(), head: OpSeq(812) };
    let text = [
        ready.event(),
        nudge(OpSeq(813)),
        PING.into(),
        op_event(OpSeq(813), "{\n\"hlc\":\r\n\"a\"}"),
        resync().into(),
        bye("shutdown"),
    ]
    .concat();
    assert!(text.starts_with(&format!(
        "event: ready\ndata: {{\"hub_id\":\"{HUB}\",\"epoch\":\"{EPOCH}\",\"head\":812}}\n\n\
         id: 813\nevent: nudge\ndata: {{\"head\":813}}\n\n: ping\n\n"
    )));
    for size in [1, 7, text.len()] {
        let mut reader = LiveReader::default();
        let events: Vec<_> =
            text.as_bytes().chunks(size).flat_map(|piece| reader.feed(piece).unwrap()).collect();
        let op = LiveEvent::Op { seq: OpSeq(813), raw: "{ \"hlc\":  \"a\"}".into() };
        let nudged = LiveEvent::Nudge(OpSeq(813));
        assert_eq!(events, [LiveEvent::Ready(ready.clone()), nudged, op, LiveEvent::Resync, LiveEvent::Bye]);
    }
}

// Verifies: OPS-41
#[test]
fn a_snapshot_is_whole_only_if_its_digest_fits() {
    let header = SnapshotHeader::new(HUB, EPOCH, OpSeq(4), (Some("op-b-0005".into()), None));
    let (mut text, mut lines) = (header.line(), SnapshotLines::default());
    lines.push(&mut text, OpSeq(3), "{\n\"hlc\":\"a\"}");
    lines.push(&mut text, OpSeq(4), TEA);
    text.push_str(&lines.finish());
    let read = |text: &str| -> Result<bool, BadOpsMessage> {
        let mut reader = SnapshotReader::default();
        text.lines().try_for_each(|line| reader.line(line).map(drop))?;
        Ok(reader.is_whole())
    };
    assert_eq!(read(&text), Ok(true));
    let mut reader = SnapshotReader::default();
    let read_lines: Vec<_> = text.lines().map(|line| reader.line(line).unwrap()).collect();
    assert_eq!(read_lines[0], SnapshotLine::Header(header));
    assert_eq!(read_lines[1], SnapshotLine::Op { seq: OpSeq(3), raw: "{ \"hlc\":\"a\"}" });
    assert_eq!(read_lines[3], SnapshotLine::End);
    let cut = &text[..text.rfind("{\"end\"").unwrap()];
    assert_eq!(read(cut), Ok(false));
    assert!(read(&text.replace("Tea", "Ten")).is_err());
    assert!(read(&format!("{text}{{}}\n")).is_err());
}

#[test]
fn what_is_no_request_is_answered_as_json_rpc_says() {
    let fault = |line: &str| {
        let request = RpcRequest::read(line.as_bytes());
        (request.id, request.call.unwrap_err().code)
    };
    for (line, id, code) in [
        ("{", Some("null"), rpc_code::PARSE_ERROR),
        ("[]", Some("null"), rpc_code::INVALID_REQUEST),
        ("{\"id\":1}", Some("1"), rpc_code::INVALID_REQUEST),
        (r#"{"jsonrpc":"2.0","id":[],"method":"health"}"#, Some("null"), rpc_code::INVALID_REQUEST),
        (r#"{"jsonrpc":"2.0","id":"a","method":"none"}"#, Some("\"a\""), rpc_code::METHOD_NOT_FOUND),
        (r#"{"jsonrpc":"2.0","method":"entity.get","params":{}}"#, None, rpc_code::INVALID_PARAMS),
        (r#"{"jsonrpc":"2.0","id":2,"method":"health","params":[]}"#, Some("2"), rpc_code::INVALID_PARAMS),
    ] {
        assert_eq!(fault(line), (id.map(str::to_owned), code), "{line}");
    }
    let outcome: Result<(), _> = Err(RpcFault::refused(SpokeErrorCode::NoHub, "no hub is set"));
    let line = rpc_answer("7", &outcome);
    assert_eq!(
        line,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no hub is set","data":{"code":"no_hub"}}}"#
    );
    let read: RpcAnswer = serde_json::from_str(&line).unwrap();
    assert_eq!((read.id, read.error), (Some(7), outcome.err()));
    let draft = r#"{"kind":"set","entity":"a","field":"b","value":null}"#;
    let draft: OpDraft = serde_json::from_str(draft).unwrap();
    assert_eq!(draft.value.map(|value| value.get().to_owned()).as_deref(), Some("null"));
}

#[test]
fn refusals_read_back_with_their_details() {
    let details = EpochDetails { hub_id: HUB.into(), epoch: EPOCH.into(), policy: EpochPolicy::Discard };
    let body = error_body(OpsErrorCode::EpochChanged.as_str(), "begun anew", &details);
    let read = OpsErrorBody::decode(&body).unwrap();
    assert_eq!((read.known(), read.details()), (Some(OpsErrorCode::EpochChanged), Some(details)));
    assert_eq!(OpsErrorBody::decode(b"Bad Gateway"), None);
    let result: OpResult =
        serde_json::from_str(r#"{"id":null,"status":"rejected","code":"new_word"}"#).unwrap();
    assert_eq!((result.code, result.merged), (Some(OpCode::Unknown), true));
}
