//! Event sync over LiveStore's wire, by raw frames.

mod admin;
mod api;
mod api_stream;
mod auth;
mod bad_input;
mod byte_budget;
mod clients_ahead;
mod connections;
mod crash;
mod credentials;
mod database_per_store;
mod first_layout;
mod flow_control;
mod hold;
mod hooks;
mod http;
mod jwt_stores;
mod pull;
mod push;
mod refused_clients;
mod round_trip;
mod routes;

use ferry_testkit::{
    Hub,
    livestore::{LiveSocket, path},
};
use serde_json::{Value, json};

use crate::support::{Place, hub, options};

/// A user's database, and a token that reads and writes its events.
pub(crate) struct Stores {
    pub(crate) place: Place,
    pub(crate) token: String,
}

impl Stores {
    pub(crate) fn new() -> Self {
        Self::of(hub())
    }

    pub(crate) fn with(setting: &str) -> Self {
        Self::of(options().arg(setting).start())
    }

    pub(crate) fn of(hub: Hub) -> Self {
        Self::at(Place::of(hub))
    }

    pub(crate) fn at(place: Place) -> Self {
        let token = token(&place, &["read", "write"]);
        Self { place, token }
    }

    pub(crate) fn restarted(self) -> Self {
        Self { place: self.place.restarted(), token: self.token }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.place.hub.address()
    }

    /// A socket to `store`.
    pub(crate) fn open(&self, store: &str) -> LiveSocket {
        let bearer = format!("Bearer {}", self.token);
        LiveSocket::open(self.address(), &path(store, "ws"), store, &[("Authorization", &bearer)])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    /// A call over HTTP.
    pub(crate) fn post(&self, store: &str, body: &Value) -> ferry_testkit::http::Response {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let path = path(store, "http");
        ferry_testkit::http::send(self.address(), "POST", &path, &headers, body.to_string().as_bytes())
            .unwrap()
    }
}

/// A token of the place's database for events.
pub(crate) fn token(place: &Place, ops: &[&str]) -> String {
    token_for(place, ops, &[], 3600)
}

pub(crate) fn token_for(place: &Place, ops: &[&str], caveats: &[&str], ttl_seconds: i64) -> String {
    let request = json!({
        "databaseId": place.database, "models": ["events"], "ops": ops, "caveats": caveats,
        "ttlSeconds": ttl_seconds,
    });
    let answer = place.user.ferry("IssueSyncToken", &request).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// Id of dialect A.
pub(crate) fn a(id: u32) -> Value {
    json!(id.to_string())
}

/// Id of dialect B.
pub(crate) fn b(id: u32) -> Value {
    json!(id)
}
