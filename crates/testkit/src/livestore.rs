//! A client of LiveStore's wire, blocking, that sends and shows raw frames.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    self, Message, WebSocket,
    client::{IntoClientRequest, client_with_config},
    protocol::WebSocketConfig,
};

use crate::{http, socket::upgrade, wait::Deadline};

/// What the hub said next.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A frame.
    Frame(Value),
    /// It closed the socket with this code.
    Closed(u16),
    /// The connection ended without a close.
    Lost(String),
    /// Nothing within the read timeout.
    Nothing,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Success, with its value.
    Success(Value),
    /// The error of a `Fail`.
    Fail(Value),
    /// The text of a `Die`.
    Die(String),
}

impl Outcome {
    /// `payload.code` of an `UnknownError`, or the tag of another error.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Success(_) => "success".to_owned(),
            Self::Die(_) => "die".to_owned(),
            Self::Fail(error) => match error["_tag"].as_str() {
                Some("UnknownError") => error["payload"]["code"].as_str().unwrap_or("none").to_owned(),
                other => other.unwrap_or("none").to_owned(),
            },
        }
    }
}

/// A page of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The events as they were encoded, without their metadata.
    pub events: Vec<Value>,
    /// Times of their commits.
    pub created_at: Vec<String>,
    /// Number of events that follow; 0: `NoMore`.
    pub remaining: u64,
    /// The store's identity.
    pub backend_id: String,
}

impl Page {
    /// A page as the wire has it.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let batch = value["batch"].as_array().unwrap_or_else(|| panic!("no batch in {value}"));
        let time = |event: &Value| {
            event["metadata"]["value"]["createdAt"].as_str().expect("a time of commit").to_owned()
        };
        let remaining = match value["pageInfo"]["_tag"].as_str() {
            Some("NoMore") => 0,
            Some("MoreKnown") => value["pageInfo"]["remaining"].as_u64().expect("a number remains"),
            other => panic!("pageInfo {other:?}"),
        };
        Self {
            events: batch.iter().map(|event| event["eventEncoded"].clone()).collect(),
            created_at: batch.iter().map(time).collect(),
            remaining,
            backend_id: value["backendId"].as_str().expect("a backendId").to_owned(),
        }
    }

    /// Numbers of the events.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        numbers(&self.events)
    }
}

/// Numbers of events.
///
/// # Panics
/// If one has none.
#[must_use]
pub fn numbers(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["seqNum"].as_i64().expect("a seqNum")).collect()
}

/// An event as a client makes it.
#[must_use]
pub fn event(seq_num: i64, parent: i64) -> Value {
    json!({
        "name": "v1.TodoCreated", "args": {"id": format!("t{seq_num}"), "text": "hello world"},
        "seqNum": seq_num, "parentSeqNum": parent, "clientId": "client-a", "sessionId": "session-a",
    })
}

/// `count` events behind `head`.
#[must_use]
pub fn chain(head: i64, count: i64) -> Vec<Value> {
    (head..head + count).map(|parent| event(parent + 1, parent)).collect()
}

/// Path and query of a store at the hub's root.
#[must_use]
pub fn path(store: &str, transport: &str) -> String {
    format!("/?storeId={}&transport={transport}", percent(store))
}

