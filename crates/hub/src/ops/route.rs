//! The requests of op-log sync, by path and method.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use http::header;
use tower::{Layer as _, ServiceExt as _};
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate as _, SizeAbove},
    },
    decompression::RequestDecompressionLayer,
};

use super::{api, path::decoded, shim};
use crate::hub::Hub;

/// Answers below this fit one packet, and are not worth the time to compress them.
const COMPRESSED_MIN_BYTES: u64 = 1400;

/// Serves a request that belongs to this model.
pub(super) async fn serve(hub: Arc<Hub>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let names: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match names[..] {
        ["sync", call] => shim::serve(&hub, request, None, call).await,
        ["v1", "databases", db, "hephd", "sync", call] => match decoded(db) {
            Some(db) => shim::serve(&hub, request, Some(&db), call).await,
            None => shim::not_found(),
        },
        ["v1", "databases", _, "hephd", ..] | ["sync", ..] => shim::not_found(),
        _ => compressed(hub, request).await,
    }
}

/// Ferry's own interface takes and gives compressed bodies.
async fn compressed(hub: Arc<Hub>, request: Request) -> Response {
    let headers = request.headers();
    if !headers.contains_key(header::CONTENT_ENCODING) && !headers.contains_key(header::ACCEPT_ENCODING) {
        return api::serve(&hub, request).await;
    }
    let serve = tower::service_fn(|request: Request<_>| {
        let hub = Arc::clone(&hub);
        async move { Ok::<_, Infallible>(api::serve(&hub, request.map(Body::new)).await) }
    });
    let worthwhile = DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_MIN_BYTES));
    let compression = CompressionLayer::new().compress_when(worthwhile);
    let serve = RequestDecompressionLayer::new().layer(compression.layer(serve));
    match serve.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}
