//! What was pushed comes back unchanged, live and from the log (events, scenarios 7 and 19).

use super::{Stores, a};

const ARGS: &[&str] = &[
    "null",
    "9007199254740993",
    "\"\\ud800\"",
    "{\"a\":1,\"a\":2}",
    "{\n  \"pretty\" : [\n 1,\r\n 2.50e0 ] }",
    "\"é \\u00e9 \\\" \u{2028}\"",
    "[]",
];

fn push_frame(number: usize, args: Option<&str>) -> String {
    let args = args.map_or(String::new(), |args| format!("\"args\":{args},"));
    format!(
        r#"{{"_tag":"Request","id":"{number}","tag":"SyncWsRpc.Push","payload":{{"storeId":"exact","batch":[{{"name":"v1.\"odd\"\n","seqNum":{number},{args}"parentSeqNum":{},"clientId":"c","sessionId":"s"}}],"backendId":{{"_tag":"None"}}}},"headers":[]}}"#,
        number - 1
    )
}

/// The text between the name and the number of an event, which is its args.
fn args_in(frame: &str) -> Vec<Option<String>> {
    let events = frame.split("\"eventEncoded\":").skip(1);
    events
        .map(|event| {
            let end = event.find(",\"seqNum\":").unwrap();
            event[..end].find(",\"args\":").map(|start| event[start + 8..end].to_owned())
        })
        .collect()
}

// Verifies: EVT-08
#[test]
fn args_come_back_byte_for_byte() {
    let stores = Stores::new();
    let mut live = stores.open("exact");
    live.pull(&a(0), true, None);
    live.page(&a(0));
    let mut pusher = stores.open("exact");
    let mut expected = Vec::new();
    for (place, args) in ARGS.iter().map(|args| Some(*args)).chain([None]).enumerate() {
        pusher.send_text(&push_frame(place + 1, args));
        assert_eq!(pusher.exit_of(&a(u32::try_from(place + 1).unwrap())).code(), "success", "{args:?}");
        let text = live.next_text();
        live.ack(&a(0));
        assert_eq!(args_in(&text), [args.map(str::to_owned)]);
        expected.push(args.map(str::to_owned));
    }
    let pulled = |stores: &Stores| {
        let mut socket = stores.open("exact");
        socket.pull(&a(1), false, None);
        args_in(&socket.next_text())
    };
    assert_eq!(pulled(&stores), expected, "from memory");
    let stores = stores.restarted();
    assert_eq!(pulled(&stores), expected, "from the log");
}
