//! Clients that ask for much and take nothing of it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use ferry_testkit::{
    http, process,
    sse::{EventStream, Sent},
    wait,
};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{Place, options};

/// A database of 24 MB that cannot be compressed, and a token to read it.
fn large(place: &Place) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 24)
                INSERT INTO t SELECT randomblob(1000000) FROM n";
    Connection::open(&file).unwrap().execute_batch(&format!("CREATE TABLE t(x); {rows}")).unwrap();
    place.push(&file);
    place.pull_token()
}

/// Asks, and reads nothing.
fn ask(address: SocketAddr, path: &str, token: &str, more: &str) -> TcpStream {
    let mut stream = http::connect(address).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// The value of a metric without labels.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let text = http::get(address, "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
    line.unwrap_or(0.0) as u64
}

// Six downloads stood open after three minutes in which nobody had read a byte.
// Verifies: WEB-12
#[test]
fn a_download_of_which_nothing_is_taken_is_closed() {
    let place = Place::of(options().arg("--stall-timeout-seconds=2").start());
    let (address, token) = (place.hub.address(), large(&place));
    let path = |rest: &str| format!("/v1/databases/{}/{rest}", place.database);
    let _stream = ask(address, &path("pages/stream"), &token, "");
    let open = || metric(address, "ferry_open_connections");
    let before = wait::until("the stream is open", || (open() >= 2).then(&open));
    let _stalled = [
        ask(address, &path("file"), &token, ""),
        ask(address, &path("file"), &token, "Accept-Encoding: zstd\r\n"),
        ask(address, &path("pages?since=0"), &token, ""),
    ];
    wait::until("all three are closed", || {
        (metric(address, "ferry_connections_stalled_total") == 3).then_some(())
    });
    wait::until("only the stream is left, which has nothing to say", || (open() <= before).then_some(()));
    assert_eq!(metric(address, "ferry_connections_stalled_total"), 3);
}

// 250 of them took 2.4 GB.
// Verifies: WEB-11
#[test]
fn the_memory_of_answers_that_nobody_takes_is_bounded() {
    process::raise_descriptors();
    let place = Place::of(options().arg("--response-memory-bytes=134217728").start());
    let (address, token) = (place.hub.address(), large(&place));
    let before = process::usage(place.hub.pid()).unwrap().peak_bytes;
    let path = format!("/v1/databases/{}/pages?since=0", place.database);
    let crowd: Vec<_> = (0..200).map(|_| ask(address, &path, &token, "")).collect();
    wait::until("refusals", || (metric(address, "ferry_answers_refused_total") >= 190).then_some(()));
    let grown = process::usage(place.hub.pid()).unwrap().peak_bytes - before;
    // No more than a few are made beyond those that are held; without the bound it is 2 GB.
    assert!(grown < 768 << 20, "200 downloads that nobody reads cost {} MiB", grown >> 20);
    let authorization = format!("Bearer {token}");
    let get = || http::send(address, "GET", &path, &[("Authorization", &authorization)], &[]).unwrap();
    let refused = get();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{}", refused.text());
    drop(crowd);
    wait::until("room again", || (get().status == 200).then_some(()));
}

// Each was made whole in memory.
// Verifies: WEB-11
#[test]
fn exports_that_nobody_takes_cost_no_memory() {
    const READERS: usize = 30;
    process::raise_descriptors();
    let place = Place::of(options().start());
    let address = place.hub.address();
    let token = crate::records::token(&place, &["read", "write"], &[]);
    let bearer = format!("Bearer {token}");
    let record = json!({"text": "x".repeat(900_000)}).to_string();
    for n in 0..30 {
        let path = format!("/v1/databases/-/records/todo/tasks/t{n}");
        let put =
            http::send(address, "PUT", &path, &[("Authorization", &bearer)], record.as_bytes()).unwrap();
        assert!(put.status < 300, "{}", put.text());
    }
    let before = process::usage(place.hub.pid()).unwrap().peak_bytes;
    let path = "/v1/databases/-/records/export";
    let crowd: Vec<_> = (0..READERS).map(|_| ask(address, path, &token, "")).collect();
    for mut stream in &crowd {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    let grown = process::usage(place.hub.pid()).unwrap().peak_bytes - before;
    assert!(grown < 320 << 20, "{READERS} exports of 27 MB that nobody reads cost {} MiB", grown >> 20);
    drop(crowd);
    let whole = http::send(address, "GET", path, &[("Authorization", &bearer)], &[]).unwrap();
    assert_eq!((whole.status, whole.text().lines().count()), (200, 32));
}

// 250 of them held 1.3 GB.
// Verifies: WEB-11
#[test]
fn streams_of_which_nothing_is_taken_leave_no_room_for_more() {
    process::raise_descriptors();
    let place = Place::of(options().arg("--response-memory-bytes=16777216").start());
    let address = place.hub.address();
    let token = crate::events::token(&place, &["read", "write"]);
    let bearer = format!("Bearer {token}");
    let text = "x".repeat(700_000);
    // More than the sockets take by themselves.
    for n in 0..40 {
        let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": format!("e{n}"), "args": {"text": text}}]});
        let path = "/v1/databases/-/events";
        let put =
            http::send(address, "POST", path, &[("Authorization", &bearer)], body.to_string().as_bytes());
        assert!(put.unwrap().status < 300);
    }
    let place = place.restarted();
    let address = place.hub.address();
    let path = "/v1/databases/-/events?store=app&after=0";
    let crowd: Vec<_> =
        (0..12).map(|_| ask(address, path, &token, "Accept: text/event-stream\r\n")).collect();
    let headers = [("Authorization", &*bearer), ("Accept", "text/event-stream")];
    wait::until("a reader for whom there is no room", || {
        let mut stream = EventStream::open(address, path, &headers).unwrap();
        loop {
            match stream.next() {
                Sent::Event { name, .. } if name == "bye" => return Some(()),
                Sent::Event { id: Some(id), .. } if id == "40" => return None,
                Sent::End => return None,
                _ => {}
            }
        }
    });
    drop(crowd);
    let mut stream = wait::until("room again", || {
        let mut stream = EventStream::open(address, path, &headers).ok()?;
        stream.expect("ready");
        matches!(stream.next(), Sent::Event { name, .. } if name != "bye").then_some(stream)
    });
    assert_eq!(stream.events(3).len(), 3);
}
