//! What a hub says of itself to whoever asks, without a credential.

use std::{
    io,
    net::{TcpStream as BlockingStream, ToSocketAddrs as _},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    ClientError, ClientErrorCode, Result, ServerUrl, no_answer, tls,
    v1::{V1Client, text_body},
};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// How long a connection may take that is made only to word a message, and to how many addresses of a name.
const CONNECT_MAX: Duration = Duration::from_secs(1);
const CONNECTS_MAX: usize = 2;
/// The hub sends the last event of `/v1/reach` two seconds behind the first. When it follows within this time, both were held back.
const TOGETHER_MAX: Duration = Duration::from_secs(1);
/// Of that stream: a hub's is far shorter.
const REACH_MAX_BYTES: usize = 64 << 10;

/// How a request arrived, as the hub tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestArrival {
    /// Whose request it was to the hub.
    pub client: String,
    /// Whether somebody passed it on, by its headers.
    pub is_forwarded: bool,
    /// Whether the hub believes whoever did.
    pub is_believed: bool,
    /// Whether the answer was held back until it was whole.
    pub is_held_back: bool,
}

impl RequestArrival {
    /// What the first event of a stream tells.
    fn of(text: &str, is_held_back: bool) -> Option<Self> {
        let (first, _) = text.split_once("\n\n")?;
        let told = first.lines().find_map(|line| line.strip_prefix("data: "))?;
        let told: serde_json::Value = serde_json::from_str(told).ok()?;
        Some(Self {
            client: told["client"].as_str()?.to_owned(),
            is_forwarded: told["forwarded"].as_bool()?,
            is_believed: told["believed"].as_bool()?,
            is_held_back,
        })
    }
}

/// An answer of `/v1/reach`, as far as it arrived.
struct ReachStream {
    body: Incoming,
    text: String,
}

impl ReachStream {
    /// Reads on until `wanted` is there. False: it has ended, or broke off, without.
    async fn has(&mut self, wanted: &str) -> bool {
        while !self.text.contains(wanted) {
            let Some(Ok(frame)) = self.body.frame().await else { return false };
            self.text += &String::from_utf8_lossy(frame.data_ref().map_or(&[][..], |data| data));
            if self.text.len() > REACH_MAX_BYTES {
                return false;
            }
        }
        true
    }
}

