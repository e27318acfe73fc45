//! The hub, as a spoke asks it: every wait has its limit (OPS-66), and whatever comes back is taken for a failure unless
//! it is an answer.

use std::{path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use ferry_core::ops::spoke::{SpokePush, SpokeRefusal, SpokeRequest};
use ferry_protocol::ops::{
    EpochDetails, MissingBody, OpsErrorBody, OpsErrorCode, PullQuery, PushBody, read_answer,
};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use serde::Deserialize;
use tokio::time::timeout;

use super::coding::{self, Coding};
use crate::{ClientError, Result, ServerUrl, admin::connection, no_answer, v1::encoded};

/// What requests are, and answers but the live stream.
const JSON: &str = "application/json";
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long until the hub begins to answer.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// How long the rest of an answer may pause.
const BODY_IDLE_MAX: Duration = Duration::from_secs(15);
/// Largest answer but a snapshot: a page of one op, which may be a foreign one of the largest size.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Largest refusal whose words are read.
const REFUSAL_MAX_BYTES: usize = 64 << 10;

/// Where a spoke's hub is, and what it is shown there.
#[derive(Clone, Debug)]
pub struct HubAddress {
    /// The hub.
    pub url: ServerUrl,
    /// Id or name of the database; `-`: the token's.
    pub database: String,
    /// What the credential is.
    pub token: HubToken,
}

/// Where the credential comes from.
#[derive(Clone, Debug)]
pub enum HubToken {
    /// There is none: a hub in development mode takes that from its own machine.
    None,
    /// It was given.
    Given(String),
    /// A file, which is read before every exchange, so that a new token is used at once.
    File(PathBuf),
}

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HubFailureKind {
    /// No answer came, or none that makes sense.
    NoAnswer,
    /// The hub refuses the credential, or there is none.
    Unauthenticated,
    /// The credential may not do this.
    Forbidden,
    /// The hub has no such database.
    NotFound,
    /// The store belongs to another log (OPS-34).
    Foreign,
}

impl HubFailureKind {
    /// Whether only another credential helps.
    pub(super) const fn is_auth(self) -> bool {
        matches!(self, Self::Unauthenticated | Self::Forbidden)
    }

    const fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            _ => Self::NoAnswer,
        }
    }
}

/// Why the hub did not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HubFailure {
    /// Its sort.
    pub(super) kind: HubFailureKind,
    /// For people.
    pub(super) message: String,
    /// How long it wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl HubFailure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { kind: HubFailureKind::NoAnswer, message: message.into(), retry_after: None }
    }
}

/// What a request came to.
pub(super) enum HubAnswer {
    /// The body.
    Body(Bytes),
    /// A snapshot, which has not been read yet.
    Snapshot(Incoming, Coding),
    /// A refusal that the exchange knows what to do with.
    Refused(SpokeRefusal),
}

/// A hub, with one credential.
pub(super) struct HubClient {
    server: ServerUrl,
    database: String,
    base: String,
    /// What the token was when the client was made.
    token: Option<String>,
    bearer: Option<HeaderValue>,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HubToken {
    /// The token as it is now; empty if it cannot be read.
    pub(super) fn seen(&self) -> String {
        self.read().ok().flatten().unwrap_or_default()
    }

    /// The token as it is now.
    fn read(&self) -> Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Given(token) => Ok(Some(token.trim().to_owned())),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ClientError::io(format!("the token's file {}", path.display()), &error)
                })?;
                Ok(Some(text.trim().to_owned()))
            }
        }
    }
}

impl HubClient {
    /// # Errors
    /// When the file of the token cannot be read, or what it holds cannot be one.
    pub(super) fn new(address: &HubAddress) -> Result<Self> {
        Self::with_token(address, address.token.read()?)
    }

