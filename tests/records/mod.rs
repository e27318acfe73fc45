//! Record sync over the wire of compatible clients, and over Ferry's own.

mod api;
mod billing;
mod byte_budget;
mod clocks;
mod collections;
mod crash;
mod database_per_user;
mod device;
mod diverged;
mod edit_delete_conflicts;
mod faults;
mod first_write;
mod large_pushes;
mod many_devices;
mod many_fields;
mod merge;
mod owners;
mod page_boundaries;
mod restored_hub;
mod rights;
mod routes;
mod socket;
mod stream;
mod user_switch;
mod wire;

use ferry_testkit::{
    Hub, Session,
    http::{self, Response},
    records::{EventStream, NewsSocket, Said},
};
use serde_json::{Value, json};

use crate::support::{Place, hub, options};
use ferry_testkit::hub::Options;

pub(crate) const T: &str = "2026-01-01T10:00:00.000Z";

/// A user's database, and a token that reads and writes its records.
pub(crate) struct Records {
    pub(crate) place: Place,
    pub(crate) token: String,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self::of(hub())
    }

    pub(crate) fn with(settings: &[&str]) -> Self {
        Self::of(settings.iter().fold(options(), |options, setting| options.arg(*setting)).start())
    }

    pub(crate) fn of(hub: Hub) -> Self {
        Self::at(Place::of(hub))
    }

    pub(crate) fn at(place: Place) -> Self {
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

    /// Starts the hub again with its clock so far from the true one, and logs in anew, since sessions and tokens may
    /// be over.
    pub(crate) fn with_clock_ahead(self, days: i64) -> Self {
        let clock_ms = days * 24 * 3600 * 1000;
        let mut records = self.restarted_with(|options| options.fault(format!("clock={clock_ms}")));
        records.place.user = Session::login(records.address(), &records.place.user.email);
        records.token = token(&records.place, &["read", "write"], &[]);
        records
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.place.hub.address()
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub(crate) fn call(&self, method: &str, path: &str, client: &str, body: &str) -> Response {
        self.call_as(&self.token, method, path, client, body)
    }

    pub(crate) fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        client: &str,
        body: &str,
    ) -> Response {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Authorization", &*bearer)];
        if !client.is_empty() {
            headers.push(("X-Client-Id", client));
        }
        http::send(self.address(), method, path, &headers, body.as_bytes()).unwrap()
    }

    /// A push to the app `todo`; its answer.
    #[track_caller]
    pub(crate) fn push(&self, client: &str, since: &str, changes: &Value) -> Value {
        let body = json!({"clientId": client, "since": since, "changes": changes}).to_string();
        let answer = self.call("POST", "/sync/todo", "", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A pull from the app `todo`; its answer.
    #[track_caller]
    pub(crate) fn pull(&self, client: &str, collection: &str, since: &str) -> Value {
        let path = format!("/sync/todo/pull?collection={collection}&since={since}");
        let answer = self.call("GET", &path, client, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Everything of a collection from a cursor: changes, and the cursor behind them.
    pub(crate) fn pull_all(&self, client: &str, collection: &str, since: &str) -> (Vec<Value>, String) {
        let (mut changes, mut since) = (Vec::new(), since.to_owned());
        loop {
            let page = self.pull(client, collection, &since);
            changes.extend(page["serverChanges"].as_array().unwrap().clone());
            since = page["syncedUntil"].as_str().unwrap().to_owned();
            if page["hasMore"] != json!(true) {
                return (changes, since);
            }
        }
    }

    pub(crate) fn stream(&self, query: &str) -> EventStream {
        let bearer = self.bearer();
        EventStream::open(self.address(), &format!("/sync/todo/stream{query}"), &[("Authorization", &bearer)])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    /// A stream that goes on behind an event.
    pub(crate) fn resumed(&self, id: &str) -> EventStream {
        let bearer = self.bearer();
        let headers = [("Authorization", &*bearer), ("Last-Event-ID", id)];
        EventStream::open(self.address(), "/sync/todo/stream?since=", &headers)
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    /// A socket that is let in.
    pub(crate) fn socket(&self, path: &str, client: &str) -> NewsSocket {
        let mut socket = NewsSocket::open(self.address(), path, &[("X-Client-Id", client)]);
        socket.send(&json!({"type": "auth", "token": self.token}));
        assert_eq!(socket.said(), Said::Message(json!({"type": "auth-ok"})));
        socket
    }

    /// A call under `/v1/databases/-/records`.
    pub(crate) fn v1(&self, method: &str, rest: &str, body: &str) -> Response {
        self.call(method, &format!("/v1/databases/-/records{rest}"), "v1", body)
    }
}

/// A token of the place's database for records.
pub(crate) fn token(place: &Place, ops: &[&str], caveats: &[&str]) -> String {
    token_for(place, ops, caveats, 3600)
}

pub(crate) fn token_for(place: &Place, ops: &[&str], caveats: &[&str], ttl_seconds: i64) -> String {
    let request = json!({
        "databaseId": place.database, "models": ["records"], "ops": ops, "caveats": caveats,
        "ttlSeconds": ttl_seconds,
    });
    place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned()
}

pub(crate) fn insert(table: &str, id: &str, title: &str) -> Value {
    json!({"table": table, "id": id, "op": "insert", "data": {"id": id, "title": title, "createdAt": T}})
}

pub(crate) fn update(id: &str, field: &str, value: &Value, at: &str) -> Value {
    json!({"table": "tasks", "id": id, "op": "update", "fields": {field: {"value": value, "at": at}}})
}

/// Ids of the inserts among changes.
pub(crate) fn ids(changes: &[Value]) -> Vec<String> {
    let inserts = changes.iter().filter(|change| change["op"] == "insert");
    inserts.map(|change| change["id"].as_str().unwrap().to_owned()).collect()
}
