//! What connections may use before anybody has logged in: time, memory, descriptors.

use std::{
    io::{BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use ferry_testkit::{
    http,
    hub::Options,
    livestore,
    process::{self, raise_descriptors},
    tls, wait,
};

use crate::{
    events::Stores,
    support::{Place, options},
};

/// Bytes that a flood sends at most; what the hub keeps of them must be a small part.
const FLOOD_MAX_BYTES: usize = 96 << 20;
/// Memory that floods may cost the hub, all together: a tenth of what one of them cost.
const FLOODED_MAX_BYTES: u64 = 48 << 20;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A masked WebSocket frame of at most 125 bytes; the mask is zero.
fn frame(opcode: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(content.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(content);
    frame
}

/// A WebSocket by its raw bytes.
fn upgrade(address: SocketAddr, path: &str, authorization: Option<&str>) -> TcpStream {
    let mut stream = http::connect(address).unwrap();
    let authorization =
        authorization.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// The subprotocol that the hub selects among `offered`.
fn selected(address: SocketAddr, path: &str, headers: &[(&str, &str)], offered: &str) -> Option<String> {
    let base = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", offered),
    ];
    let headers: Vec<_> = base.iter().chain(headers).copied().collect();
    let answer = http::send(address, "GET", path, &headers, &[]).unwrap();
    assert_eq!(answer.status, 101, "{path}: {}", answer.text());
    answer.header("sec-websocket-protocol").map(str::to_owned)
}

// Browsers end a connection for which none of the subprotocols that they offered is selected, and none was: what the
// docs say of `ferry.bearer.…` worked for nobody.
#[test]
fn a_browser_that_offers_subprotocols_is_told_which_counts() {
    let stores = Stores::new();
    let address = stores.address();
    let bearer = format!("ferry.bearer.{}", stores.token);
    let live = livestore::path("app", "ws");
    for (path, own) in
        [("/ws", "ferry.records.v1"), ("/ws/todo", "ferry.records.v1"), (&live, "ferry.events.v1")]
    {
        let select = |offered: &str| selected(address, path, &[], offered);
        assert_eq!(select(&format!("{bearer}, {own}")).as_deref(), Some(own), "{path}");
        assert_eq!(select(&bearer), Some(bearer.clone()), "{path}");
    }
    assert_eq!(selected(address, "/ws", &[], "graphql-ws"), None, "not of this hub");
    let pull = format!("Bearer {}", stores.place.pull_token());
    let offered = "ferry.pages.v1";
    let answer = selected(address, "/sync", &[("Authorization", &pull)], offered);
    assert_eq!(answer.as_deref(), Some(offered));
}

/// Sends `frame` again and again and reads nothing, until the hub has had enough of it, or takes no more.
fn flood(mut stream: &TcpStream, frame: &[u8]) {
    let batch = frame.repeat((256 << 10) / frame.len());
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0;
    while sent < FLOOD_MAX_BYTES {
        match stream.write(&batch) {
            Ok(count) => sent += count,
            Err(_) => return,
        }
    }
}

/// The close code that the hub sent, among answers of at most 125 bytes.
fn close_code(mut stream: &TcpStream) -> Option<u16> {
    let mut head = [0; 2];
    loop {
        stream.read_exact(&mut head).ok()?;
        let mut content = vec![0; usize::from(head[1])];
        if head[1] == 126 {
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            content = vec![0; usize::from(u16::from_be_bytes(length))];
        }
        stream.read_exact(&mut content).ok()?;
        if head[0] == 0x88 {
            return Some(u16::from_be_bytes([content[0], content[1]]));
        }
    }
}

// One client that sent pings and read nothing made the hub keep every Pong: 19 MB grew to 1.5 GB in five seconds, then it
// was killed. It needed no login: the notification socket of records asks for one only after the upgrade.
// Verifies: WEB-12
#[test]
fn a_flood_of_pings_is_ended_and_costs_no_memory() {
    let stores = Stores::new();
    let address = stores.address();
    let pull = stores.place.pull_token();
    let live = livestore::path("flooded", "ws");
    let surfaces: [(&str, Option<&str>); 4] =
        [("/ws", None), ("/ws/todo", None), ("/sync", Some(&pull)), (&live, Some(&stores.token))];
    let before = process::usage(stores.place.hub.pid()).unwrap().peak_bytes;
    std::thread::scope(|scope| {
        for (path, token) in surfaces {
            scope.spawn(move || {
                flood(&upgrade(address, path, token), &frame(0x9, &[b'x'; 125]));
                let mut stream = upgrade(address, path, token);
                stream.write_all(&frame(0x9, b"x").repeat(100)).unwrap();
                assert_eq!(close_code(&stream), Some(1008), "{path}");
            });
        }
    });
    let grown = process::usage(stores.place.hub.pid()).unwrap().peak_bytes - before;
    assert!(grown < FLOODED_MAX_BYTES, "floods cost {} KiB", grown >> 10);
    // A client that pings as clients do is served.
    let mut calm = upgrade(address, "/ws", None);
    for _ in 0..20 {
        calm.write_all(&frame(0x9, b"1")).unwrap();
        let mut pong = [0; 3];
        calm.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [0x8a, 1, b'1']);
    }
}

// LiveStore's own pings are calls, and each was answered into a queue without an end.
// Verifies: WEB-12
#[test]
fn a_client_that_calls_and_takes_no_answers_waits() {
    let stores = Stores::new();
    let pid = stores.place.hub.pid();
    let stream = upgrade(stores.address(), &livestore::path("flooded", "ws"), Some(&stores.token));
    let before = process::usage(pid).unwrap().peak_bytes;
    flood(&stream, &frame(0x1, br#"{"_tag":"Ping"}"#));
    let grown = process::usage(pid).unwrap().peak_bytes - before;
    assert!(grown < FLOODED_MAX_BYTES, "the flood cost {} KiB", grown >> 10);
}

/// What a peer says and then falls silent.
fn openings() -> Vec<&'static [u8]> {
    vec![b"", b"P", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", &PREFACE[..PREFACE.len() - 1], PREFACE]
}

/// Waits until the hub has closed the connection.
fn assert_closed(mut stream: &TcpStream, what: &str) {
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let is_open =
        ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!is_open, "after {what} the connection stays open");
}

// Only HTTP/1.1 had a deadline, which began once the hub knew that it was HTTP/1.1: a connection that said nothing, or
// all of HTTP/2's preface but one byte, lived for ever.
// Verifies: WEB-10
#[test]
fn a_silent_connection_is_closed_whatever_its_protocol() {
    let hub = options().arg("--header-timeout-seconds=1").start();
    let silent: Vec<_> = openings()
        .into_iter()
        .map(|opening| {
            let mut stream = http::connect(hub.address()).unwrap();
            stream.write_all(opening).unwrap();
            (stream, String::from_utf8_lossy(opening).into_owned())
        })
        .collect();
    for (stream, opening) in &silent {
        assert_closed(stream, &format!("{opening:?}"));
    }
    assert_eq!(http::get(hub.address(), "/healthz").unwrap().status, 200);
}

// Verifies: WEB-10
#[test]
fn a_silent_connection_over_tls_ends_too() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls::Files::write(dir.path(), &tls::FIRST);
    let hub = options().arg("--header-timeout-seconds=1").tls(&files).start();
    // Before the handshake, within it, and behind it.
    let mut silent: Vec<(TcpStream, String)> = [&b""[..], b"\x16\x03\x01"]
        .into_iter()
        .map(|opening| {
            let mut stream = http::connect(hub.address()).unwrap();
            stream.write_all(opening).unwrap();
            (stream, format!("{opening:?} in place of a handshake"))
        })
        .collect();
    for opening in openings() {
        let mut stream = tls::connect(hub.address());
        stream.write_all(opening).unwrap();
        stream.flush().unwrap();
        silent.push((stream.sock, format!("the handshake and {:?}", String::from_utf8_lossy(opening))));
    }
    for (stream, what) in &silent {
        assert_closed(stream, what);
    }
}

/// A crowd of silent connections at a hub that may open so many files, while others want to be served.
fn starve(descriptors: u32, crowd: usize) {
    raise_descriptors();
    let with = |options: Options| options.descriptors(descriptors).arg("--header-timeout-seconds=5");
    let place = Place::of(with(options()).start());
    let address = place.hub.address();
    let silent: Vec<_> = (0..crowd).map(|_| http::connect(address).unwrap()).collect();
    // Those that are too many are closed at once, and the hub serves again when the others' time is over.
    let answer = wait::until("an answer beside the crowd", || http::get(address, "/healthz").ok());
    assert_eq!(answer.status, 200);
    for stream in &silent {
        assert_closed(stream, "nothing");
    }
    place.user.create_database("second");
    let metrics = http::get(address, "/metrics").unwrap().text();
    assert!(metrics.contains("ferry_connections_refused_total{limit=\"max_connections\"}"), "{metrics}");
    let reply = place.hub.log().matches("connections closed at once").count();
    assert!(reply <= 1, "the log tells of it once a minute, not {reply} times");
}

// 100 of them starved a hub of 64 descriptors.
// Verifies: WEB-10
#[test]
fn silent_connections_do_not_starve_a_hub_of_64_descriptors() {
    starve(64, 100);
}

// Verifies: WEB-10
#[test]
fn silent_connections_do_not_starve_a_hub_of_1024_descriptors() {
    starve(1024, 900);
}

/// What the system lets wait to be accepted.
fn waiting_max() -> usize {
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    allowed.and_then(|text| text.trim().parse().ok()).unwrap_or(128)
}

// 128 could wait to be accepted. Of those beyond, as when a hub was started again, some waited for seconds and some were reset.
// Verifies: WEB-10
#[test]
fn a_crowd_that_comes_at_once_is_served_though_the_hub_stands_still_for_a_moment() {
    let count = waiting_max().min(1_000);
    raise_descriptors();
    let hub = options().start();
    let mut crowd: Vec<TcpStream> = hub.paused(|| {
        (0..count)
            .map(|_| {
                let stream = http::connect(hub.address()).unwrap();
                (&stream).write_all(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").unwrap();
                stream
            })
            .collect()
    });
    for stream in &mut crowd {
        let answer = http::read_response(&mut BufReader::new(stream), false).unwrap();
        assert_eq!(answer.status, 200);
    }
}

// The README names the codes.
// Verifies: CFG-06
#[test]
fn a_stopping_hub_closes_every_kind_of_socket_with_the_code_that_is_documented() {
    let mut stores = Stores::new();
    let address = stores.address();
    let pull = stores.place.pull_token();
    let live = livestore::path("app", "ws");
    let surfaces: [(&str, Option<&str>, u16); 4] = [
        ("/ws", None, 1001),
        ("/ws/todo", None, 1001),
        ("/sync", Some(&pull), 1001),
        (&live, Some(&stores.token), 1012),
    ];
    let sockets = surfaces.map(|(path, token, code)| (upgrade(address, path, token), path, code));
    stores.place.hub.begin_stop();
    for (socket, path, code) in &sockets {
        assert_eq!(close_code(socket), Some(*code), "{path}");
    }
    drop(sockets);
    assert_eq!(stores.place.hub.ended().code(), Some(0));
}
