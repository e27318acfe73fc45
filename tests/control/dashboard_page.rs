//! The dashboard's page as the hub sees it: a cookie, and what only the page sends.

use std::net::SocketAddr;

use ferry_testkit::{
    Hub,
    http::{self, Response},
    rpc::{PASSWORD, Refusal, answer},
};
use serde_json::{Value, json};

/// Somebody who is signed in on a page.
pub(crate) struct DashboardPage {
    address: SocketAddr,
    cookie: String,
    /// How long the browser keeps the cookie, as the hub says.
    pub(crate) max_age: String,
}

fn ask(address: SocketAddr, (verb, path): (&str, &str), cookie: &str, message: &Value) -> Response {
    let origin = format!("http://{address}");
    let headers = [
        ("Content-Type", "application/json"),
        ("Ferry-Dashboard", "1"),
        ("Origin", &origin),
        ("Cookie", cookie),
    ];
    let body = if verb == "GET" { String::new() } else { message.to_string() };
    http::send(address, verb, &format!("/_/api{path}"), &headers, body.as_bytes()).unwrap()
}

fn path_of(method: &str) -> String {
    format!("/ferry.admin.v1.AdminService/{method}")
}

impl DashboardPage {
    /// Signs in, or up, by this call.
    pub(crate) fn try_enter(hub: &Hub, method: &str, message: &Value) -> Result<Self, Refusal> {
        let response = ask(hub.address(), ("POST", &path_of(method)), "", message);
        let line = response.header("set-cookie").unwrap_or_default().to_owned();
        answer(&response)?;
        let mut parts = line.split("; ");
        let cookie = parts.next().unwrap_or_default().to_owned();
        let max_age = parts.find_map(|part| part.strip_prefix("Max-Age=")).unwrap_or_default().to_owned();
        assert!(cookie.starts_with("ferry="), "{line}");
        Ok(Self { address: hub.address(), cookie, max_age })
    }

    /// Logs `email` in.
    pub(crate) fn login(hub: &Hub, email: &str) -> Self {
        let message = json!({"email": email, "password": PASSWORD, "label": "dashboard"});
        Self::try_enter(hub, "Login", &message).unwrap()
    }

    /// What the cookie holds, as a thief would use it.
    pub(crate) fn cookie_value(&self) -> String {
        self.cookie.strip_prefix("ferry=").unwrap().to_owned()
    }

    /// A call of the admin service.
    pub(crate) fn rpc(&self, method: &str, message: &Value) -> Result<Value, Refusal> {
        answer(&ask(self.address, ("POST", &path_of(method)), &self.cookie, message))
    }

    /// A write of another path.
    pub(crate) fn post(&self, path: &str, message: &Value) -> Response {
        ask(self.address, ("POST", path), &self.cookie, message)
    }

    /// A read of another path.
    pub(crate) fn get(&self, path: &str) -> Response {
        ask(self.address, ("GET", path), &self.cookie, &Value::Null)
    }
}
