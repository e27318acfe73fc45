//! Op-log sync over the wire of hephd's clients, and over Ferry's own.

mod api;
mod compaction;
mod conflicts;
mod crash;
mod hephd;
mod large;
mod late_op;
mod limits;
mod live;
mod quarantine;
mod restored_hub;
mod rights;
mod routes;
mod spoke_clocks;
mod spoke_clones;
mod spoke_command_line;
mod spoke_compaction;
mod spoke_convergence;
mod spoke_crashes;
mod spoke_daemon;
mod spoke_faults;
mod spoke_hub_loss;
mod spoke_server;
pub(crate) mod spokes;

use std::net::SocketAddr;

use ferry_testkit::{
    Hub,
    hephd::{CursorRule, HephdClient},
    http::{self, Response},
    hub::Options,
    sse::EventStream,
};
use serde_json::{Value, json};

use crate::support::{Place, hub, options};

/// Origin A of the specification's examples.
pub(crate) const A: &str = "a1b2c3d4e5f60718";
/// Origin B.
pub(crate) const B: &str = "b7d0193f5c2e8a46";
/// 2026-11-20T10:00:00Z, milliseconds: the time of the examples.
pub(crate) const T_MS: u64 = 0x01a1_f866_0d00;

/// A user's database, and a token that reads and writes its ops.
pub(crate) struct Ops {
    pub(crate) place: Place,
    pub(crate) token: String,
}

impl Ops {
    pub(crate) fn new() -> Self {
        Self::of(hub())
    }

    pub(crate) fn with(settings: &[&str]) -> Self {
        Self::of(settings.iter().fold(options(), |options, setting| options.arg(*setting)).start())
    }

    pub(crate) fn of(hub: Hub) -> Self {
        let place = Place::of(hub);
        let token = token(&place, &["read", "write"], &[]);
        Self { place, token }
    }

    /// Starts the hub again over its data, killing it first if it still runs.
    pub(crate) fn restarted(self) -> Self {
        self.restarted_with(|options| options)
    }

    pub(crate) fn restarted_with(self, change: impl FnOnce(Options) -> Options) -> Self {
        Self { place: self.place.restarted_with(change), token: self.token }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.hub.address()
    }

    pub(crate) fn admin(&self) -> String {
        token(&self.place, &["read", "write", "admin"], &[])
    }

    /// A call below `/v1/databases/-/ops`.
    pub(crate) fn v1(&self, method: &str, rest: &str, body: &str) -> Response {
        self.v1_as(&self.token, method, rest, body)
    }

    pub(crate) fn v1_as(&self, token: &str, method: &str, rest: &str, body: &str) -> Response {
        self.call_as(token, method, &format!("/v1/databases/-/ops{rest}"), body)
    }

    pub(crate) fn call_as(&self, token: &str, method: &str, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {token}");
        http::send(self.address(), method, path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
    }

    /// A push of Ferry ops; its answer.
    #[track_caller]
    pub(crate) fn push(&self, origin: &str, ops: &[Value]) -> Value {
        let answer = self.v1("POST", "", &batch(origin, ops));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The same, all of whose ops are accepted.
    #[track_caller]
    pub(crate) fn accepted(&self, origin: &str, ops: &[Value]) -> Value {
        let answer = self.push(origin, ops);
        let all = answer["results"].as_array().unwrap().iter().all(|result| result["status"] == "accepted");
        assert!(all, "{answer}");
        answer
    }

    /// A page of the log.
    #[track_caller]
    pub(crate) fn page(&self, query: &str) -> Value {
        let answer = self.v1("GET", query, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The whole log from a cursor on, page by page; each op its number and JSON.
    #[track_caller]
    pub(crate) fn log_from(&self, after: u64, query: &str) -> Vec<(u64, Value)> {
        let (mut ops, mut after) = (Vec::new(), after);
        loop {
            let page = self.page(&format!("?after_seq={after}{query}"));
            for op in page["ops"].as_array().unwrap() {
                ops.push((op["seq"].as_u64().unwrap(), op["op"].clone()));
            }
            after = page["next"].as_u64().unwrap();
            if page["has_more"] != json!(true) {
                return ops;
            }
        }
    }

    /// Ids of the ops in the log, in the order of arrival.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.log_from(0, "").iter().map(|(_, op)| text(&op["id"])).collect()
    }

    pub(crate) fn stream(&self, query: &str) -> EventStream {
        self.stream_as(&self.token, query)
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    pub(crate) fn stream_as(&self, token: &str, query: &str) -> Result<EventStream, Response> {
        let bearer = format!("Bearer {token}");
        let path = format!("/v1/databases/-/ops/live{query}");
        EventStream::open(self.address(), &path, &[("Authorization", &bearer)])
    }

    pub(crate) fn hephd(&self, rule: CursorRule) -> HephdClient {
        HephdClient::new(self.address(), "", &self.token, rule)
    }

    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = http::send(self.address(), "GET", "/metrics", &[], b"").unwrap().text();
        let line =
            metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }
}

/// A token of the place's database for ops.
pub(crate) fn token(place: &Place, ops: &[&str], caveats: &[&str]) -> String {
    token_for(place, ops, caveats, 3600)
}

pub(crate) fn token_for(place: &Place, ops: &[&str], caveats: &[&str], ttl_seconds: i64) -> String {
    let request = json!({
        "databaseId": place.database, "models": ["ops"], "ops": ops, "caveats": caveats,
        "ttlSeconds": ttl_seconds,
    });
    place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned()
}

/// The body of a push.
pub(crate) fn batch(origin: &str, ops: &[Value]) -> String {
    json!({"origin": origin, "ops": ops}).to_string()
}

/// A time so many milliseconds behind the examples'.
pub(crate) fn hlc(at_ms: u64, counter: u16, origin: &str) -> String {
    format!("{:012x}-{counter:04x}-{origin}", T_MS + at_ms)
}

/// A write of a scalar.
pub(crate) fn set(id: &str, hlc: &str, entity: &str, field: &str, value: &Value, base: &[&str]) -> Value {
    let origin = &hlc[18..];
    json!({"v": 1, "id": id, "hlc": hlc, "origin": origin, "kind": "set", "entity": entity, "field": field,
        "value": value, "base": base})
}

/// A deletion.
pub(crate) fn tombstone(id: &str, hlc: &str, entity: &str, base: &[&str]) -> Value {
    let origin = &hlc[18..];
    json!({"v": 1, "id": id, "hlc": hlc, "origin": origin, "kind": "tombstone", "entity": entity, "base": base})
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// The statuses of a push's results.
pub(crate) fn statuses(answer: &Value) -> Vec<String> {
    answer["results"].as_array().unwrap().iter().map(|result| text(&result["status"])).collect()
}

/// The codes of a push's results; empty where there is none.
pub(crate) fn codes(answer: &Value) -> Vec<String> {
    let code = |result: &Value| result["code"].as_str().unwrap_or("").to_owned();
    answer["results"].as_array().unwrap().iter().map(code).collect()
}
