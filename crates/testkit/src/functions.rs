//! A client of functions that follows EdgePod's wire to the letter: it calls over HTTP, keeps the hashes of the tables that
//! each answer names, and listens on a socket which of them changed.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use ferry_functions::{Compiled, MODULES, Program, ProgramSource, ProjectFiles, RunLimits, compile};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    self, Message, WebSocket,
    client::{IntoClientRequest, client_with_config},
};

use crate::{http, socket::upgrade, wait};

/// Longest wait of one read.
const READ_AT_MOST: Duration = Duration::from_millis(200);

/// The body of `POST …/functions/deploy` for a project of these files (paths below `ferry/`).
///
/// # Panics
/// If the project does not compile or load.
#[must_use]
pub fn deployment(files: &[(&str, &str)]) -> Value {
    let project: ProjectFiles =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let Compiled { bundle, source_map, .. } =
        compile(&project).unwrap_or_else(|errors| panic!("the project does not compile: {errors:?}"));
    let limits = RunLimits {
        cpu_ms: 5_000,
        heap_bytes: 64 << 20,
        stack_bytes: 512 << 10,
        result_bytes: 8 << 20,
        fetches: 0,
        calls_per_context: 1,
    };
    let source = ProgramSource { bundle: &bundle, source_map: Some(&source_map), modules: MODULES };
    let program = Program::load(&source, limits, 1_790_000_000_000)
        .unwrap_or_else(|error| panic!("it does not load: {error}"));
    let schema: Value = program
        .schema()
        .map_or(Value::Null, |schema| serde_json::from_str(schema).expect("a schema is JSON"));
    json!({
        "base": null, "bundle": bundle, "sourceMap": source_map, "manifest": {}, "apiDts": "", "schema": schema,
        "migrations": [], "hints": {}, "allowDestructive": false, "dryRun": false,
    })
}

/// A client with an API key and a session, as a page is.
#[derive(Clone, Debug)]
pub struct EdgePodClient {
    /// The hub.
    pub address: SocketAddr,
    /// The API key.
    pub key: String,
    /// Its session.
    pub session: String,
    /// Its bearer, if it has one.
    pub token: Option<String>,
}

impl EdgePodClient {
    /// A client with this key.
    #[must_use]
    pub fn new(address: SocketAddr, key: &str, session: &str) -> Self {
        Self { address, key: key.to_owned(), session: session.to_owned(), token: None }
    }

    /// Calls a function with further headers.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    #[must_use]
    pub fn call_with(&self, function: &str, args: &Value, headers: &[(&str, &str)]) -> http::Response {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut all = vec![
            ("X-Edgepod-Key", self.key.as_str()),
            ("X-Edgepod-Session-Id", self.session.as_str()),
            ("Content-Type", "application/json"),
        ];
        all.extend(bearer.iter().map(|bearer| ("Authorization", bearer.as_str())));
        all.extend(headers);
        let path = format!("/rpc/{function}");
        http::send(self.address, "POST", &path, &all, args.to_string().as_bytes())
            .expect("the hub is reachable")
    }

    /// Calls a function.
    pub fn call(&self, function: &str, args: &Value) -> http::Response {
        self.call_with(function, args, &[])
    }

    /// The result of a call.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn data(&self, function: &str, args: &Value) -> Value {
        let answer = self.call(function, args);
        assert_eq!(answer.status, 200, "{function}: {}", answer.text());
        answer.json()["data"].clone()
    }

    /// Calls a function by GET.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    #[must_use]
    pub fn get_with(&self, function: &str, args: &str, headers: &[(&str, &str)]) -> http::Response {
        let mut all =
            vec![("X-Edgepod-Key", self.key.as_str()), ("X-Edgepod-Session-Id", self.session.as_str())];
        all.extend(headers);
        let path = format!("/rpc/{function}{args}");
        http::send(self.address, "GET", &path, &all, b"").expect("the hub is reachable")
    }

    /// Opens the socket of the session.
    ///
    /// # Panics
    /// If the hub refuses it.
    #[must_use]
    pub fn socket(&self) -> FunctionsSocket {
        let path = format!("/ws?key={}&sessionId={}", self.key, self.session);
        FunctionsSocket::open(self.address, &path, &[])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    /// Opens the socket in Ferry's own dialect.
    ///
    /// # Panics
    /// If the hub refuses it.
    #[must_use]
    pub fn ferry_socket(&self) -> FunctionsSocket {
        let path = format!("/ws?key={}&sessionId={}", self.key, self.session);
        let protocol = [("Sec-WebSocket-Protocol", "ferry.functions.v1")];
        FunctionsSocket::open(self.address, &path, &protocol)
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }
}

/// What the hub said next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionsSaid {
    /// A frame.
    Text(String),
    /// It closed the socket.
    Closed(u16, String),
    /// The connection ended without a close.
    Lost,
    /// Nothing within the time.
    Nothing,
}

/// An open socket.
#[derive(Debug)]
pub struct FunctionsSocket(WebSocket<TcpStream>);

impl FunctionsSocket {
    /// Opens `path` with these headers.
    ///
    /// # Errors
    /// The hub's refusal, with its body.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, http::Response> {
        let mut request = format!("ws://{address}{path}").into_client_request().expect("the URL is one");
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().expect("a header name");
            request.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        let stream = http::connect(address).expect("the hub is reachable");
        match client_with_config(request, stream, None) {
            Ok((inner, _)) => Ok(Self(inner)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(_))) => {
                Err(upgrade(address, path, headers))
            }
            Err(other) => panic!("the WebSocket handshake failed: {other}"),
        }
    }

    /// Sends a text.
    pub fn send(&mut self, text: &str) {
        // A hub that closed already: its answer is still to be read.
        let _ = self.0.send(Message::text(text));
    }

    /// Sends a binary frame.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.send(Message::binary(bytes.to_vec()));
    }

    /// What the hub says next, within `limit`.
    ///
    /// # Panics
    /// If the socket takes no timeout.
    pub fn next_within(&mut self, limit: Duration) -> FunctionsSaid {
        self.0.get_ref().set_read_timeout(Some(READ_AT_MOST)).expect("the socket takes a timeout");
        wait::within(limit, || self.read()).unwrap_or(FunctionsSaid::Nothing)
    }

    /// What the hub says next.
    pub fn said(&mut self) -> FunctionsSaid {
        self.next_within(Duration::from_secs(30))
    }

    /// The next frame, which is JSON.
    ///
    /// # Panics
    /// If there is none, or it is no JSON.
    #[track_caller]
    pub fn frame(&mut self) -> Value {
        match self.said() {
            FunctionsSaid::Text(text) => serde_json::from_str(&text).expect("a frame is JSON"),
            other => panic!("{other:?} instead of a frame"),
        }
    }

    fn read(&mut self) -> Option<FunctionsSaid> {
        match self.0.read() {
            Ok(Message::Text(text)) => Some(FunctionsSaid::Text(text.to_string())),
            Ok(Message::Close(frame)) => {
                let _ = self.0.flush();
                let (code, reason) = frame
                    .map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                Some(FunctionsSaid::Closed(code, reason))
            }
            Ok(_) => None,
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                None
            }
            Err(_) => Some(FunctionsSaid::Lost),
        }
    }
}
