//! Bodies that are charged to the byte budgets of a token (TOK-14): requests as they are read, answers before they
//! leave. What counts are bodies as the models write and read them, without headers and before compression.

use std::{
    error::Error as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_types::{Error, Reason, Result};
use http::{Method, header};
use http_body::{Body as _, Frame, SizeHint};

use ferry_control::Meter;

const UNDECODABLE: &str =
    "the body is not what its Content-Encoding says: send it as it is, or compress it anew";

/// A body each of whose bytes is charged on its way; it breaks off where the budget ends.
struct Charged {
    inner: Body,
    meter: Meter,
}

impl http_body::Body for Charged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
        Poll::Ready(match self.meter.charge(bytes.unwrap_or(0)) {
            Ok(()) => frame,
            Err(spent) => Some(Err(axum::Error::new(spent))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// `BYTE_BUDGET`; `INVALID_ARGUMENT` for a body that cannot be decompressed; what `too_large` says when there is more, or the
/// body broke off.
pub(crate) async fn read<E: From<Error>>(
    body: Body,
    most: usize,
    meter: &Meter,
    too_large: impl FnOnce() -> E,
) -> Result<Bytes, E> {
    let charged = Body::new(Charged { inner: body, meter: meter.clone() });
    match axum::body::to_bytes(charged, most).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(match meter.check() {
            Err(spent) => E::from(spent),
            Ok(()) if is_undecodable(&error) => E::from(Error::new(Reason::InvalidArgument, UNDECODABLE)),
            Ok(()) => too_large(),
        }),
    }
}

/// Whether the body is not what its `Content-Encoding` says: only decompression reports such errors.
fn is_undecodable(error: &axum::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof);
        }
        cause = error.source();
    }
    false
}

/// Charges an answer that may still be refused: as a whole if its length is known, else as it leaves.
///
/// # Errors
/// `BYTE_BUDGET` if it is more than a budget has left.
pub(crate) fn admit(response: Response, meter: &Meter) -> Result<Response> {
    match length(&response) {
        Some(bytes) => meter.charge(bytes).map(|()| response),
        None => Ok(response.map(|inner| Body::new(Charged { inner, meter: meter.clone() }))),
    }
}

/// Charges an answer that leaves in any case: a refusal, or what became of a write that was made.
pub(crate) fn reply(response: Response, meter: &Meter) -> Response {
    // The next request is refused instead.
    let _ = meter.charge(length(&response).unwrap_or(0));
    response
}

/// [`admit`] for what only reads, [`reply`] for everything else.
///
/// # Errors
/// As [`admit`].
pub(crate) fn answer(method: &Method, response: Response, meter: &Meter) -> Result<Response> {
    if method.is_safe() { admit(response, meter) } else { Ok(reply(response, meter)) }
}

/// Bytes of the body, if they are known before it is sent.
fn length(response: &Response) -> Option<usize> {
    let declared =
        response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    declared.or_else(|| response.body().size_hint().exact()?.try_into().ok())
}