/// Whether somebody takes connections at `server`, without a word to it: for messages, so that it gives up soon.
///
/// # Errors
/// `Unreachable`, when nobody does, or the name is none.
pub fn answers(server: &ServerUrl) -> Result<()> {
    let host = server.host().trim_start_matches('[').trim_end_matches(']');
    let failed = |error: io::Error| no_answer::explained(server, &error);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, server.port()).to_socket_addrs().map_err(failed)?.take(CONNECTS_MAX) {
        match BlockingStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// Asks one hub.
pub struct StatusClient {
    server: ServerUrl,
    http: V1Client,
}

impl StatusClient {
    /// For the hub at `server`.
    #[must_use]
    pub fn new(server: &ServerUrl) -> Self {
        Self { server: server.clone(), http: V1Client::anonymous(server) }
    }

    /// The answer to a GET of `path`, whatever its status.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let exchange = self.http.exchange(Method::GET, path, text_body(""));
        tokio::time::timeout(ANSWER_MAX, exchange).await.unwrap_or_else(|_| {
            Err(self.unreachable(format!("{} did not answer within {ANSWER_MAX:?}", self.server)))
        })
    }

    /// Whether the hub takes new work.
    ///
    /// # Errors
    /// `Unreachable`, when nobody answers or the hub says that it does not.
    pub async fn ready(&self) -> Result<()> {
        let (status, _, body) = self.get("/readyz").await?;
        if status.is_success() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&body);
        let told = told.trim().lines().next().unwrap_or_default();
        Err(self.unreachable(format!("{} is not ready: it answered {status}: {told}", self.server)))
    }

    /// Whether an upgrade to a WebSocket gets through to the hub. It is asked for without a credential, so that the hub refuses
    /// it; without an upgrade it would say that.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn passes_upgrades(&self) -> Result<bool> {
        let headers = HeaderMap::from_iter([
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            (header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA==")),
        ]);
        let asked = self.http.request(Method::GET, "/sync", &headers, text_body(""));
        let answer = tokio::time::timeout(ANSWER_MAX, asked).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(self.unreachable(format!("{} did not answer an upgrade within {ANSWER_MAX:?}", self.server)))
        })?;
        Ok(answer.status() == StatusCode::UNAUTHORIZED)
    }

    /// How a request arrives at the hub, if that tells. Takes a second: how the answer's pieces arrive does not tell whether
    /// they were held back, when they do does.
    ///
    /// # Errors
    /// When nobody answers in time, or the answer breaks off.
    pub async fn reach(&self) -> Result<Option<RequestArrival>> {
        let late = || self.unreachable(format!("{} did not answer within {ANSWER_MAX:?}", self.server));
        let broken_off = || {
            let message = format!(
                "{}/v1/reach broke off: whatever stands in front ends streams early, or the hub is stopping",
                self.server
            );
            self.unreachable(message)
        };
        let asked = async {
            let answer =
                self.http.request(Method::GET, "/v1/reach", &HeaderMap::new(), text_body("")).await?;
            // An older hub has no such path, and a busy one no time.
            // And who answers all paths by themselves sends no stream.
            let is_stream = answer
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            if answer.status() != StatusCode::OK || !is_stream {
                return Ok(None);
            }
            let mut stream = ReachStream { body: answer.into_body(), text: String::new() };
            if stream.has("\n\n").await { Ok(Some(stream)) } else { Err(broken_off()) }
        };
        let asked = tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| Err(late()));
        let Some(mut stream) = asked? else { return Ok(None) };
        let is_held_back = match tokio::time::timeout(TOGETHER_MAX, stream.has("event: end")).await {
            Err(_) => false,
            Ok(true) => true,
            Ok(false) => return Err(broken_off()),
        };
        Ok(RequestArrival::of(&stream.text, is_held_back))
    }

    /// When the certificate that the hub shows ends, Unix seconds; `None` without TLS.
    ///
    /// # Errors
    /// When there is no connection, or the certificate does not prove the name.
    pub async fn certificate_ends(&self) -> Result<Option<i64>> {
        if !self.server.is_secure() {
            return Ok(None);
        }
        let host = self.server.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let failed = |error: std::io::Error| self.unreachable(format!("{}: {error}", self.server));
        let name = ServerName::try_from(host.clone())
            .map_err(|error| ClientError::argument(format!("{}: {error}", self.server)))?;
        let shown = async {
            let stream = TcpStream::connect((host, self.server.port())).await?;
            let stream = TlsConnector::from(tls::config()).connect(name, stream).await?;
            let certificates = stream.get_ref().1.peer_certificates();
            std::io::Result::Ok(certificates.and_then(<[_]>::first).and_then(tls::certificate_ends))
        };
        let shown = tokio::time::timeout(ANSWER_MAX, shown).await;
        shown.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(failed)
    }

    fn unreachable(&self, message: String) -> ClientError {
        ClientError::new(ClientErrorCode::Unreachable, "NOT_READY", message)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const FIRST: &str =
        "event: reach\ndata: {\"client\":\"192.0.2.7\",\"forwarded\":true,\"believed\":false}\n\n";
    const LAST: &str = "event: end\ndata: {}\n\n";

    /// What is judged of an answer of which `pieces` arrive at once, each as a chunk; then nothing more, or its end.
    async fn judged(pieces: &[&str], is_ended: bool) -> Result<Option<RequestArrival>> {
        judged_as("text/event-stream", pieces, is_ended).await
    }

    async fn judged_as(kind: &str, pieces: &[&str], is_ended: bool) -> Result<Option<RequestArrival>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in pieces {
            answer += &format!("{:x}\r\n{piece}\r\n", piece.len());
        }
        answer += if is_ended { "0\r\n\r\n" } else { "" };
        let asked = StatusClient::new(&server);
        let serve = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Until the other side has had enough.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        tokio::select! {
            judged = asked.reach() => judged,
            () = serve => unreachable!("BUG: a client that waits has not gone"),
        }
    }

    // A proxy that held the stream back and passed it on piece by piece was said to do well: its first piece was looked at alone.
    // Verifies: OPR-88
    #[tokio::test]
    async fn a_stream_is_held_back_however_its_pieces_arrive() {
        let is_held_back = async |pieces: &[&str], is_ended| {
            let arrival = judged(pieces, is_ended).await.unwrap().expect("it tells");
            assert_eq!(
                (&*arrival.client, arrival.is_forwarded, arrival.is_believed),
                ("192.0.2.7", true, false)
            );
            arrival.is_held_back
        };
        let whole = [FIRST, LAST].concat();
        assert!(is_held_back(&[&whole], true).await);
        assert!(is_held_back(&[FIRST, LAST], true).await);
        assert!(is_held_back(&[&whole[..20], &whole[20..85], &whole[85..]], false).await);
        assert!(!is_held_back(&[FIRST], false).await);
        for broken_off in [&[FIRST][..], &[&FIRST[..20]], &[]] {
            let told = judged(broken_off, true).await.unwrap_err();
            assert!(told.message.contains("broke off"), "{told:?}");
        }
        let welcome = judged_as("text/html", &["<p>Welcome</p>"], true).await;
        assert_eq!(welcome.unwrap(), None, "no hub's answer");
    }
}
