//! `static_dir`: in `--dev` the hub serves a web application beside its own routes, so that a page and its hub share
//! an origin without a second server.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::config::Config;

/// Marks a response as a page of the application, to which the hub's own content policy does not apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApplicationPage;

/// The file that answers the request, if there is one.
pub(crate) async fn find(config: &Config, request: Request) -> Option<Response> {
    let dir = config.listener.static_dir.as_deref()?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let response = match ServeDir::new(dir).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.status() == StatusCode::NOT_FOUND {
        return None;
    }
    let mut response = response.map(Body::new).into_response();
    // The application is being worked on.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.extensions_mut().insert(ApplicationPage);
    Some(response)
}
