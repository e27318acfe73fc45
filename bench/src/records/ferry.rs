//! Devices of the hub's users, as thin as they can be: answers are scanned, not parsed.

use std::{fmt::Write as _, net::SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use crate::beside::http::{self, Connection, Tail};

/// What stands once for each record that is new to a device.
pub(crate) const MARK: &str = r#""op":"insert""#;
/// A cursor before everything.
pub(crate) const EPOCH: &str = "1970-01-01T00:00:00Z";
/// Read buffer of a socket: hundreds stand open at once.
const BUFFER_BYTES: usize = 4 << 10;

/// A device of one user.
pub(crate) struct Device {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) client: String,
}

impl Device {
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> String {
        let headers = format!("Authorization: Bearer {}\r\nX-Client-Id: {}\r\n", self.token, self.client);
        http::request(self.address, method, path, &headers, body)
    }

    /// The request for a page of its records.
    pub(crate) fn pull_request(&self, since: &str) -> String {
        self.request("GET", &format!("/sync/bench/pull?collection=tasks&since={since}"), "")
    }

    /// A stream of its records from the beginning.
    pub(crate) async fn stream(&self) -> Tail {
        let request = self.request("GET", &format!("/sync/bench/stream?collections=tasks&since={EPOCH}"), "");
        Tail::open(Connection::open(self.address).await, &request, MARK).await
    }

    /// A socket that is let in.
    pub(crate) async fn socket(&self) -> Socket {
        let url = format!("ws://{}/ws/bench?clientId={}", self.address, self.client);
        let stream = TcpStream::connect(self.address).await.expect("the hub takes connections");
        stream.set_nodelay(true).expect("the socket takes the option");
        let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(0);
        let request = url.into_client_request().expect("the URL is one");
        let (mut socket, _) =
            client_async_with_config(request, stream, Some(config)).await.expect("the hub upgrades");
        let auth = json!({"type": "auth", "token": self.token}).to_string();
        socket.send(Message::text(auth)).await.expect("the hub reads");
        let mut socket = Socket(socket);
        assert!(socket.text().await.contains("auth-ok"), "the hub lets the device in");
        socket
    }
}

/// A notification socket.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Waits until it is notified of something new.
    pub(crate) async fn next(&mut self) {
        while !self.text().await.contains("sync-available") {}
    }

    async fn text(&mut self) -> String {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(_)) => {}
                other => panic!("the socket ended: {other:?}"),
            }
        }
    }
}

/// A device that pushes.
pub(crate) struct Pusher {
    connection: Connection,
    device: Device,
    since: String,
    /// Records that it has made.
    made: u64,
}

impl Pusher {
    pub(crate) async fn connect(device: Device) -> Self {
        let connection = Connection::open(device.address).await;
        Self { connection, device, since: EPOCH.to_owned(), made: 0 }
    }

    /// Makes so many new records in one push.
    pub(crate) async fn push(&mut self, count: u64) {
        let first = self.made;
        self.made += count;
        let device = self.device.client.clone();
        self.send((first..first + count).map(|number| {
            format!(
                r#"{{"table":"tasks","id":"{device}-{number}","op":"insert","data":{{"id":"{device}-{number}","title":"hello world","done":false,"createdAt":"2026-01-01T10:00:00.000Z"}}}}"#
            )
        }))
        .await;
    }

    /// Edits these of its records, the `edit`th time.
    pub(crate) async fn edit(&mut self, numbers: std::ops::Range<u64>, edit: u64) {
        let device = self.device.client.clone();
        self.send(numbers.map(|number| {
            format!(
                r#"{{"table":"tasks","id":"{device}-{number}","op":"update","fields":{{"title":{{"value":"hello for the {edit}th time","at":"2026-01-01T11:00:{edit:02}.000Z"}}}}}}"#
            )
        }))
        .await;
    }

    async fn send(&mut self, changes: impl Iterator<Item = String>) {
        let mut body =
            format!(r#"{{"clientId":"{}","since":"{}","changes":["#, self.device.client, self.since);
        for (place, change) in changes.enumerate() {
            let _ = write!(body, "{}{change}", if place == 0 { "" } else { "," });
        }
        body.push_str("]}");
        let request = self.device.request("POST", "/sync/bench", &body);
        let (status, answer) = self.connection.ask(&request).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(status, 200, "the push was refused: {answer}");
        cursor(&answer).clone_into(&mut self.since);
    }
}

/// The cursor of an answer; it stands at the end.
pub(crate) fn cursor(answer: &str) -> &str {
    let behind = answer.rsplit_once(r#""syncedUntil":""#).expect("an answer has a cursor").1;
    behind.split_once('"').expect("a cursor ends").0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stands_at_the_end() {
        let answer = "{\"serverChanges\":[{\"value\":\"\\\"syncedUntil\\\":\"}],\"conflicts\":[],\"syncedUntil\":\"2026Z\"}\n";
        assert_eq!(cursor(answer), "2026Z");
    }
}
