//! Compressed bodies, in both directions, for the models that take and give them.

use std::{convert::Infallible, future::Future};

use axum::{body::Body, extract::Request, response::Response};
use ferry_types::{Error, Reason, Result};
use http::{HeaderMap, HeaderValue, header};
use http_body::Body as _;
use http_body_util::combinators::Fuse;
use tower::{Layer as _, ServiceExt as _};
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate as _, SizeAbove},
    },
    decompression::RequestDecompressionLayer,
};

use super::untaken::HeldAhead;

/// Answers below this fit one packet, and are not worth the time to compress them.
const COMPRESSED_MIN_BYTES: u64 = 1400;

/// Answers `request` by `serve`, which neither sees that its body came compressed nor that the answer leaves so.
pub(crate) async fn compressed<F, A>(request: Request, serve: F) -> Response
where
    F: FnOnce(Request) -> A + Clone,
    A: Future<Output = Response>,
{
    let headers = request.headers();
    if !headers.contains_key(header::CONTENT_ENCODING) && !headers.contains_key(header::ACCEPT_ENCODING) {
        return serve(request).await;
    }
    let serve = tower::service_fn(|request: Request<_>| {
        let serve = serve.clone();
        async move {
            let mut response = serve(request.map(Body::new)).await;
            // Once it is compressed nobody sees how much it is.
            if let Some(bytes) = response.body().size_hint().exact() {
                response.extensions_mut().insert(HeldAhead(bytes));
            }
            // Compression asks a body once more after its end, which one made of a stream need not bear.
            Ok::<_, Infallible>(response.map(Fuse::new))
        }
    });
    let worthwhile = DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_MIN_BYTES));
    let compression = CompressionLayer::new().compress_when(worthwhile);
    let serve = RequestDecompressionLayer::new().layer(compression.layer(serve));
    match serve.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// Refuses a compressed body, for the models that take bodies as they are: those of pages are compressed in themselves, those
/// of events small.
///
/// # Errors
/// `ENCODING_NOT_TAKEN`.
pub(crate) fn refuse_compressed(headers: &HeaderMap) -> Result<()> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_none_or(|encoding| encoding.eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let message =
        "Content-Encoding: bodies are not taken compressed here: send the body as it is, without this header";
    Err(Error::new(Reason::EncodingNotTaken, message))
}
