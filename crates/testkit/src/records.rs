//! Clients of the records wire: an event stream and a notification socket, blocking, as the wire has them.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{
    self, Message, WebSocket,
    client::{IntoClientRequest as _, client_with_config},
};

use crate::{
    http,
    wait::{self, Deadline},
};

/// Longest one read blocks.
const READ_AT_MOST: Duration = Duration::from_millis(50);

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its `event`.
    pub name: String,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// Its `data`.
    pub data: Value,
}

/// An open event stream.
#[derive(Debug)]
pub struct EventStream {
    reader: BufReader<TcpStream>,
    /// Headers of the answer, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl EventStream {
    /// Opens `path`.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, http::Response> {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = http::connect(address).expect("the hub is reachable");
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut reader = BufReader::new(stream);
        let status = line(&mut reader).expect("an answer");
        let mut found = Vec::new();
        loop {
            let text = line(&mut reader).expect("headers");
            if text.is_empty() {
                break;
            }
            let (name, value) = text.split_once(':').expect("a header");
            found.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if status.contains(" 200 ") {
            return Ok(Self { reader, headers: found });
        }
        Err(http::send(address, "GET", path, headers, b"").expect("the refusal"))
    }

    /// The next event but heartbeats and comments; `None` at the end of the stream.
    pub fn event(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, None);
        let deadline = Deadline::of("an event, between heartbeats alone,");
        loop {
            deadline.check();
            let text = self.line()?;
            if text.is_empty() {
                if let Some(data) = data.take() {
                    if name != "heartbeat" {
                        return Some(Event { name, id, data });
                    }
                    (name, id) = (String::new(), None);
                }
            } else if let Some(value) = text.strip_prefix("event: ") {
                value.clone_into(&mut name);
            } else if let Some(value) = text.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = text.strip_prefix("data: ") {
                data = Some(serde_json::from_str(value).expect("data is JSON"));
            }
        }
    }

    /// The next raw line of the stream.
    pub fn line(&mut self) -> Option<String> {
        loop {
            let text = line(&mut self.reader)?;
            // A chunk's length stands on a line of its own, before and after a line end that is not the stream's.
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                if text == "0" {
                    return None;
                }
                continue;
            }
            return Some(text);
        }
    }

    /// Ends the connection without a close.
    pub fn cut(self) {
        let _ = self.reader.get_ref().shutdown(std::net::Shutdown::Both);
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    match reader.read_line(&mut text) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

/// What the hub said on a notification socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A message.
    Message(Value),
    /// It closed the socket with this code.
    Closed(u16),
    /// The connection ended without a close.
    Lost,
    /// Nothing within the read timeout.
    Nothing,
}

/// An open notification socket.
#[derive(Debug)]
pub struct NewsSocket(WebSocket<TcpStream>);

impl NewsSocket {
    /// Opens `path` with these headers.
    ///
    /// # Panics
    /// If the hub refuses it.
    #[must_use]
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = format!("ws://{address}{path}").into_client_request().expect("the URL is one");
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().expect("a header name");
            request.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        let stream = http::connect(address).expect("the hub is reachable");
        Self(client_with_config(request, stream, None).expect("the hub upgrades").0)
    }

    /// Sends a message.
    ///
    /// # Panics
    /// If the connection is lost.
    pub fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).expect("the message is sent");
    }

    /// Sends a frame as it is.
    ///
    /// # Panics
    /// If the connection is lost.
    pub fn send_raw(&mut self, message: Message) {
        self.0.send(message).expect("the frame is sent");
    }

    /// What the hub says next, within `limit`.
    ///
    /// # Panics
    /// If the hub sends no JSON.
    pub fn next_within(&mut self, limit: Duration) -> Said {
        // Pings arrive for ever, so that the wait as a whole is bounded and not each read.
        self.0.get_ref().set_read_timeout(Some(READ_AT_MOST)).expect("the socket takes a timeout");
        wait::within(limit, || self.read()).unwrap_or(Said::Nothing)
    }

    fn read(&mut self) -> Option<Said> {
        match self.0.read() {
            Ok(Message::Text(text)) => {
                Some(Said::Message(serde_json::from_str(&text).expect("a message is JSON")))
            }
            Ok(Message::Close(frame)) => Some(Said::Closed(frame.map_or(1005, |frame| frame.code.into()))),
            Ok(_) => None,
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                None
            }
            Err(_) => Some(Said::Lost),
        }
    }

    /// What the hub says next.
    pub fn said(&mut self) -> Said {
        self.next_within(Duration::from_secs(60))
    }
}
