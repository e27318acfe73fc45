//! The requests of compatible clients (records specification, 2.2), by path and method.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use ferry_protocol::records::check_name;
use http::Method;
use percent_encoding::percent_decode_str;

use super::{api, live, pull, push, refusal, stream};
use crate::{
    http::{compressed, options, takes},
    hub::Hub,
};

/// Serves a request that belongs to this model.
pub(super) async fn serve(hub: Arc<Hub>, request: Request) -> Response {
    compressed(request, |request| dispatch(Arc::clone(&hub), request)).await
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
