//! The requests of compatible clients (records specification, 2.2), by path and method.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use ferry_protocol::records::check_name;
use http::{Method, header};
use percent_encoding::percent_decode_str;
use tower::{Layer as _, ServiceExt as _};
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate as _, SizeAbove},
    },
    decompression::RequestDecompressionLayer,
};

use super::{api, live, pull, push, refusal, stream};
use crate::{
    http::{options, takes},
    hub::Hub,
};

/// Answers below this fit one packet, and are not worth the time to compress them.
const COMPRESSED_MIN_BYTES: u64 = 1400;

/// Serves a request that belongs to this model.
pub(super) async fn serve(hub: Arc<Hub>, request: Request) -> Response {
    let headers = request.headers();
    if !headers.contains_key(header::CONTENT_ENCODING) && !headers.contains_key(header::ACCEPT_ENCODING) {
        return dispatch(hub, request).await;
    }
    let serve = tower::service_fn(|request: Request<_>| {
        let hub = Arc::clone(&hub);
        async move { Ok::<_, Infallible>(dispatch(hub, request.map(Body::new)).await) }
    });
    let worthwhile = DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_MIN_BYTES));
    let compression = CompressionLayer::new().compress_when(worthwhile);
    let serve = RequestDecompressionLayer::new().layer(compression.layer(serve));
    match serve.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

async fn dispatch(hub: Arc<Hub>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path.starts_with("/v1/") {
        return api::serve(&hub, &parts, body).await;
    }
    let names: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (name, allow) = match names[..] {
        ["sync", app] => (Some(app), "POST, OPTIONS"),
        ["sync", app, "pull" | "stream"] | ["ws", app] => (Some(app), "GET, OPTIONS"),
        ["ws"] => (None, "GET, OPTIONS"),
        _ => return refusal::not_found(),
    };
    let app = match name.map(|name| percent_decode_str(name).decode_utf8()) {
        Some(Ok(app)) if !app.is_empty() => app.into_owned(),
        Some(_) => return refusal::not_found(),
        None => String::new(),
    };
    if parts.method == Method::OPTIONS {
        return options(allow);
    }
    if !takes(allow, &parts.method) {
        return refusal::method_not_allowed(allow);
    }
    if name.is_none() {
        return live::upgrade(&hub, parts, None).await;
    }
    if let Err(error) = check_name(&app, "app") {
        return refusal::response(&error);
    }
    match names[..] {
        [_, _, "pull"] => pull::serve(&hub, &parts, &app).await,
        [_, _, "stream"] => stream::serve(&hub, &parts, &app).await,
        ["ws", _] => live::upgrade(&hub, parts, Some(app)).await,
        _ => push::serve(&hub, &parts, &app, body).await,
    }
}
