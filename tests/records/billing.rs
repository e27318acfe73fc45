//! The billing gate.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use ferry_testkit::wait;
use serde_json::json;

use super::{Records, insert};

/// A billing service that says what it is told to.
struct Service {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    request: Arc<Mutex<String>>,
}

impl Service {
    fn start(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer.to_owned())),
            asked: Arc::default(),
            request: Arc::default(),
        };
        let (answer, asked, request) =
            (Arc::clone(&service.answer), Arc::clone(&service.asked), Arc::clone(&service.request));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                *request.lock().unwrap() = head.join("\n").to_lowercase();
                asked.fetch_add(1, Ordering::SeqCst);
                let body = answer.lock().unwrap().clone();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        service
    }

    fn records(&self, fail: &str) -> Records {
        let options = crate::support::options()
            .env("MANA_CREDITS_URL", format!("http://{}", self.address))
            .env("MANA_SERVICE_KEY", "s3cret")
            .arg(format!("--records-billing-fail={fail}"));
        Records::of(options.start())
    }
}

// Verifies: REC-32
#[test]
fn who_has_not_paid_gets_402_and_who_has_paid_syncs() {
    let service = Service::start(r#"{"active":false}"#);
    let records = service.records("open");
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let refused = records.call("POST", "/sync/todo", "", &body);
    assert_eq!(refused.status, 402);
    assert_eq!(refused.json()["error"], "sync_inactive");
    assert!(refused.json()["message"].is_string());
    assert_eq!(records.call("GET", "/sync/todo/pull?collection=tasks&since=", "", "").status, 402);
    assert_eq!(records.call("GET", "/sync/todo/stream", "", "").status, 402);
    assert_eq!(service.asked.load(Ordering::SeqCst), 1, "the answer is kept");
    let asked = service.request.lock().unwrap().clone();
    assert!(asked.starts_with("get /api/v1/internal/sync/status/u%5f"), "{asked}");
    assert!(asked.contains("x-service-key: s3cret"), "{asked}");
    *service.answer.lock().unwrap() = r#"{"active":true}"#.to_owned();
    let paid = wait::until("a payment counts", || {
        Some(records.call("POST", "/sync/todo", "", &body)).filter(|answer| answer.status == 200)
    });
    assert_eq!(paid.status, 200);
}

// Verifies: REC-32
#[test]
fn a_service_that_is_ill_stops_nobody_unless_told_to() {
    for (fail, status) in [("open", 200), ("closed", 402)] {
        let service = Service::start("not JSON");
        let records = service.records(fail);
        thread::scope(|scope| {
            for n in 0..8 {
                let records = &records;
                scope.spawn(move || {
                    let answer = records.call("POST", "/sync/todo", &format!("c{n}"), "{}");
                    assert_eq!(answer.status, status);
                });
            }
        });
        assert_eq!(service.asked.load(Ordering::SeqCst), 1, "one request is under way at most");
    }
}
