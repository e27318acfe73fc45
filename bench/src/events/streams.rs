//! A client of the Durable Streams protocol over HTTP/1.1 (durable-streams.com): create, append, tail by SSE. JSON
//! mode, in which a body that is an array is as many messages.

use std::net::SocketAddr;

use crate::beside::http::{self, Connection, Tail};

/// One message: the payload of the events of the other cells.
const MESSAGE: &str = r#"{"id":"x1","text":"hello world"}"#;
/// What stands once in each.
const MARK: &str = r#""id":"x1""#;

/// A connection that appends to one stream.
pub(crate) struct Appender {
    connection: Connection,
    address: SocketAddr,
    path: String,
}

impl Appender {
    /// Connects and creates the stream.
    pub(crate) async fn connect(address: SocketAddr, stream: &str) -> Self {
        let (mut connection, path) = (Connection::open(address).await, format!("/{stream}"));
        let (status, _) = connection.ask(&http::request(address, "PUT", &path, "", "")).await;
        assert!(matches!(status, 200 | 201), "the stream was not created: {status}");
        Self { connection, address, path }
    }

    /// Appends `count` messages in one request and waits for the answer.
    pub(crate) async fn append(&mut self, count: u64) {
        let messages: Vec<&str> = (0..count).map(|_| MESSAGE).collect();
        let body = if count == 1 { MESSAGE.to_owned() } else { format!("[{}]", messages.join(",")) };
        let request = http::request(self.address, "POST", &self.path, "", &body);
        let (status, _) = self.connection.ask(&request).await;
        assert!((200..300).contains(&status), "the append was refused: {status}");
    }
}

/// A live read of one stream from its beginning.
pub(crate) async fn tail(address: SocketAddr, stream: &str) -> Tail {
    let path = format!("/{stream}?offset=-1&live=sse");
    Tail::open(Connection::open(address).await, &http::request(address, "GET", &path, "", ""), MARK).await
}
