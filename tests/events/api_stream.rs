//! The log as server-sent events (events, scenarios 7 and 17).

use std::thread;

use ferry_testkit::{
    http::Response,
    livestore::{chain, numbers},
    sse::{EventStream, Sent},
    wait,
};
use serde_json::{Value, json};

use super::{
    Stores, a,
    api::{append, body, call, events, refused},
    token,
};

fn open_with(stores: &Stores, query: &str, headers: &[(&str, &str)]) -> Result<EventStream, Response> {
    EventStream::open(stores.address(), &format!("{}/live?{query}", events(stores)), headers)
}

fn open(stores: &Stores, query: &str) -> EventStream {
    let bearer = format!("Bearer {}", stores.token);
    open_with(stores, query, &[("Authorization", &bearer)])
        .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
}

// Verifies: EVT-71
#[test]
fn a_stream_begins_after_its_cursor_and_goes_on_with_every_commit() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.push(&a(1), &chain(0, 250));
    let mut stream = open(&stores, "after=2");
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    assert!(stream.head.header("ferry-seq").is_some());
    let (_, ready) = stream.expect("ready");
    assert_eq!((&ready["store"], &ready["head"], &ready["base"]), (&json!("app"), &json!(250), &json!(0)));
    assert_eq!(numbers(&stream.events(248)), (3..=250).collect::<Vec<i64>>());
    socket.push(&a(2), &chain(250, 2));
    append(&stores, &body(json!(252), &["v1.Paid"]));
    let (id, first) = stream.expect("event");
    assert_eq!((id.as_deref(), &first["seqNum"]), (Some("251"), &json!(251)));
    let rest = stream.events(2);
    assert_eq!(numbers(&rest), [252, 253]);
    assert_eq!((&rest[1]["clientId"], &rest[1]["name"]), (&json!("billing"), &json!("v1.Paid")));
    assert_eq!(first["seq"].as_u64().unwrap() + 1, rest[1]["seq"].as_u64().unwrap());
    let page =
        call(&stores, &stores.token, "GET", &format!("{}?after=250", events(&stores)), &[], &[]).json();
    assert_eq!(page["events"], json!([first, rest[0], rest[1]]), "the same as in a page");
    // The same stream by what it accepts.
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str()), ("Accept", "text/event-stream")];
    let path = format!("{}?after=253", events(&stores));
    assert_eq!(EventStream::open(stores.address(), &path, &headers).unwrap().expect("ready").1["head"], 253);
    // Silence is shown to be one.
    assert_eq!(stream.next(), Sent::Comment("ping".into()));
}

// Verifies: EVT-71
#[test]
fn a_stream_resumes_over_restarts_without_gap_or_repetition() {
    let mut stores = Stores::new();
    append(&stores, &body(json!(0), &["n"]));
    let mut seen: Vec<i64> = Vec::new();
    let mut last = "0".to_owned();
    for round in 0..3 {
        let bearer = format!("Bearer {}", stores.token);
        let headers = [("Authorization", bearer.as_str()), ("Last-Event-ID", last.as_str())];
        let mut stream = open_with(&stores, "after=1", &headers).unwrap();
        stream.expect("ready");
        for _ in 0..40 {
            assert_eq!(append(&stores, &body(Value::Null, &["n"])).status, 201);
        }
        for _ in 0..20 {
            let (id, event) = stream.expect("event");
            seen.push(event["seqNum"].as_i64().unwrap());
            last = id.unwrap();
        }
        if round == 1 {
            stores.place.hub.begin_stop();
            // What was on its way still comes; then the hub says that it goes.
            loop {
                match stream.next() {
                    Sent::Event { name, id, .. } if name == "event" => {
                        let id = id.unwrap();
                        seen.push(id.parse().unwrap());
                        last = id;
                    }
                    Sent::Event { name, .. } => {
                        assert_eq!(name, "bye");
                        break;
                    }
                    Sent::Comment(_) => {}
                    Sent::End => panic!("no bye"),
                }
            }
            assert_eq!(stream.next(), Sent::End);
        }
        stores = stores.restarted();
    }
    let bearer = format!("Bearer {}", stores.token);
    let mut stream = open_with(&stores, "", &[("Authorization", &bearer), ("Last-Event-ID", &last)]).unwrap();
    while seen.last() != Some(&121) {
        seen.push(stream.expect("event").1["seqNum"].as_i64().unwrap());
    }
    assert_eq!(seen, (1..=121).collect::<Vec<i64>>());
}

// Verifies: EVT-71, EVT-22
#[test]
fn a_stream_that_catches_up_beside_writers_misses_nothing() {
    let stores = Stores::new();
    append(&stores, &body(json!(0), &["first"]));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(append(&stores, &body(Value::Null, &["n", "m"])).status, 201);
                }
            });
        }
        let readers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| numbers(&open(&stores, "").events(801)))).collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), (1..=801).collect::<Vec<i64>>());
        }
    });
}

