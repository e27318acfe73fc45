//! The requests of op-log sync, by path and method.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{api, path::decoded, shim};
use crate::{http::compressed, hub::Hub};

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
        // Ferry's own interface takes and gives compressed bodies.
        _ => compressed(request, |request| api::serve(&hub, request)).await,
    }
}
