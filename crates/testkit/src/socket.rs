//! A WebSocket to the hub, blocking, that sends and shows raw frames.

use std::{
    io::BufReader,
    io::Write,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio_tungstenite::tungstenite::{
    self, Message, WebSocket,
    client::{IntoClientRequest, client_with_config},
    protocol::WebSocketConfig,
};

use crate::{frames::Frame, http, wait::Deadline};

/// What the hub said next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame of the wire.
    Frame(Frame),
    /// It closed the socket.
    Closed {
        /// WebSocket close code; 1005: none.
        code: u16,
        /// Close reason.
        reason: String,
    },
    /// The connection ended without a close.
    Lost(String),
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    inner: WebSocket<TcpStream>,
    /// Bytes of the messages sent and received, without WebSocket headers.
    moved: Moved,
}

/// Bytes that a session moved in each direction, as messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// From the client to the hub.
    pub up: u64,
    /// From the hub to the client.
    pub down: u64,
}

impl Socket {
    /// Opens `/sync` with a bearer token.
    ///
    /// # Errors
    /// The hub's refusal, with its body.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn open(address: SocketAddr, token: &str) -> Result<Self, http::Response> {
        let authorization = format!("Bearer {token}");
        Self::open_with(address, "/sync", &[("Authorization", &authorization)])
    }

    /// Opens `path` with these headers.
    ///
    /// # Errors
    /// The hub's refusal, with its body.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn open_with(
        address: SocketAddr,
        path: &str,
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
            Ok((inner, _)) => Ok(Self { inner, moved: Moved::default() }),
            // The library may not have read the whole body: ask again in plain HTTP.
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(_))) => {
                Err(upgrade(address, path, headers))
            }
            Err(other) => panic!("the WebSocket handshake failed: {other}"),
        }
    }

    /// How long [`Self::next`] waits for the hub.
    ///
    /// # Panics
    /// If the operating system refuses.
    pub fn set_read_timeout(&self, limit: Duration) {
        self.inner.get_ref().set_read_timeout(Some(limit)).expect("the socket takes a timeout");
    }

    /// Bytes moved so far.
    #[must_use]
    pub const fn moved(&self) -> Moved {
        self.moved
    }

    /// The connection below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.inner.get_ref()
    }

    /// Sends a frame; what the hub thinks of it shows in [`Self::next`].
    pub fn send(&mut self, frame: &Frame) {
        self.send_bytes(frame.encode());
    }

    /// Sends a binary message of any content.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.moved.up += bytes.len() as u64;
        // A hub that closed already: its answer is still to be read.
        let _ = self.inner.send(Message::binary(bytes));
    }

    /// Adds a frame to what is sent with the next [`Self::flush`].
    pub fn feed(&mut self, frame: &Frame) {
        let bytes = frame.encode();
        self.moved.up += bytes.len() as u64;
        let _ = self.inner.write(Message::binary(bytes));
    }

    /// Sends what was fed.
    pub fn flush(&mut self) {
        let _ = self.inner.flush();
    }

    /// Sends a text message, which the wire forbids.
    pub fn send_text(&mut self, text: &str) {
        let _ = self.inner.send(Message::text(text));
    }

    /// What the hub says next; pings are answered on the way.
    #[expect(clippy::should_implement_trait, reason = "a socket is read, not iterated")]
    pub fn next(&mut self) -> Event {
        let deadline = Deadline::of("a frame, between pings alone,");
        loop {
            deadline.check();
            match self.inner.read() {
                Ok(Message::Binary(bytes)) => {
                    self.moved.down += bytes.len() as u64;
                    match Frame::decode(&bytes) {
                        Ok(frame) => return Event::Frame(frame),
                        Err(error) => panic!("the hub sent a frame that is none: {error}"),
                    }
                }
                Ok(Message::Close(close)) => {
                    let (code, reason) = close
                        .map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    // Finish the closing handshake, as every client library does.
                    let _ = self.inner.flush();
                    return Event::Closed { code, reason };
                }
                Ok(Message::Text(text)) => panic!("the hub sent text: {text}"),
                Ok(_) => {}
                Err(error) => return Event::Lost(error.to_string()),
            }
        }
    }

    /// Reads up to the end: the last `error` frame, if one came, and the close.
    pub fn ending(&mut self) -> Ending {
        self.ending_before(&Deadline::of("the end of a session that goes on sending"))
    }

    /// The same, for a session whose end is due later than after a minute.
    pub fn ending_before(&mut self, deadline: &Deadline) -> Ending {
        let mut error = None;
        loop {
            deadline.check();
            match self.next() {
                Event::Frame(Frame::Error { message }) => error = Some(message),
                Event::Frame(_) => {}
                Event::Closed { code, reason } => return Ending { error, code, reason },
                Event::Lost(why) => return Ending { error, code: 1006, reason: why },
            }
        }
    }

    /// Ends the connection without a close, as a program does that was killed. What was sent arrives.
    pub fn cut(mut self) {
        let _ = self.inner.get_ref().shutdown(std::net::Shutdown::Write);
        // Unread answers would turn the end into a reset, which destroys what is still on its way.
        while !matches!(self.next(), Event::Lost(_) | Event::Closed { .. }) {}
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Message of the `error` frame before the close.
    pub error: Option<String>,
    /// Close code; 1006: the connection was lost.
    pub code: u16,
    /// Close reason.
    pub reason: String,
}

/// Asks for an upgrade in plain HTTP and gives the answer, which for a refusal has a body.
///
/// # Panics
/// If the hub cannot be reached.
#[must_use]
pub fn upgrade(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> http::Response {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut stream = http::connect(address).expect("the hub is reachable");
    stream.write_all(request.as_bytes()).expect("the hub reads");
    http::read_response(&mut BufReader::new(stream), false).expect("the hub answers")
}
