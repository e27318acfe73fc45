//! What a hub says of itself to whoever asks, without a credential.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    ClientError, ClientErrorCode, Result, ServerUrl, tls,
    v1::{V1Client, text_body},
};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(4);

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
