//! Calls under `/v1`: JSON over HTTP, with a bearer; bodies in either direction may be streams.

use std::io::{self, Write};

use bytes::Bytes;
use ferry_types::Code;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Collected, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{ClientError, ClientErrorCode, Result, ServerUrl, admin::connection, no_answer};

/// Largest document that is read whole.
const DOCUMENT_MAX_BYTES: usize = 64 << 20;
/// Bytes of one piece of an upload.
const PIECE_BYTES: usize = 64 << 10;

/// What a request carries.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// A hub's `/v1`, as the holder of one credential.
pub(crate) struct V1Client {
    server: ServerUrl,
    http: Client<HttpsConnector<HttpConnector>, Outgoing>,
    bearer: Option<HeaderValue>,
}

/// Nothing, or a text.
pub(crate) fn text_body(text: impl Into<Bytes>) -> Outgoing {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// What `reader` gives until its end.
pub(crate) fn stream_body(reader: impl AsyncRead + Send + Unpin + 'static) -> Outgoing {
    let pieces = futures_util::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        match reader.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Frame::data(piece.freeze())), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// What comes through a channel until it closes. An error breaks the body off.
pub(crate) fn channel_body(pieces: tokio::sync::mpsc::Receiver<io::Result<Bytes>>) -> Outgoing {
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece.map(Frame::data), pieces))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// `text` as a segment of a path or a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl V1Client {
    pub(crate) fn new(server: &ServerUrl, token: &str) -> Result<Self> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| ClientError::argument("the token holds characters that no token has"))?;
        bearer.set_sensitive(true);
        Ok(Self { bearer: Some(bearer), ..Self::anonymous(server) })
    }

    /// A hub's `/v1`, without a credential in a header.
    pub(crate) fn anonymous(server: &ServerUrl) -> Self {
        Self { server: server.clone(), http: connection::client(server), bearer: None }
    }

    /// Sends a request; an answer that is no success is a failure in the hub's words.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Outgoing,
    ) -> Result<Response<Incoming>> {
        let response = self.request(method, path, headers, body).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends a request; the answer, whatever its status.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Outgoing,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::new(body);
        request.method_mut().clone_from(&method);
        *request.uri_mut() = format!("{}{path}", self.server)
            .parse()
            .map_err(|_| ClientError::argument("a name here cannot stand in a URL"))?;
        let all = request.headers_mut();
        all.extend(self.bearer.clone().map(|bearer| (AUTHORIZATION, bearer)));
        if !matches!(method, Method::GET | Method::HEAD) {
            all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        all.extend(headers.clone());
        self.http.request(request).await.map_err(|error| no_answer::explained(&self.server, &error))
    }

    /// Writes the text at `path` to `out` as it comes, and shows each of its lines, with its line feed, to `line`.
    pub(crate) async fn download(
        &self,
        path: &str,
        out: &mut (dyn Write + Send),
        mut line: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut body = self.send(Method::GET, path, &HeaderMap::new(), text_body("")).await?.into_body();
        let (broke_off, disk) = (
            |error| ClientError::unverified(format!("the export broke off: {error}")),
            |error| ClientError::io("writing the export", &error),
        );
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(broke_off)?.into_data() else { continue };
            out.write_all(&piece).map_err(disk)?;
            rest.extend_from_slice(&piece);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            rest[..whole].split_inclusive(|byte| *byte == b'\n').try_for_each(&mut line)?;
            rest.drain(..whole);
        }
        out.flush().map_err(disk)
    }

    /// The document that a request without headers of its own is answered with.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Outgoing,
    ) -> Result<T> {
        let response = self.send(method, path, &HeaderMap::new(), body).await?;
        self.document(response).await
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Outgoing,
    ) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let response = self.request(method, path, &HeaderMap::new(), body).await?;
        let (head, body) = response.into_parts();
        let bytes = Limited::new(body, DOCUMENT_MAX_BYTES).collect().await;
        let bytes =
            bytes.map_err(|error| no_answer::unreachable(&self.server, &error.to_string()))?.to_bytes();
        Ok((head.status, head.headers, bytes))
    }

    /// The document of an answer.
    pub(crate) async fn document<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T> {
        let bytes = Limited::new(response.into_body(), DOCUMENT_MAX_BYTES).collect().await;
        let bytes =
            bytes.map_err(|error| no_answer::unreachable(&self.server, &error.to_string()))?.to_bytes();
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::unverified(format!("the hub's answer cannot be read: {error}")))
    }

    async fn refusal(&self, response: Response<Incoming>) -> ClientError {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = Limited::new(response.into_body(), DOCUMENT_MAX_BYTES).collect().await;
        self.refused(status, &headers, &body.map(Collected::to_bytes).unwrap_or_default())
    }

    /// What the hub says in an answer that is no success.
    pub(crate) fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
        let error = serde_json::from_slice::<ErrorBody>(body).map(ErrorMember::from).unwrap_or_default();
        let reason = error.reason.unwrap_or_else(|| error.code.to_ascii_uppercase());
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let mut message = match error.message {
            message if message.is_empty() => format!("{} answered {status} without a message", self.server),
            message => message,
        };
        if let Some(index) = error.index.filter(|index| !message.contains(&index.to_string())) {
            message = format!("{message} (event {index})");
        }
        ClientError {
            code: ClientErrorCode::Table(code(status, &reason)),
            reason,
            message,
            request_id: error.request_id,
            retry_after_ms: retry_after.map(|seconds| seconds * 1000),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    error: ErrorShape,
    /// Of functions, beside the message.
    code: Option<String>,
    request_id: Option<String>,
}

impl From<ErrorBody> for ErrorMember {
    fn from(body: ErrorBody) -> Self {
        let error = Self::from(body.error);
        let code = Some(error.code).filter(|code| !code.is_empty()).or(body.code).unwrap_or_default();
        Self { code, request_id: error.request_id.or(body.request_id), ..error }
    }
}

/// What models answer under `error`.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorShape {
    Members(ErrorMember),
    /// Of functions: the message, in front of it its word and a colon.
    Text(String),
}

impl Default for ErrorShape {
    fn default() -> Self {
        Self::Members(ErrorMember::default())
    }
}

impl From<ErrorShape> for ErrorMember {
    fn from(shape: ErrorShape) -> Self {
        match shape {
            ErrorShape::Members(members) => members,
            ErrorShape::Text(text) => {
                let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                let (code, message) =
                    text.split_once(": ").filter(|(word, _)| is_word(word)).unwrap_or(("", &text));
                Self { code: code.to_owned(), message: message.to_owned(), ..Self::default() }
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorMember {
    code: String,
    message: String,
    reason: Option<String>,
    request_id: Option<String>,
    index: Option<u64>,
}

/// The family of a status.
fn code(status: StatusCode, reason: &str) -> Code {
    match status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 | 412 => Code::FailedPrecondition,
        422 if reason == "REJECTED" => Code::FailedPrecondition,
        400 | 405 | 422 => Code::InvalidArgument,
        413 | 429 => Code::ResourceExhausted,
        503 | 507 => Code::Unavailable,
        _ => Code::Internal,
    }
}
