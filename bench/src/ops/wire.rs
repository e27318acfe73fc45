//! The hub as a process of its own, over HTTP.

use std::net::SocketAddr;

use ferry_testkit::{
    Hub,
    hub::Options,
    process::{self, Usage},
};
use serde_json::json;

use super::{engine::Took, load};
use crate::{
    beside::http::{Connection, request},
    binary, clock,
};

/// A hub with one database, and a token of it.
pub(super) struct Served {
    hub: Hub,
    token: String,
}

/// The middle of what a hub used.
pub(super) struct Used {
    pub(super) took: Took,
    pub(super) peak_growth_bytes: u64,
}

impl Served {
    pub(super) fn start() -> Self {
        // What is compacted on call has no time to be retained.
        let options = Options::new(binary::ferry())
            .env("FERRY_LOG_LEVEL", "warn")
            .env("FERRY_MAX_CONNECTIONS_PER_IP", "20000");
        let hub = options.env("FERRY_OPS_RETAIN_DAYS", "0").start();
        let user = hub.signup("bench@example.com");
        let database = user.create_database("bench");
        let asked = json!({
            "databaseId": database, "models": ["ops"], "ops": ["read", "write", "admin"], "caveats": [],
            "ttlSeconds": 86_400,
        });
        let issued = user.ferry("IssueSyncToken", &asked).expect("the hub issues a token");
        let token = issued["token"].as_str().expect("a token is a text").to_owned();
        Self { hub, token }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.hub.address()
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn usage(&self) -> Usage {
        process::tree_usage(self.hub.pid()).expect("the hub runs, on a system with /proc")
    }

    pub(super) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let headers = format!("Authorization: Bearer {}\r\n{headers}", self.token);
        request(self.address(), method, path, &headers, body)
    }

    /// What the hub used meanwhile.
    pub(super) async fn measured<T>(&self, work: impl Future<Output = T>) -> (Used, T) {
        let (begin, before) = (clock::now(), self.usage());
        let done = work.await;
        let after = self.usage();
        let cpu = std::time::Duration::from_millis(after.cpu_ms - before.cpu_ms);
        let took = Took { wall: begin.elapsed(), cpu };
        (Used { took, peak_growth_bytes: after.peak_bytes.saturating_sub(before.resident_bytes) }, done)
    }

    /// Transactions that were committed so far, each with one fsync.
    pub(super) async fn groups(&self) -> f64 {
        let mut connection = Connection::open(self.address()).await;
        let (status, text) = connection.ask(&self.request("GET", "/metrics", "", "")).await;
        assert_eq!(status, 200, "the hub gives its metrics");
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find_map(|line| line.strip_prefix("ferry_group_commits_total "));
        line.and_then(|count| count.trim().parse().ok()).expect("the hub counts its groups")
    }

    /// Pushes ops in batches over one connection.
    pub(super) async fn push(&self, make: fn(u64) -> String, ops: std::ops::Range<u64>, batch: u64) {
        let mut connection = Connection::open(self.address()).await;
        for first in ops.clone().step_by(usize::try_from(batch).expect("a batch is small")) {
            let body = load::batch(make, first, batch.min(ops.end - first)).join(",");
            let asked = self.request("POST", "/v1/databases/-/ops", "", &format!("{{\"ops\":[{body}]}}"));
            let (status, answer) = connection.ask(&asked).await;
            let is_stored = !answer.windows(8).any(|word| word == b"rejected");
            assert!(status == 200 && is_stored, "{}", String::from_utf8_lossy(&answer));
        }
    }

    /// Pushes ops one by one over many connections at once.
    pub(super) async fn push_one_by_one(&self, connections: u64, each: u64, from: u64) {
        let pushing = (0..connections).map(|number| {
            let first = from + number * each;
            self.push(load::ferry, first..first + each, 1)
        });
        futures_util::future::join_all(pushing).await;
    }

    /// Pulls the whole log in pages of 1 MiB; gives the number of ops.
    pub(super) async fn pull(&self) -> u64 {
        let mut connection = Connection::open(self.address()).await;
        let (mut after, mut ops) = (0, 0);
        loop {
            let path = format!("/v1/databases/-/ops?after_seq={after}&limit=5000");
            let (status, answer) = connection.ask(&self.request("GET", &path, "", "")).await;
            assert_eq!(status, 200, "the hub gives a page");
            // The head of a page tells where it ends, and whether there is more.
            let head = String::from_utf8_lossy(&answer[..answer.len().min(600)]).into_owned();
            let number = head.split_once("\"next\":").and_then(|(_, rest)| rest.split_once(','));
            let next: u64 = number.and_then(|(number, _)| number.parse().ok()).expect("a page has a cursor");
            ops += next - after;
            after = next;
            if !head.contains("\"has_more\":true") {
                return ops;
            }
        }
    }

    /// Bytes of the first page as it travels, and its ops.
    pub(super) async fn page_bytes(&self, encoding: &str, ops: u64) -> u64 {
        let mut connection = Connection::open(self.address()).await;
        let headers = format!("Accept-Encoding: {encoding}\r\nConnection: close\r\n");
        let path = format!("/v1/databases/-/ops?limit={ops}");
        let (status, bytes) = connection.whole(&self.request("GET", &path, &headers, "")).await;
        assert_eq!(status, 200, "the hub gives a page");
        bytes
    }

    /// Bytes of a snapshot.
    pub(super) async fn snapshot(&self) -> u64 {
        let mut connection = Connection::open(self.address()).await;
        let asked = self.request("GET", "/v1/databases/-/ops/snapshot", "Connection: close\r\n", "");
        let (status, bytes) = connection.whole(&asked).await;
        assert_eq!(status, 200, "the hub gives a snapshot");
        bytes
    }

    /// Compacts the log, and tells how many ops were dropped.
    pub(super) async fn compact(&self) -> u64 {
        let mut connection = Connection::open(self.address()).await;
        let (status, answer) =
            connection.ask(&self.request("POST", "/v1/databases/-/ops/compact", "", "")).await;
        assert_eq!(status, 200, "the hub compacts: {}", String::from_utf8_lossy(&answer));
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("the answer is JSON");
        answer["dropped"].as_u64().expect("a number")
    }

    /// Pushes a body of about so many bytes through the shim; gives its ops.
    pub(super) async fn shim_push(&self, total: usize, from: u64) -> u64 {
        let mut connection = Connection::open(self.address()).await;
        let count = (total / (load::OP_BYTES + 1)) as u64;
        let body = format!("{{\"ops\":[{}]}}", load::batch(load::foreign, from, count).join(","));
        let (status, answer) = connection.ask(&self.request("POST", "/sync/push", "", &body)).await;
        let expected = format!("{{\"pulled\":0,\"applied\":{count},\"pushed\":0}}");
        assert_eq!((status, &*String::from_utf8_lossy(&answer)), (200, &*expected));
        count
    }
}
