//! A hub behind real proxies, configured as docs/proxies.md says: everything that clients do works.

mod start;

use std::{
    io::{BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use connectrpc::Protocol;
use ferry_testkit::{
    collector::Collector,
    command::Ferry,
    http::{self, read_response},
    livestore::{LiveSocket, chain, path},
    rpc::{FERRY as ADMIN, PASSWORD},
    sample::Shape,
    sse::EventStream,
    wait,
};
use serde_json::json;

use crate::{
    control::transports,
    events::a,
    support::{FERRY, Place, options},
};
use start::{Proxy, caddy, nginx};

/// A hub as it is started behind a proxy, with a user's database.
fn place(public_url: &str) -> Place {
    let proxied = ["--public-url", public_url, "--trusted-proxies", "127.0.0.1", "--signup", "open"];
    Place::of(proxied.into_iter().fold(options(), ferry_testkit::hub::Options::arg).start())
}

// Verifies: WEB-05, WEB-13, OPR-71
#[test]
fn everything_goes_through_nginx() {
    let place = place("https://hub.example");
    if let Some(proxy) = nginx(&place.hub, "") {
        everything_goes_through(&proxy, &place);
    }
}

// Verifies: WEB-05, WEB-13, OPR-71
#[test]
fn everything_goes_through_caddy() {
    let place = place("https://hub.example");
    if let Some(proxy) = caddy(&place.hub, "") {
        everything_goes_through(&proxy, &place);
    }
}

#[test]
fn a_hub_may_lie_below_a_path_of_the_proxy() {
    let place = place("https://hub.example/hub");
    for proxy in [nginx(&place.hub, "/hub"), caddy(&place.hub, "/hub")].into_iter().flatten() {
        files_by_https(&proxy, "/hub");
        assert_ne!(
            http::get(proxy.plain, "/healthz").unwrap().text(),
            "ok",
            "the hub is below the path alone"
        );
    }
}

// By a trace of its own a client would decide what the hub records, since the hub believes its proxy.
// Verifies: OPR-71, OPR-80
#[test]
fn nobody_outside_decides_what_is_traced() {
    let tracing = || {
        let collector = Collector::start();
        let traced = ["--trusted-proxies=127.0.0.1", "--otlp-sample=1"];
        let options = traced.into_iter().fold(options(), ferry_testkit::hub::Options::arg);
        (options.arg(format!("--otlp-endpoint={}", collector.url())).start(), collector)
    };
    for through in [nginx, caddy] {
        let (hub, collector) = tracing();
        let Some(proxy) = through(&hub, "") else { continue };
        let unrecorded = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
        http::send(proxy.plain, "GET", "/readyz", &[unrecorded], b"").unwrap();
        let grpc = [unrecorded, ("Content-Type", "application/grpc"), ("TE", "trailers")];
        http::send(proxy.plain, "POST", &format!("/{ADMIN}/Login"), &grpc, &[0; 5]).unwrap();
        let rpc = format!("POST /{ADMIN}/{{method}}");
        wait::until("both are recorded", || {
            let spans = collector.spans();
            ["GET /readyz", &rpc].iter().all(|name| spans.iter().any(|span| span.name == *name)).then_some(())
        });
    }
}

fn everything_goes_through(proxy: &Proxy, place: &Place) {
    files_by_https(proxy, "");
    let token = place.user.at(proxy.plain).ferry(
        "IssueSyncToken",
        &json!({"database_id": place.database, "ops": ["read", "write"], "models": ["events", "records"], "ttl_seconds": 600}),
    );
    let bearer = format!("Bearer {}", token.unwrap()["token"].as_str().expect("a token"));
    sockets_and_streams(proxy.plain, &bearer);
    big_bodies(proxy.plain, &bearer);
    a_refusal_comes_before_the_body(proxy.plain);
    metrics_stay_closed(proxy.plain, place);
    for source in [[127, 0, 0, 2], [127, 0, 0, 1]] {
        the_hub_sees_the_client(proxy.plain, source.into());
    }
    every_rpc_protocol(proxy);
}

/// A push and a pull of some megabytes over TLS and an upgrade.
fn files_by_https(proxy: &Proxy, below: &str) {
    let url = format!("https://localhost:{}{below}", proxy.tls.port());
    let ferry = Ferry::new(FERRY, &url).env("FERRY_CACERT", &proxy.authority().display().to_string());
    ferry.signup(&format!("user{}@example.com", proxy.tls.port()));
    Shape::default().create(&ferry.file("notes.db"), 20_000, 1);
    ferry.ok(&["db", "create", "notes"]);
    ferry.ok(&["push", "notes.db", "notes"]);
    ferry.ok(&["clone", "notes", "copy.db"]);
    let [sent, got] = ["notes.db", "copy.db"].map(|name| std::fs::metadata(ferry.file(name)).unwrap().len());
    assert_eq!(sent, got);
    assert!(sent > 2 << 20, "{sent} bytes are few");
    ferry.ok(&["pull", "notes", "copy.db"]);
}

/// What is committed reaches a LiveStore socket and an event stream while they stay open.
fn sockets_and_streams(address: SocketAddr, bearer: &str) {
    let headers = [("Authorization", bearer)];
    let mut socket = LiveSocket::open(address, &path("app", "ws"), "app", &headers).unwrap();
    assert_eq!(socket.push(&a(1), &chain(0, 2)).code(), "success");
    let live = "/v1/databases/-/events/live?store=app&after=0";
    let mut stream = EventStream::open(address, live, &headers).unwrap();
    stream.expect("ready");
    assert_eq!(stream.events(2).len(), 2);
    socket.pull(&a(2), true, None);
    assert_eq!(socket.page(&a(2)).events.len(), 2);
    let body = json!({"store": "app", "clientId": "billing", "sessionId": "job", "events": [{"name": "v1.Made", "args": {}}]}).to_string();
    let headers = [("Authorization", bearer), ("Content-Type", "application/json")];
    let answer = http::send(address, "POST", "/v1/databases/-/events", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(stream.expect("event").1["seqNum"], 3);
    assert_eq!(socket.page(&a(2)).numbers(), [3]);
}

/// nginx refuses bodies over 1 MB by default.
fn big_bodies(address: SocketAddr, bearer: &str) {
    let text = "x".repeat(800 << 10);
    let record = json!({"a": text, "b": text, "c": text}).to_string();
    let headers = [("Authorization", bearer), ("Content-Type", "application/json")];
    let path = "/v1/databases/-/records/todo/todos/big";
    let put = http::send(address, "PUT", path, &headers, record.as_bytes()).unwrap();
    assert!(matches!(put.status, 200 | 201), "{}", put.text());
    let got = http::send(address, "GET", path, &headers, &[]).unwrap();
    assert!(got.status == 200 && got.body.len() > 2 << 20, "{}: {} bytes", got.status, got.body.len());
}

/// A proxy that keeps bodies whole first would wait for all of it. Caddy passes an answer on with the next piece that comes.
fn a_refusal_comes_before_the_body(address: SocketAddr) {
    let mut stream = http::connect(address).unwrap();
    let head = format!(
        "PUT /v1/databases/app/records/todo/todos/big HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        5 << 20
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut pieces = 0;
    while stream.peek(&mut [0]).is_err() {
        pieces += 1;
        assert!(pieces < 600, "no answer after {pieces} pieces of a body of 5,120");
        stream.write_all(&[b' '; 1024]).unwrap();
    }
    stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
    let answer = read_response(&mut BufReader::new(stream), false).unwrap();
    assert_eq!(answer.status, 401, "{}", answer.text());
}

fn metrics_stay_closed(address: SocketAddr, place: &Place) {
    assert_eq!(http::get(address, "/metrics").unwrap().status, 401);
    let authorization = format!("Bearer {}", place.hub.operator_token());
    let reply = http::send(address, "GET", "/metrics", &[("Authorization", &authorization)], &[]).unwrap();
    assert_eq!(reply.status, 200);
}

/// A client that claims to be somebody else: at an address of its own, and at that of the proxy, whose word the hub takes
/// where a proxy passes on what it is told.
fn the_hub_sees_the_client(address: SocketAddr, source: Ipv4Addr) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        socket.connect(address).await?.into_std()
    });
    let mut stream = connected.expect("the proxy is reachable from another address of this machine");
    stream.set_nonblocking(false).unwrap();
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let head = format!(
        "POST /{ADMIN}/Login HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let answer = read_response(&mut BufReader::new(stream), false).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["sessionToken"].as_str().expect("a session").to_owned();
    let headers = [("Authorization", format!("Bearer {token}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let path = format!("/{ADMIN}/ListSessions");
    let headers = [&headers[..], &[("Content-Type", "application/json")]].concat();
    let listed = http::send(address, "POST", &path, &headers, b"{}").unwrap().json();
    let sessions = listed["sessions"].as_array().expect("sessions").clone();
    let ours = sessions.iter().find(|session| session["current"] == true).expect("this session");
    assert_eq!(ours["ip"], source.to_string());
}

/// Connect and gRPC-Web over HTTP/1.1, gRPC over HTTP/2.
fn every_rpc_protocol(proxy: &Proxy) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, protocol, address) in [
        ("connect", Protocol::Connect, proxy.plain),
        ("web", Protocol::GrpcWeb, proxy.plain),
        ("grpc", Protocol::Grpc, proxy.http2),
    ] {
        let (url, email) = (format!("http://{address}"), format!("{name}@example.com"));
        runtime.block_on(transports::commands(&url, &email, protocol, false));
    }
}
