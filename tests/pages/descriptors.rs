//! More databases with pages than descriptors: each open capture or replica takes many, so that few may be open at once. What
//! is closed for others is opened again, unread, and goes on where it stood.

use std::{collections::BTreeMap, thread};

use ferry_testkit::{
    Session,
    http::{self, Response},
    process,
    sse::EventStream,
    wait,
};
use serde_json::{Value, json};

use crate::support::options;

/// A database that events write, and one that is pushed to.
struct Both {
    captured: String,
    events: String,
    pages: String,
}

fn token(user: &Session, database: &str, model: &str) -> String {
    let request =
        json!({"databaseId": database, "models": [model], "ops": ["read", "write"], "ttlSeconds": 3600});
    user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned()
}

fn open_files(pid: u32) -> usize {
    process::open_files(pid).len()
}

// Verifies: PAG-40, PAG-41, PAG-47, WEB-10
#[test]
fn under_ulimit_1024_many_captured_databases_are_followed_and_lose_no_history() {
    const DATABASES: usize = 60;
    let hub = options().descriptors(1024).start();
    let user = hub.signup("ada@example.com");
    let all: Vec<Both> = (0..DATABASES)
        .map(|n| {
            let captured = user.create_database(&format!("app{n}"));
            let (events, pages) = (token(&user, &captured, "events"), token(&user, &captured, "pages"));
            Both { captured, events, pages }
        })
        .collect();
    let send = |token: &str, method: &str, path: &str, body: &str| -> Response {
        let bearer = format!("Bearer {token}");
        http::send(hub.address(), method, path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
    };
    let append = |one: &Both, round: usize| -> u64 {
        let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": format!("e{round}"), "args": {}}]});
        let path = format!("/v1/databases/{}/events", one.captured);
        // On a slow machine all may be in use for long; whoever is told so comes again.
        let answer = wait::until("the event to be appended", || {
            let answer = send(&one.events, "POST", &path, &body.to_string());
            (answer.status != 503).then_some(answer)
        });
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
        answer.header("ferry-seq").unwrap().parse().unwrap()
    };
    let mut first = BTreeMap::new();
    let mut streams = Vec::new();
    for one in &all {
        append(one, 0);
        let path = format!("/v1/databases/{}/pages/stream", one.captured);
        let authorization = format!("Bearer {}", one.pages);
        let mut stream = EventStream::open(hub.address(), &path, &[("Authorization", &authorization)])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()));
        let (tag, _) = stream.expect("version");
        first.insert(one.captured.clone(), tag.unwrap());
        streams.push(stream);
    }
    let most = (0..3).map(|round| {
        // All at once, and each follower sees the newest.
        thread::scope(|scope| {
            for (one, stream) in all.iter().zip(&mut streams) {
                let append = &append;
                scope.spawn(move || {
                    let newest = append(one, round + 1);
                    let version = |sent: (Option<String>, Value)| sent.1["version"].as_u64().unwrap();
                    while version(stream.expect("version")) < newest {}
                });
            }
        });
        open_files(hub.pid())
    });
    let most = most.max().unwrap();
    assert!(most < 1024, "{most} descriptors");
    for one in &all {
        let path = format!("/v1/databases/{}/file?at={}", one.captured, first[&one.captured]);
        let answer = send(&one.pages, "GET", &path, "");
        assert_eq!(answer.status, 200, "the first version is kept: {}", answer.text());
    }
}

// Verifies: PAG-40
#[test]
fn an_idle_captured_database_gives_its_descriptors_back() {
    const DATABASES: usize = 12;
    let hub = options().arg("--idle-close-seconds=1").start();
    let user = hub.signup("ada@example.com");
    let idle = || open_files(hub.pid());
    let before = wait::until("the hub to come to rest", || {
        let found = idle();
        (found == idle()).then_some(found)
    });
    for n in 0..DATABASES {
        let database = user.create_database(&format!("app{n}"));
        let (events, pages) = (token(&user, &database, "events"), token(&user, &database, "pages"));
        let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": "e", "args": {}}]});
        let send = |token: &str, method: &str, path: &str, body: &str| {
            let path = format!("/v1/databases/{database}/{path}");
            let bearer = format!("Bearer {token}");
            http::send(hub.address(), method, &path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
        };
        assert!(send(&events, "POST", "events", &body.to_string()).status < 300);
        assert_eq!(send(&pages, "GET", "file", "").status, 200);
    }
    wait::until("what is idle to be closed", || {
        let captured =
            process::open_files(hub.pid()).iter().any(|file| file.iter().any(|part| part == "pages"));
        (!captured && idle() <= before + 2).then_some(())
    });
}
