//! Request bodies: read only for authorised callers, with a timeout, and within a bound of memory.

use std::{
    io::{BufReader, Write as _},
    net::{SocketAddr, TcpStream},
};

use ferry_testkit::{
    http::{self, Response, Unfinished},
    livestore, process, wait,
};

use crate::{
    events::Stores,
    records::Records,
    support::{hub, options},
};

const LOGIN: &str = "/edgereplica.admin.v1.AdminService/Login";

/// Begins a body of `announced` bytes with `begun` bytes and says no more.
fn stall(address: SocketAddr, path: &str, token: &str, announced: usize, begun: usize) -> TcpStream {
    let mut stream = http::connect(address).unwrap();
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{authorization}\
         Content-Length: {announced}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A hub that has refused it already takes no more.
    let _ = stream.write_all(&vec![b' '; begun]);
    stream
}

fn answer(stream: TcpStream) -> Response {
    http::read_response(&mut BufReader::new(stream), false).unwrap()
}

// A megabyte was read before anybody was asked who he is.
// Verifies: WEB-11
#[test]
fn an_unauthorised_request_is_refused_before_its_body_is_read() {
    let hub = hub();
    let live = livestore::path("app", "http");
    let import = "/v1/databases/-/events/stores/app/import";
    for path in ["/sync/todo", "/v1/databases/-/events", import, &live] {
        for headers in [vec![], vec![("Authorization", "Bearer nonsense")]] {
            let begun = Unfinished::begin(hub.address(), "POST", path, &headers, &[b' '; 1 << 20]);
            let refused = begun.map(|_| ()).expect_err("the hub asks for the body");
            assert!(matches!(refused.status, 401 | 403), "{path}: {}", refused.status);
        }
    }
    // Nobody logs in with that much.
    let login = stall(hub.address(), LOGIN, "", 1 << 20, 100 << 10);
    assert_eq!(answer(login).status, 429);
}

// A body that stopped half-way was waited for without an end.
// Verifies: WEB-11
#[test]
fn a_body_that_stops_coming_ends_with_408() {
    let (stores, records) = (Stores::new(), Records::new());
    let import = format!("/v1/databases/{}/events/stores/app/import", stores.place.database);
    let begun = [
        (stores.address(), "/v1/databases/-/events", stores.token.as_str()),
        (stores.address(), &livestore::path("app", "http"), &stores.token),
        (stores.address(), &import, &stores.place.user.token),
        (stores.address(), LOGIN, ""),
        (records.address(), "/sync/todo", &records.token),
    ];
    let stalled = begun.map(|(address, path, token)| (stall(address, path, token, 1000, 10), path));
    for (stream, path) in stalled {
        let (took, answer) = wait::timed(|| answer(stream));
        assert_eq!(answer.status, 408, "{path}: {}", answer.text());
        assert!(took.as_secs() < 20, "{path} was waited for {took:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
    }
}

// 1,500 of them, without a login, took 1.6 GB, which stayed.
// Verifies: WEB-11
#[test]
fn the_memory_of_all_waiting_bodies_is_bounded() {
    process::raise_descriptors();
    let hub = options().arg("--body-memory-bytes=1048576").start();
    let before = process::usage(hub.pid()).unwrap().peak_bytes;
    let crowd: Vec<_> = (0..400).map(|_| stall(hub.address(), LOGIN, "", 60 << 10, 50 << 10)).collect();
    let refused = wait::until("a refusal", || {
        let answer = answer(stall(hub.address(), LOGIN, "", 60 << 10, 50 << 10));
        (answer.status != 408).then_some(answer)
    });
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let grown = process::usage(hub.pid()).unwrap().peak_bytes - before;
    assert!(grown < 24 << 20, "400 bodies of 50 KiB cost {} KiB", grown >> 10);
    // What needs no memory is served.
    assert_eq!(http::get(hub.address(), "/healthz").unwrap().status, 200);
    drop(crowd);
    wait::until("room again", || {
        let headers = [("Content-Type", "application/json")];
        let login = http::send(hub.address(), "POST", LOGIN, &headers, &vec![b' '; 50 << 10]).ok()?;
        (login.status != 503).then_some(())
    });
}