// Verifies: EVT-08, EVT-71
#[test]
fn arguments_arrive_as_they_were_sent() {
    let stores = Stores::new();
    let texts = [
        None,
        Some("null"),
        Some("9007199254740993"),
        Some("\"\\ud800\""),
        Some("{\"a\":1,\"a\":2}"),
        Some("{\n  \"text\": \"x\\n\\\"\",\r\n  \"n\": [1,\n2]\n}"),
    ];
    let mut socket = stores.open("app");
    for (place, args) in texts.iter().enumerate() {
        let args = args.map(|args| format!(",\"args\":{args}")).unwrap_or_default();
        let frame = format!(
            "{{\"_tag\":\"Request\",\"id\":\"{place}\",\"tag\":\"SyncWsRpc.Push\",\"headers\":[],\"payload\":{{\
             \"storeId\":\"app\",\"backendId\":{{\"_tag\":\"None\"}},\"batch\":[{{\"name\":\"n\"{args},\
             \"seqNum\":{},\"parentSeqNum\":{place},\"clientId\":\"c\",\"sessionId\":\"s\"}}]}}}}",
            place + 1
        );
        socket.send_text(&frame);
        assert_eq!(socket.exit_of(&json!(place.to_string())).code(), "success");
    }
    let mut live = open(&stores, "");
    live.expect("ready");
    for expected in texts {
        let data = loop {
            match live.next() {
                Sent::Event { name, data, .. } if name == "event" => break data,
                _ => {}
            }
        };
        let flat = expected.map(|args| args.replace(['\n', '\r'], " "));
        match flat {
            None => assert!(!data.contains("\"args\""), "{data}"),
            Some(args) => assert!(data.contains(&format!("\"args\":{args},\"clientId\"")), "{data}"),
        }
    }
    let text = call(&stores, &stores.token, "GET", &events(&stores), &[], &[]).text();
    assert!(
        text.contains("9007199254740993") && text.contains("\"a\":1,\"a\":2") && text.contains("\\ud800")
    );
}

// Verifies: EVT-45
#[test]
fn a_reset_store_tells_its_readers_to_resync() {
    let stores = Stores::new();
    append(&stores, &body(json!(0), &["a", "b"]));
    let mut stream = open(&stores, "");
    stream.events(2);
    let path = format!("{}/stores/app/reset", events(&stores));
    let reset = call(&stores, &stores.place.user.token, "POST", &path, &[], b"{\"confirm\":\"app\"}");
    assert_eq!(reset.status, 200, "{}", reset.text());
    let (id, reply) = stream.expect("reset");
    assert_eq!((id.as_deref(), &reply["backendId"]), (Some("0"), &reset.json()["backendId"]));
    assert_eq!(stream.next(), Sent::End);
    append(&stores, &body(json!(0), &["new"]));
    assert_eq!(open(&stores, "").events(1)[0]["name"], "new");
}

// Verifies: EVT-53, EVT-54
#[test]
fn a_stream_needs_the_read_right_and_ends_with_it() {
    let stores = Stores::new();
    append(&stores, &body(json!(0), &["a"]));
    let status = |token: &str, query: &str| {
        let bearer = format!("Bearer {token}");
        open_with(&stores, query, &[("Authorization", &bearer)]).err().map(|refused| refused.status)
    };
    assert_eq!(status("nonsense", ""), Some(401));
    assert_eq!(status(&token(&stores.place, &["write"]), ""), Some(403));
    assert_eq!(status(&stores.token, "after=2"), Some(409));
    assert_eq!(status(&stores.token, "after=x"), Some(400));
    let bearer = format!("Bearer {}", stores.token);
    let bad = open_with(&stores, "", &[("Authorization", &bearer), ("Last-Event-ID", "x")]).err().unwrap();
    refused(&bad, 400, "invalid_argument");
    // A browser cannot set headers here.
    let query = format!("access_token={}", stores.token);
    let mut stream = open_with(&stores, &query, &[]).unwrap();
    stream.expect("event");
    let page = format!("{}?{query}", events(&stores));
    assert_eq!(ferry_testkit::http::get(stores.address(), &page).unwrap().status, 401, "only for streams");
    assert!(!stores.place.hub.log().contains(&stores.token), "tokens never reach the log");
    stores.place.user.ferry("RevokeSession", &json!({})).unwrap();
    let (took, ()) = wait::timed(|| drop(stream.expect("bye")));
    assert!(took < wait::PROMPT, "after {took:?}");
    assert_eq!(stream.next(), Sent::End);
}
