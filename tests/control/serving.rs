//! The plain routes, and an orderly stop.

use std::{io::BufReader, io::Write as _};

use ferry_testkit::{
    frames::Frame,
    http::{self, read_response},
    rpc::{EDGEREPLICA, FERRY},
    socket::{Event, Socket},
    wait,
};

use crate::support::{Place, hub, options};

#[test]
fn the_plain_routes_answer() {
    let place = Place::new();
    let get = |path: &str| http::get(place.hub.address(), path).unwrap();
    assert_eq!((get("/healthz").status, get("/healthz").text().as_str()), (200, "ok"));
    let health = get("/health").json();
    for key in ["connections", "service", "status", "timestamp", "users", "version"] {
        assert!(health.get(key).is_some(), "{key} is missing in {health}");
    }
    assert_eq!((health["service"].as_str(), health["status"].as_str()), (Some("ferry"), Some("ok")));
    assert_eq!(health["users"], 1);
    assert_eq!(get("/readyz").json()["status"], "ready");
    assert!(get("/").text().starts_with("ferry "));
    assert_eq!((get("/nowhere").status, get("/nowhere").text().as_str()), (404, "Not Found"));
    assert_eq!(get("/v1/databases/-/nothing").status, 404);
    // Of a client that did ask for an upgrade, and a proxy that speaks HTTP/1.0.
    for socket in ["/sync", "/?storeId=app&transport=ws", "/ws"] {
        assert!(get(socket).text().contains("a proxy in between must pass upgrades on"), "{socket}");
    }
    let method = http::send(place.hub.address(), "DELETE", "/healthz", &[], &[]).unwrap();
    assert_eq!(method.status, 405);
    for service in [EDGEREPLICA, FERRY] {
        let headers = [("Content-Type", "application/json")];
        let path = format!("/{service}/NoSuchMethod");
        assert_eq!(http::send(place.hub.address(), "POST", &path, &headers, b"{}").unwrap().status, 404);
    }
    // Calls without side effects may be GETs.
    let authorization = format!("Bearer {}", place.user.token);
    let path = format!("/{FERRY}/Whoami?connect=v1&encoding=json&message=%7B%7D");
    let answer =
        http::send(place.hub.address(), "GET", &path, &[("Authorization", &authorization)], &[]).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["whoami"]["email"], "ada@example.com");
}

// Verifies: CFG-06
#[test]
fn sigterm_closes_sockets_and_exits_with_0() {
    let mut place = Place::new();
    let mut socket = Socket::open(place.hub.address(), &place.pull_token()).unwrap();
    socket.send(&Frame::hello(0));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    place.hub.begin_stop();
    let (took, ending) = wait::timed(|| socket.ending());
    assert_eq!(ending.code, 1001, "{ending:?}");
    assert!(took.as_secs() < 10, "{took:?}");
    assert_eq!(place.hub.ended().code(), Some(0));
}

// Verifies: CFG-06
#[test]
fn while_it_drains_the_hub_is_not_ready() {
    let mut hub = hub();
    // A request in flight keeps the hub from ending: its body is still to come.
    let mut slow = http::connect(hub.address()).unwrap();
    let head = format!(
        "POST /{EDGEREPLICA}/Whoami HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).unwrap();
    wait::until("the request to be under way", || {
        // A second request on another connection has been answered after the first arrived.
        http::get(hub.address(), "/healthz").ok()
    });
    hub.begin_stop();
    let draining = wait::within(std::time::Duration::from_secs(5), || {
        let answer = http::get(hub.address(), "/readyz").ok()?;
        (answer.status == 503).then_some(answer)
    });
    let draining = draining.expect("/readyz answers 503 while a request is under way");
    assert_eq!(draining.json()["status"], "draining");
    slow.write_all(b"{}").unwrap();
    let answer = read_response(&mut BufReader::new(slow), false).unwrap();
    assert_eq!(answer.status, 401, "the request in flight is answered");
    assert_eq!(hub.ended().code(), Some(0));
}

/// A folder that holds a page, a script and a way out.
fn application() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("app")).unwrap();
    std::fs::write(dir.path().join("secret"), "not for the web").unwrap();
    std::fs::write(dir.path().join("app/index.html"), "<!doctype html><p>the page").unwrap();
    std::fs::write(dir.path().join("app/main.js"), "run()").unwrap();
    std::fs::write(dir.path().join("app/health"), "shadowed by the route").unwrap();
    dir
}

// Verifies: WEB-02
#[test]
fn an_application_is_served_beside_the_routes_in_dev() {
    let dir = application();
    let hub =
        options().arg("--dev").arg("--static-dir").arg(dir.path().join("app").to_str().unwrap()).start();
    let get = |path: &str| http::get(hub.address(), path).unwrap();
    let page = get("/");
    assert_eq!((page.status, page.text().as_str()), (200, "<!doctype html><p>the page"));
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    // The hub's own policy would keep the page from running its script.
    assert_eq!(page.header("content-security-policy"), None);
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(get("/main.js").text(), "run()");
    assert_eq!(get("/health").json()["service"], "ferry");
    assert_eq!((get("/missing").status, get("/missing").text().as_str()), (404, "Not Found"));
    for outside in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/.%2e/%2e%2e/etc/passwd"] {
        assert_eq!(get(outside).status, 404, "{outside}");
    }
    let post = http::send(hub.address(), "POST", "/main.js", &[], &[]).unwrap();
    assert_eq!(post.status, 404);
}

// Verifies: CFG-01
#[test]
fn static_files_are_served_in_dev_mode_only() {
    let dir = application();
    let refused = options().arg("--static-dir").arg(dir.path().to_str().unwrap()).try_start().unwrap_err();
    assert_eq!(refused.code, Some(78));
    assert!(
        refused.output.contains("--static-dir") && refused.output.contains("--dev"),
        "{}",
        refused.output
    );
}