/// `text` with every byte but letters and digits percent-encoded.
#[must_use]
pub fn percent(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

/// Payload of a Pull or Push; `cursor` and `backend`: LiveStore's Options.
fn option(value: Option<Value>) -> Value {
    value.map_or_else(|| json!({"_tag": "None"}), |value| json!({"_tag": "Some", "value": value}))
}

/// A request frame.
#[must_use]
pub fn request(id: &Value, tag: &str, payload: &Value) -> Value {
    json!({"_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": [],
           "traceId": "livestore-noop-trace-x", "spanId": "y", "sampled": false})
}

/// Payload of a Pull.
#[must_use]
pub fn pull_payload(store: &str, live: bool, cursor: Option<(&str, i64)>) -> Value {
    let cursor = cursor.map(|(id, at)| json!({"backendId": id, "eventSequenceNumber": at}));
    json!({"storeId": store, "live": live, "cursor": option(cursor)})
}

/// Payload of a Push.
#[must_use]
pub fn push_payload(store: &str, batch: &[Value], backend: Option<&str>) -> Value {
    json!({"storeId": store, "batch": batch, "backendId": option(backend.map(Value::from))})
}

/// The outcome in an Exit frame, checked against the dialect that its id names.
///
/// # Panics
/// If the frame has the shape of the other dialect.
#[must_use]
pub fn outcome(frame: &Value) -> Outcome {
    let (exit, is_b) = (&frame["exit"], frame["requestId"].is_number());
    match exit["_tag"].as_str() {
        Some("Success") => {
            let has_value = exit.get("value").is_some();
            assert!(has_value || !is_b, "dialect B always has a value: {frame}");
            Outcome::Success(exit["value"].clone())
        }
        Some("Failure") => {
            let cause = if is_b { &exit["cause"][0] } else { &exit["cause"] };
            match cause["_tag"].as_str() {
                Some("Fail") => Outcome::Fail(cause["error"].clone()),
                Some("Die") => Outcome::Die(cause["defect"].as_str().expect("a text").to_owned()),
                other => panic!("a cause {other:?} in {frame}"),
            }
        }
        other => panic!("an exit {other:?} in {frame}"),
    }
}

/// An open socket to one store.
#[derive(Debug)]
pub struct LiveSocket {
    inner: WebSocket<TcpStream>,
    /// Which store.
    pub store: String,
}

impl LiveSocket {
    /// Opens `path` with these headers; `store` is what its frames will name.
    ///
    /// # Errors
    /// The hub's refusal, with its body.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn open(
        address: SocketAddr,
        path: &str,
        store: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, http::Response> {
        let mut request = format!("ws://{address}{path}").into_client_request().expect("the URL is one");
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().expect("a header name");
            request.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        let stream = http::connect(address).expect("the hub is reachable");
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match client_with_config(request, stream, Some(config)) {
            Ok((inner, _)) => Ok(Self { inner, store: store.to_owned() }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(_))) => {
                Err(upgrade(address, path, headers))
            }
            Err(other) => panic!("the WebSocket handshake failed: {other}"),
        }
    }

    /// How long [`Self::next`] waits.
    ///
    /// # Panics
    /// If the operating system refuses.
    pub fn set_read_timeout(&self, limit: Duration) {
        self.inner.get_ref().set_read_timeout(Some(limit)).expect("the socket takes a timeout");
    }

    /// The connection below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.inner.get_ref()
    }

    /// Sends a frame; what the hub thinks of it shows in [`Self::next`].
    pub fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string());
    }

    /// Sends a text of any content.
    pub fn send_text(&mut self, text: &str) {
        // A hub that closed already: its answer is still to be read.
        let _ = self.inner.send(Message::text(text));
    }

    /// Sends a binary frame.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.inner.send(Message::binary(bytes.to_vec()));
    }

    /// Acknowledges a Chunk.
    pub fn ack(&mut self, id: &Value) {
        self.send(&json!({"_tag": "Ack", "requestId": id}));
    }

    /// Opens a Pull.
    pub fn pull(&mut self, id: &Value, live: bool, cursor: Option<(&str, i64)>) {
        let payload = pull_payload(&self.store, live, cursor);
        self.send(&request(id, "SyncWsRpc.Pull", &payload));
    }

    /// Sends a Push without waiting.
    pub fn begin_push(&mut self, id: &Value, batch: &[Value], backend: Option<&str>) {
        let payload = push_payload(&self.store, batch, backend);
        self.send(&request(id, "SyncWsRpc.Push", &payload));
    }

    /// Sends a Push and waits for its outcome; Chunks that come before it are acknowledged and dropped.
    ///
    /// # Panics
    /// If the connection ends instead.
    pub fn push(&mut self, id: &Value, batch: &[Value]) -> Outcome {
        self.begin_push(id, batch, None);
        self.exit_of(id)
    }

    /// What the hub says next; Pings are answered on the way.
    #[expect(clippy::should_implement_trait, reason = "a socket is read, not iterated")]
    pub fn next(&mut self) -> Said {
        let deadline = Deadline::of("a frame, between Pings alone,");
        loop {
            deadline.check();
            match self.inner.read() {
                Ok(Message::Text(text)) => {
                    return Said::Frame(
                        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
                    );
                }
                Ok(Message::Close(close)) => {
                    let code = close.map_or(1005, |frame| frame.code.into());
                    let _ = self.inner.flush();
                    return Said::Closed(code);
                }
                Ok(Message::Binary(_)) => panic!("the hub sent a binary frame"),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    return Said::Nothing;
                }
                Err(error) => return Said::Lost(error.to_string()),
            }
        }
    }

    /// The next text frame exactly as it came.
    ///
    /// # Panics
    /// If the connection ends instead.
    pub fn next_text(&mut self) -> String {
        let deadline = Deadline::of("a text frame, between Pings alone,");
        loop {
            deadline.check();
            match self.inner.read() {
                Ok(Message::Text(text)) => return text.to_string(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?} instead of a frame"),
            }
        }
    }

    /// The next frame.
    ///
    /// # Panics
    /// If the connection ends instead.
    pub fn frame(&mut self) -> Value {
        match self.next() {
            Said::Frame(frame) => frame,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// The next page for Pull `id`, acknowledged.
    ///
    /// # Panics
    /// If another frame comes instead.
    pub fn page(&mut self, id: &Value) -> Page {
        let page = self.unacked_page(id);
        self.ack(id);
        page
    }

    /// The next page for Pull `id`, not acknowledged.
    ///
    /// # Panics
    /// If another frame comes instead.
    pub fn unacked_page(&mut self, id: &Value) -> Page {
        let frame = self.frame();
        assert_eq!((&frame["_tag"], &frame["requestId"]), (&json!("Chunk"), id), "{frame}");
        let values = frame["values"].as_array().expect("values is a list");
        assert_eq!(values.len(), 1, "one page per Chunk");
        Page::of(&values[0])
    }

    /// The outcome of call `id`; Chunks before it are acknowledged and dropped.
    ///
    /// # Panics
    /// If the connection ends instead.
    pub fn exit_of(&mut self, id: &Value) -> Outcome {
        let deadline = Deadline::of("the Exit of a call");
        loop {
            deadline.check();
            let frame = self.frame();
            if frame["_tag"] == "Chunk" {
                let chunk_id = frame["requestId"].clone();
                self.ack(&chunk_id);
            } else if frame["_tag"] == "Exit" && frame["requestId"] == *id {
                return outcome(&frame);
            }
        }
    }

    /// Everything a Pull yields up to and including the first `NoMore` page, acknowledged.
    ///
    /// # Panics
    /// If the connection ends before.
    pub fn history(&mut self, id: &Value) -> Vec<Page> {
        let mut pages = Vec::new();
        let deadline = Deadline::of("the last page of a Pull");
        loop {
            deadline.check();
            let page = self.page(id);
            let is_last = page.remaining == 0;
            pages.push(page);
            if is_last {
                return pages;
            }
        }
    }

    /// Reads up to the close and gives its code; frames before it are dropped. 1006: the connection was lost.
    ///
    /// # Panics
    /// If nothing comes for the read timeout.
    pub fn closed(&mut self) -> u16 {
        let deadline = Deadline::of("the end of a socket that goes on sending");
        loop {
            deadline.check();
            match self.next() {
                Said::Closed(code) => return code,
                Said::Lost(_) => return 1006,
                Said::Frame(_) => {}
                Said::Nothing => panic!("the hub does not close the socket"),
            }
        }
    }

    /// Ends the connection as a killed program does.
    pub fn cut(self) {
        let _ = self.inner.get_ref().shutdown(std::net::Shutdown::Both);
    }
}
