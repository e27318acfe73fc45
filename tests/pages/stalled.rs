//! Clients that ask for much and take nothing of it.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
};

use ferry_testkit::{http, process, wait};
use rusqlite::Connection;

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
    // What is refused was made first, a few at a time; without the bound it is all held.
    assert!(grown < 1 << 30, "200 downloads that nobody reads cost {} MiB", grown >> 20);
    let authorization = format!("Bearer {token}");
    let get = || http::send(address, "GET", &path, &[("Authorization", &authorization)], &[]).unwrap();
    let refused = get();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{}", refused.text());
    drop(crowd);
    wait::until("room again", || (get().status == 200).then_some(()));
}
