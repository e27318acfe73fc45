//! Connect calls as JSON over plain HTTP, and a signed-up user.

use std::net::SocketAddr;

use base64::Engine as _;
use buffa::Message as _;
use ferry_protocol::rpc::ferry::admin::v1::ErrorInfo;
use serde_json::{Value, json};

use crate::http;

/// EdgeReplica's service.
pub const EDGEREPLICA: &str = "edgereplica.admin.v1.AdminService";
/// Ferry's service.
pub const FERRY: &str = "ferry.admin.v1.AdminService";
/// The password of every test user.
pub const PASSWORD: &str = "correct horse battery staple";

/// Direction of a sync token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Write.
    Push,
    /// Read.
    Pull,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "DIRECTION_PUSH",
            Self::Pull => "DIRECTION_PULL",
        }
    }
}

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Connect code.
    pub code: String,
    /// What people read.
    pub message: String,
    /// Stable word of `ErrorInfo`; empty if the answer carries none.
    pub reason: String,
    /// Advice of `ErrorInfo`.
    pub retry_after_ms: u64,
    /// Request id of `ErrorInfo`.
    pub request_id: String,
}

/// One Connect call with JSON.
///
/// # Errors
/// What the hub refused.
///
/// # Panics
/// If the hub cannot be reached or answers something that is no Connect JSON.
pub fn call(
    address: SocketAddr,
    service: &str,
    method: &str,
    request: &Value,
    bearer: Option<&str>,
) -> Result<Value, Refusal> {
    let authorization = bearer.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json"), ("Connect-Protocol-Version", "1")];
    if let Some(value) = &authorization {
        headers.push(("Authorization", value));
    }
    post(address, service, method, request, &headers)
}

/// One call of EdgeReplica's service that comes, as a trusted proxy says, from `ip`.
///
/// # Errors
/// What the hub refused.
///
/// # Panics
/// As [`call`].
pub fn call_from(ip: &str, address: SocketAddr, method: &str, request: &Value) -> Result<Value, Refusal> {
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", ip)];
    post(address, EDGEREPLICA, method, request, &headers)
}

fn post(
    address: SocketAddr,
    service: &str,
    method: &str,
    request: &Value,
    headers: &[(&str, &str)],
) -> Result<Value, Refusal> {
    let path = format!("/{service}/{method}");
    let body = request.to_string();
    let response = http::send(address, "POST", &path, headers, body.as_bytes())
        .unwrap_or_else(|error| panic!("{method}: {error}"));
    answer(&response)
}

/// The meaning of a Connect JSON answer.
///
/// # Errors
/// What the hub refused.
///
/// # Panics
/// If the answer is no Connect JSON.
pub fn answer(response: &http::Response) -> Result<Value, Refusal> {
    let body = response.json();
    if response.status == 200 {
        return Ok(body);
    }
    let text = |key: &str| body[key].as_str().unwrap_or("").to_owned();
    let mut refusal = Refusal {
        status: response.status,
        code: text("code"),
        message: text("message"),
        reason: String::new(),
        retry_after_ms: 0,
        request_id: String::new(),
    };
    for detail in body["details"].as_array().into_iter().flatten() {
        if detail["type"] == "ferry.admin.v1.ErrorInfo" {
            let value = detail["value"].as_str().expect("a detail has a value").trim_end_matches('=');
            let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(value).expect("base64");
            let info = ErrorInfo::decode_from_slice(&bytes).expect("the detail is an ErrorInfo");
            refusal.reason = info.reason;
            refusal.retry_after_ms = info.retry_after_ms;
            refusal.request_id = info.request_id;
        }
    }
    Err(refusal)
}

/// A signed-up user of a hub.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where the hub listens.
    pub address: SocketAddr,
    /// The session token.
    pub token: String,
    /// The user's e-mail.
    pub email: String,
}

impl Session {
    /// Signs up `email` with [`PASSWORD`].
    ///
    /// # Panics
    /// If the hub refuses.
    pub fn signup(address: SocketAddr, email: &str) -> Self {
        Self::enter(address, "Signup", email)
    }

    /// Logs in `email` with [`PASSWORD`].
    ///
    /// # Panics
    /// If the hub refuses.
    #[must_use]
    pub fn login(address: SocketAddr, email: &str) -> Self {
        Self::enter(address, "Login", email)
    }

    fn enter(address: SocketAddr, method: &str, email: &str) -> Self {
        let request = json!({"email": email, "password": PASSWORD});
        let answer = call(address, EDGEREPLICA, method, &request, None)
            .unwrap_or_else(|refusal| panic!("{method} of {email}: {refusal:?}"));
        let token = answer["sessionToken"].as_str().expect("a session token").to_owned();
        Self { address, token, email: email.to_owned() }
    }

    /// The same session at a hub that was started again elsewhere.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// A call of Ferry's service.
    ///
    /// # Errors
    /// What the hub refused.
    pub fn ferry(&self, method: &str, request: &Value) -> Result<Value, Refusal> {
        call(self.address, FERRY, method, request, Some(&self.token))
    }

    /// A call of EdgeReplica's service.
    ///
    /// # Errors
    /// What the hub refused.
    pub fn edgereplica(&self, method: &str, request: &Value) -> Result<Value, Refusal> {
        call(self.address, EDGEREPLICA, method, request, Some(&self.token))
    }

    /// Creates a database and gives its id.
    ///
    /// # Panics
    /// If the hub refuses.
    pub fn create_database(&self, name: &str) -> String {
        let answer =
            self.edgereplica("CreateDatabase", &json!({"name": name})).expect("the database is created");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// Mints a sync token.
    ///
    /// # Panics
    /// If the hub refuses.
    #[must_use]
    pub fn sync_token(&self, database: &str, direction: Direction) -> String {
        let request = json!({"databaseId": database, "direction": direction.as_str()});
        let answer = self.edgereplica("IssueSyncToken", &request).expect("the token is minted");
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// What `GetDatabase` answers.
    ///
    /// # Panics
    /// If the hub refuses.
    #[must_use]
    pub fn database(&self, database: &str) -> Value {
        self.ferry("GetDatabase", &json!({"database": database})).expect("the database exists")
    }

    /// The newest version of a replica.
    ///
    /// # Panics
    /// If the hub refuses.
    #[must_use]
    pub fn seq(&self, database: &str) -> u64 {
        self.database(database)["seq"].as_str().map_or(0, |text| text.parse().expect("seq is a number"))
    }
}
