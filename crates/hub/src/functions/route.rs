//! The requests of functions, by path and method (functions specification, 2.1). This wire answers every origin, so its CORS
//! is its own.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    auth, deploy, live, logs,
    refusal::CallRefusal,
    response::{RpcDialect, json, refused},
    rpc,
};
use crate::{
    http::{compressed, metering},
    hub::Hub,
};

const CORS: &[(HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type, Authorization, X-Edgepod-Key, X-Edgepod-Session-Id, X-Edgepod-Reactive, Ferry-Key, \
         Ferry-Session-Id, Ferry-Reactive, Ferry-Min-Seq, Idempotency-Key, If-None-Match",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Ferry-Seq, X-Request-Id, ETag, Retry-After"),
];
const POWERED_BY: &str = concat!("Ferry/", env!("CARGO_PKG_VERSION"));

/// Serves a request that belongs to this model.
pub(super) async fn serve(hub: Arc<Hub>, request: Request) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        routed(&hub, request).await
    };
    add_headers(response.headers_mut());
    response
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in CORS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-powered-by", HeaderValue::from_static(POWERED_BY));
}

async fn routed(hub: &Arc<Hub>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (db, rest) = match path.strip_prefix("/v1/databases/") {
        Some(below) => match below.split_once('/') {
            Some((db, rest)) => match decoded(db) {
                Some(db) => (Some(db), rest),
                None => return not_found(),
            },
            None => return not_found(),
        },
        None => (None, path.trim_start_matches('/')),
    };
    let db = db.as_deref();
    if let Some(function) = rest.strip_prefix("rpc/") {
        let function = decoded(function).unwrap_or_default();
        return compressed(request, |request| rpc::serve(hub, request, db, &function)).await;
    }
    match rest {
        "ws" => live::upgrade(hub, request, db).await,
        ".well-known/jwks.json" if request.method() == Method::GET => auth::jwks(hub, db),
        _ => match (rest.strip_prefix("functions/"), db) {
            (Some(call), Some(db)) => {
                let call = call.to_owned();
                compressed(request, |request| administer(hub, request, db, &call)).await
            }
            _ => not_found(),
        },
    }
}

/// The deployment API (functions specification, 2.4).
async fn administer(hub: &Arc<Hub>, request: Request, db: &str, call: &str) -> Response {
    let (parts, body) = request.into_parts();
    let allow = match call {
        "plan" | "deploy" | "rollback" | "run" | "restore" | "keys" => Method::POST,
        "info" | "schema" | "logs" | "api.d.ts" => Method::GET,
        _ => return not_found(),
    };
    if parts.method != allow {
        let refusal = CallRefusal::method(if allow == Method::POST { "POST" } else { "GET" });
        return refused(&refusal, RpcDialect::Ferry, &parts);
    }
    let refuse = |error: ferry_types::Error| refused(&error.into(), RpcDialect::Ferry, &parts);
    if call == "api.d.ts" {
        return deploy::api_types(hub, &parts, db).await;
    }
    let context = match auth::enter_admin(hub, &parts, Some(db)).await {
        Ok(context) => context,
        Err(error) => return refuse(error),
    };
    if call == "logs" {
        return logs::serve(hub, &parts, &context).unwrap_or_else(refuse);
    }
    let most = hub.config.functions.bundle_max_bytes.saturating_mul(4);
    let too_large = || {
        let message = format!("request body over {most} bytes.");
        ferry_types::Error::new(ferry_types::Reason::TooLarge, message)
    };
    let body = match metering::read(body, most, &context.meter, too_large).await {
        Ok(body) => body,
        Err(error) => return refuse(error),
    };
    match call {
        "run" => rpc::run_as_admin(hub, &parts, context, &body).await,
        "keys" => match auth::keys(hub, &context, &body).await {
            Ok(answer) => json(&answer.to_string()),
            Err(error) => refuse(error),
        },
        _ => deploy::serve(hub, &context, call, &parts, &body).await,
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "Not Found").into_response()
}

/// A part of a path.
fn decoded(part: &str) -> Option<String> {
    percent_encoding::percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