    fn with_token(address: &HubAddress, token: Option<String>) -> Result<Self> {
        let bearer = |token: &String| {
            let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| ClientError::argument("the token holds characters that no token has"))?;
            bearer.set_sensitive(true);
            Ok::<_, ClientError>(bearer)
        };
        Ok(Self {
            server: address.url.clone(),
            database: address.database.clone(),
            base: format!("/v1/databases/{}/ops", encoded(&address.database)),
            bearer: token.as_ref().map(bearer).transpose()?,
            token,
            http: connection::client_within(&address.url, CONNECT_MAX),
        })
    }

    /// A digest of the token.
    pub(super) fn credential(&self) -> String {
        blake3::hash(self.token.as_deref().unwrap_or_default().as_bytes()).to_hex().to_string()
    }

    /// The client of before, with its connections, unless the token is another one by now.
    pub(super) fn renewed<'a>(
        client: &'a mut Option<Self>,
        address: &HubAddress,
    ) -> Result<&'a Self, HubFailure> {
        let failed = |error: ClientError| HubFailure {
            kind: HubFailureKind::Unauthenticated,
            ..HubFailure::new(error.message)
        };
        let token = address.token.read().map_err(failed)?;
        if client.as_ref().is_none_or(|client| client.token != token) {
            *client = Some(Self::with_token(address, token).map_err(failed)?);
        }
        Ok(client.as_ref().expect("BUG: it was just made"))
    }

    /// Asks the hub.
    pub(super) async fn ask(&self, request: &SpokeRequest) -> Result<HubAnswer, HubFailure> {
        let (method, path, body) = match request {
            SpokeRequest::Pull(query) => (Method::GET, pull_path(query), Bytes::new()),
            SpokeRequest::Push(push) => (Method::POST, String::new(), push_body(push)),
            SpokeRequest::Missing(ids) => (Method::POST, "/missing".to_owned(), missing_body(ids)),
            SpokeRequest::Snapshot => (Method::GET, "/snapshot".to_owned(), Bytes::new()),
        };
        let response = self.send(method, &path, body, JSON).await?;
        if !response.status().is_success() {
            return self.refusal(response).await.map(HubAnswer::Refused);
        }
        let unreadable =
            |what: &str| HubFailure::new(format!("the answer of {} cannot be read: {what}", self.server));
        let coding =
            Coding::of(response.headers()).ok_or_else(|| unreadable("nobody asked for its encoding"))?;
        if *request == SpokeRequest::Snapshot {
            return Ok(HubAnswer::Snapshot(response.into_body(), coding));
        }
        let body = self.body(response.into_body(), ANSWER_MAX_BYTES).await?;
        let body = coding.decoded(body, ANSWER_MAX_BYTES).map_err(|error| unreadable(&error.to_string()))?;
        Ok(HubAnswer::Body(body))
    }

    /// The live stream behind `after_seq`.
    pub(super) async fn live(&self, after_seq: u64) -> Result<Incoming, HubFailure> {
        let path = format!("/live?after_seq={after_seq}&mode=nudge");
        let response = self.send(Method::GET, &path, Bytes::new(), "text/event-stream").await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        match self.refusal(response).await {
            Ok(refusal) => Err(HubFailure::new(format!("the hub gives no live stream: {refusal:?}"))),
            Err(failure) => Err(failure),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        accept: &'static str,
    ) -> Result<Response<Incoming>, HubFailure> {
        let (body, is_compressed) = coding::encoded(body);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        let uri = format!("{}{}{path}", self.server, self.base).parse();
        *request.uri_mut() = uri.map_err(|_| HubFailure::new("the database's name cannot stand in a URL"))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        // The live stream comes as it is, so that nothing waits in a compressor.
        if accept == JSON {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
        }
        if is_compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding::SENT));
        }
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        match timeout(REQUEST_MAX, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(HubFailure::new(no_answer::told(&self.server, &error))),
            Err(_) => Err(HubFailure::new(format!(
                "{} does not answer: nothing came within {} s",
                self.server,
                REQUEST_MAX.as_secs()
            ))),
        }
    }

    /// The next piece of a body; `None` at its end.
    pub(super) async fn piece(
        &self,
        body: &mut Incoming,
        idle_max: Duration,
    ) -> Result<Option<Bytes>, HubFailure> {
        loop {
            match timeout(idle_max, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(error))) => {
                    return Err(HubFailure::new(format!("the answer of {} broke off: {error}", self.server)));
                }
                Err(_) => {
                    return Err(HubFailure::new(format!(
                        "the answer of {} stopped: nothing came for {} s",
                        self.server,
                        idle_max.as_secs()
                    )));
                }
            }
        }
    }

    async fn body(&self, mut body: Incoming, max_bytes: usize) -> Result<Bytes, HubFailure> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece(&mut body, BODY_IDLE_MAX).await? {
            if whole.len() + piece.len() > max_bytes {
                return Err(HubFailure::new(format!(
                    "the answer of {} is larger than any may be",
                    self.server
                )));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// A refusal that has its way on, or the failure that it is.
    async fn refusal(&self, response: Response<Incoming>) -> Result<SpokeRefusal, HubFailure> {
        let status = response.status();
        let retry_after = retry_after(&response);
        let coding = Coding::of(response.headers()).unwrap_or(Coding::Identity);
        let body = self.body(response.into_body(), REFUSAL_MAX_BYTES).await.unwrap_or_default();
        let body = coding.decoded(body, REFUSAL_MAX_BYTES).unwrap_or_default();
        let told = OpsErrorBody::decode(&body);
        let known = told.as_ref().and_then(OpsErrorBody::known);
        match (known, status) {
            (Some(OpsErrorCode::EpochChanged), _) => {
                if let Some(details) = told.as_ref().and_then(OpsErrorBody::details::<EpochDetails>) {
                    let EpochDetails { hub_id, epoch, policy } = details;
                    return Ok(SpokeRefusal::EpochChanged { hub_id, epoch, policy });
                }
            }
            (Some(OpsErrorCode::LogDiverged), _) => return Ok(SpokeRefusal::LogDiverged),
            (Some(OpsErrorCode::SnapshotRequired), _) => return Ok(SpokeRefusal::SnapshotRequired),
            (_, StatusCode::PAYLOAD_TOO_LARGE) => return Ok(SpokeRefusal::TooLarge),
            _ => {}
        }
        let said = told.map(|told| told.message).filter(|message| !message.is_empty());
        let said = said.unwrap_or_else(|| "no reason is given".to_owned());
        let kind = HubFailureKind::of(status);
        let advice = self.advice(kind);
        Err(HubFailure {
            kind,
            message: format!("{} refuses with {}: {said}{advice}", self.server, status.as_u16()),
            retry_after,
        })
    }

    /// What a person can do about a refusal at the spoke's command line.
    fn advice(&self, kind: HubFailureKind) -> String {
        match kind {
            HubFailureKind::Unauthenticated if self.token.is_none() => {
                "; start the spoke with --token-file FILE, or with FERRY_SYNC_TOKEN set".to_owned()
            }
            HubFailureKind::NotFound if self.database == "-" => {
                "; the token's database was asked for: --database names one".to_owned()
            }
            HubFailureKind::NotFound => {
                format!("; {} was asked for, which the spoke's --database names", self.database)
            }
            _ => String::new(),
        }
    }

    /// Reads an answer.
    pub(super) fn read<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, HubFailure> {
        read_answer(body).map_err(|error| {
            HubFailure::new(format!("what {} answers is no answer of a hub: {error}", self.server))
        })
    }
}

/// How long an idle answer may pause.
pub(super) const fn body_idle_max() -> Duration {
    BODY_IDLE_MAX
}

fn pull_path(query: &PullQuery) -> String {
    let pairs = query.pairs();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("?{}", pairs.join("&"))
}

fn push_body(push: &SpokePush) -> Bytes {
    let body = PushBody {
        origin: push.origin,
        hub_id: push.hub_id.as_deref().map(Into::into),
        epoch: push.epoch.as_deref().map(Into::into),
        stamps: true,
        ops: push.ops.iter().map(String::as_str).collect(),
    };
    body.encode().into()
}

fn missing_body(ids: &[String]) -> Bytes {
    let body = MissingBody { ids: ids.iter().map(|id| id.as_str().into()).collect() };
    serde_json::to_vec(&body).expect("BUG: texts are JSON").into()
}

/// Seconds, or a date (RFC 9110, 10.2.3). Of a date that cannot be compared with this machine's clock nothing is taken.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
