//! hephd's two endpoints (ops specification, 2.1): its clients work unmodified, and nothing is lost.

mod pull;
mod push;

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose};
use ferry_types::{Code, Error, Reason};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::access::{self, check_whole};
use crate::{
    entry::{Carriers, RequestContext},
    http::{advise, options, status_of, takes},
    hub::Hub,
    rights::{OPS_PULL, OPS_PUSH, Right},
};

/// Serves `call` of the log of `{db}`; of that of the credential at the root.
pub(super) async fn serve(hub: &Arc<Hub>, request: Request, db: Option<&str>, call: &str) -> Response {
    let (parts, body) = request.into_parts();
    let allow = match call {
        "push" => "POST, OPTIONS",
        "pull" => "GET, OPTIONS",
        _ => return not_found(),
    };
    if parts.method == Method::OPTIONS {
        return options(allow);
    }
    if !takes(allow, &parts.method) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    let right = if call == "push" { OPS_PUSH } else { OPS_PULL };
    match enter(hub, &parts, db, right).await {
        Err(error) => refused(&error),
        Ok(context) if call == "push" => push::serve(hub, &context, &parts, body).await,
        Ok(context) => pull::serve(hub, context, &parts).await,
    }
}

async fn enter(
    hub: &Arc<Hub>,
    parts: &Parts,
    db: Option<&str>,
    right: Right,
) -> ferry_types::Result<RequestContext> {
    // The userinfo of a URL comes as Basic: the password is the bearer, whatever the name is.
    let password = basic_password(&parts.headers);
    let carriers = Carriers::Else { is_stream: false, secret: password.as_deref() };
    let context = access::enter(hub, parts, carriers, db, right).await?;
    check_whole(&context)?;
    access::reach(&context, &parts.headers).await?;
    Ok(context)
}

/// The password of a header `Authorization: Basic` (RFC 7617).
fn basic_password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = general_purpose::STANDARD.decode(text.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned()).filter(|password| !password.is_empty())
}

/// The answer for `error`. Clients read its status alone; the line is for people.
fn refused(error: &Error) -> Response {
    let line = match error.code() {
        Code::Unauthenticated => format!("unauthorized: {}\n", error.message),
        _ if error.reason == Reason::WrongKind => format!("WRONG_KIND: {}\n", error.message),
        _ => format!("{}\n", error.message),
    };
    let status = match error.reason {
        // Clients of this wire try 503 again and give up at what they do not know.
        Reason::StorageFull => StatusCode::SERVICE_UNAVAILABLE,
        _ => status_of(error.reason),
    };
    let mut response = text(status, line);
    if response.status() == StatusCode::UNAUTHORIZED {
        let ask = HeaderValue::from_static(r#"Basic realm="ferry", charset="UTF-8""#);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
    }
    advise(&mut response, error.retry_after_ms);
    response
}

/// A path that nobody answers.
pub(super) fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "Not Found\n")
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.into()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-50
    #[test]
    fn the_password_of_basic_is_the_bearer() {
        let of = |value: &str| {
            basic_password(&HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]))
        };
        let basic = |text: &str| format!("Basic {}", general_purpose::STANDARD.encode(text));
        assert_eq!(of(&basic("x:a.b.c")).as_deref(), Some("a.b.c"));
        assert_eq!(of(&basic(":a:b").replace("Basic", "basic")).as_deref(), Some("a:b"));
        for none in [basic("x:"), basic("token"), "Basic ?".to_owned(), "Bearer a.b.c".to_owned()] {
            assert_eq!(of(&none), None, "{none}");
        }
    }
}
