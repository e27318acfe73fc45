//! `/_/api/`: the hub's own RPCs and `/v1`, for the page. Here alone the cookie counts, as if its session had come in
//! `Authorization`; so here alone a foreign page could act for somebody, and is refused before anything is read.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use ferry_control::{Access, ClientIp, SignedInAt, Signup};
use ferry_types::Code;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::cookie::SessionCookie;
use crate::{
    config::ListenerConfig,
    entry::{AskedByPage, SessionReads},
    http::{HttpRequestId, names_this_machine, status},
    hub::Hub,
};

const RPCS: &str = "/ferry.admin.v1.AdminService/";
/// What answers with a session, which the page never sees.
const SIGN_INS: [&str; 4] = ["Signup", "Login", "CompleteOAuth", "RefreshSession"];
/// What tells whether a session stands: elsewhere 401 may mean a wrong password.
const WHO: &str = "Whoami";
/// How old a sign-in may be that takes something away.
const FRESH_MS: i64 = 5 * 60 * 1000;
/// By this the page knows that it must ask for the password.
const SIGN_IN_AGAIN: &str = "SIGN_IN_AGAIN";
/// What an answer with a session may take.
const SIGN_IN_MAX_BYTES: usize = 64 * 1024;
/// Proof that a page of this origin asks: no form can add it, and no foreign script without CORS.
const MARK: HeaderName = HeaderName::from_static("ferry-dashboard");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What would be a credential beside the cookie's.
const CREDENTIALS: [HeaderName; 6] = [
    // Not a credential, but by it an answer would be opened to other pages.
    header::ORIGIN,
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("ferry-key"),
    HeaderName::from_static("x-edgepod-key"),
    HeaderName::from_static("ferry-session-id"),
];

/// Answers `path`, which stands below `/_/api`.
pub(super) async fn serve(hub: &Arc<Hub>, path: &str, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<HttpRequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let refuse = |status: StatusCode, code: &str, message: &str| {
        let body = json!({"code": code, "message": message, "request_id": id});
        (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    };
    if let Err(message) = is_from_the_page(request.method(), request.uri(), request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "permission_denied", message);
    }
    let rpc = path.strip_prefix(RPCS).map(str::to_owned);
    if path == "/hub" && request.method() == Method::GET {
        return facts(hub);
    }
    let is_metrics = path == "/metrics" && request.method() == Method::GET;
    if rpc.is_none() && !is_metrics && !path.starts_with("/v1/") {
        return refuse(StatusCode::NOT_FOUND, "not_found", "no such endpoint under /_/api");
    }
    let Some(cookie) = cookie_of(&hub.config.listener, &request) else {
        let message = "passwords and sessions are not sent over plain http from another machine: put a proxy with https \
            in front and set public_url, or set tls_cert and tls_key";
        return refuse(StatusCode::FORBIDDEN, "permission_denied", message);
    };
    let Some(inner) = inner_uri(path, request.uri()) else {
        return refuse(StatusCode::NOT_FOUND, "not_found", "no such endpoint under /_/api");
    };
    let kept = cookie.read(request.headers());
    let session = kept.and_then(|kept| hub.control.open_session(kept));
    let session = session.and_then(|token| HeaderValue::try_from(format!("Bearer {}", *token)).ok());
    let (has_cookie, was_signed_in) = (kept.is_some(), session.is_some());
    let gives_session = rpc.as_deref().is_some_and(|method| SIGN_INS.contains(&method));
    let headers = request.headers_mut();
    for name in CREDENTIALS {
        headers.remove(name);
    }
    if gives_session {
        // What comes back is read here.
        headers.remove(header::ACCEPT_ENCODING);
    }
    if let Some(session) = session {
        headers.insert(header::AUTHORIZATION, session);
    }
    *request.uri_mut() = inner;
    let session_max_seconds = i64::try_from(hub.config.console.dashboard_session_seconds).unwrap_or(i64::MAX);
    request.extensions_mut().insert(AskedByPage { session_max_seconds });
    if request.method() == Method::GET && reads_data(path) {
        request.extensions_mut().insert(SessionReads);
    }
    let prefix = hub.config.listener.public_path();
    if was_signed_in && destroys(request.method(), path, rpc.as_deref()) {
        let ip = request.extensions().get::<ClientIp>().copied().unwrap_or_default();
        match is_fresh(hub, request.headers(), ip).await {
            Ok(true) => {}
            Ok(false) => return sign_in_again(&id),
            // What is wrong with the session is told by what it was to do.
            Err(error) if error.code() == Code::Unauthenticated => {}
            // Too many requests, or storage that fails: nobody knows how old this sign-in is.
            Err(error) => {
                let status = status(error.code().http_status());
                return refuse(status, error.code().as_str(), &error.message);
            }
        }
    }
    let mut response = next.run(request).await;
    if gives_session && response.status().is_success() {
        response = match keep_session(hub, response, cookie).await {
            Some(response) => response,
            None => refuse(StatusCode::BAD_GATEWAY, "internal", "the answer of a sign-in cannot be read"),
        };
    } else if has_cookie && rpc.as_deref() == Some(WHO) && response.status() == StatusCode::UNAUTHORIZED {
        set_cookie(response.headers_mut(), &cookie.forget(prefix));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether a request takes away what nobody gets back by himself, puts something else in its place, makes an operator, or opens
/// another's account (OPR-55). Of backups that is pruning them, and resuming them, as a target is taken over.
fn destroys(method: &Method, path: &str, rpc: Option<&str>) -> bool {
    const RPCS: [&str; 8] = [
        "DeleteDatabase",
        "DeleteOrg",
        "IssuePasswordReset",
        "PruneBackups",
        "RestoreDatabase",
        "ResumeBackups",
        "RetireSigningKey",
        "SetUserOperator",
    ];
    if let Some(rpc) = rpc {
        return RPCS.contains(&rpc);
    }
    // What models let a session administer, all of it: they read paths each in their own way, with escapes or a slash at the end.
    let Some(of_databases) = path.strip_prefix("/v1/databases/") else { return false };
    if matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    let parts: Vec<&str> = of_databases.split('/').collect();
    let only_adds = matches!(parts[..], [_, "fork"] | [_, "events", "stores", _, "resume"]);
    !(only_adds && *method == Method::POST)
}

/// Whether the session of these headers began a short time ago.
async fn is_fresh(hub: &Hub, headers: &HeaderMap, ip: ClientIp) -> ferry_types::Result<bool> {
    let caller = hub.control.authenticator.session(headers, ip, Access::Read)?;
    let signed_in = SignedInAt { caller: &caller }.run(&hub.control.db).await?;
    Ok(hub.clock.now().0.saturating_sub(signed_in.0) <= FRESH_MS)
}

/// What a session is told that is too old for what it wants.
fn sign_in_again(id: &str) -> Response {
    let message = "this takes something away or opens an account: sign in again, then do it within 5 minutes";
    let detail = json!({"debug": {"reason": SIGN_IN_AGAIN, "requestId": id}});
    let body =
        json!({"code": "permission_denied", "message": message, "request_id": id, "details": [detail]});
    (StatusCode::FORBIDDEN, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// What anybody may know before a sign-in: whether this is a first visit, and what to offer.
fn facts(hub: &Hub) -> Response {
    let signup = match hub.config.control.signup {
        Signup::Open => "open",
        Signup::Invite => "invite",
        Signup::Closed => "closed",
    };
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "signup": signup,
        "has_accounts": hub.control.user_count() > 0,
        "mail": hub.config.mail.is_some(),
        "require_verified": hub.config.mail.as_ref().is_some_and(|mail| mail.policy.require_verified),
        "providers": hub.control.oauth.providers().iter().map(|provider| provider.as_str()).collect::<Vec<_>>(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Whether a GET of this path reads what a model keeps, and runs nothing of a user's: calls of functions do.
fn reads_data(path: &str) -> bool {
    let mut parts = path.strip_prefix("/v1/databases/").unwrap_or_default().split('/').skip(1);
    parts.next().is_some_and(|model| matches!(model, "file" | "pages" | "events" | "records" | "ops"))
}

/// OPR-53. `Err` tells why not.
fn is_from_the_page(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key(header::UPGRADE) {
        return Err("no WebSockets stand under /_/api");
    }
    let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(&header::HOST));
    let is_own = |origin: &str| origin.split_once("://").map(|(_, host)| host) == host;
    let same_origin = match (text(&FETCH_SITE), text(&header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => is_own(origin),
        // No browser in sight: a cookie does not get here by itself.
        (None, None) => matches!(*method, Method::GET | Method::HEAD),
    };
    if !same_origin {
        return Err("only the dashboard itself may ask here: another page or no page did");
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    if text(&MARK) != Some("1") {
        return Err("the header Ferry-Dashboard: 1 is missing");
    }
    let media_type = text(&header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    match media_type.map(str::trim) {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err("the body must be application/json"),
    }
}

/// The cookie for how the hub is reached, if any may be sent that way.
fn cookie_of(config: &ListenerConfig, request: &Request) -> Option<SessionCookie> {
    if config.base_url().starts_with("https://") {
        return Some(SessionCookie::Secure);
    }
    names_this_machine(request.uri(), request.headers()).then_some(SessionCookie::Loopback)
}

fn inner_uri(path: &str, outer: &Uri) -> Option<Uri> {
    let query = outer.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = outer.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Moves the session from the body into the cookie.
async fn keep_session(hub: &Hub, response: Response, cookie: SessionCookie) -> Option<Response> {
    let (mut parts, body) = response.into_parts();
    let mut answer: Value = serde_json::from_slice(&to_bytes(body, SIGN_IN_MAX_BYTES).await.ok()?).ok()?;
    let token = answer.as_object_mut()?.remove("sessionToken")?;
    parts.headers.remove(header::CONTENT_LENGTH);
    let value = hub.control.seal_session(token.as_str()?).ok()?;
    let max_age_seconds = hub.config.console.dashboard_session_seconds;
    set_cookie(&mut parts.headers, &cookie.keep(&value, max_age_seconds, hub.config.listener.public_path()));
    Some(Response::from_parts(parts, Body::from(answer.to_string())))
}

fn set_cookie(headers: &mut HeaderMap, line: &str) {
    if let Ok(line) = HeaderValue::from_str(line) {
        headers.append(header::SET_COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut request = http::Request::builder().method(method).uri("/_/api/x").header("host", "h:1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        is_from_the_page(method, &parts.uri, &parts.headers)
    }

    // Verifies: OPR-52
    #[test]
    fn a_session_reads_data_and_calls_nothing() {
        for reads in
            ["/v1/databases/db_x/records/apps", "/v1/databases/a/file", "/v1/databases/a/ops/entities"]
        {
            assert!(reads_data(reads), "{reads}");
        }
        for other in [
            "/v1/databases/a/rpc/f",
            "/v1/databases/a/livestore",
            "/v1/databases/a/ws",
            "/v1/databases/a/hephd/sync/pull",
            "/v1/databases/events",
            "/ferry.admin.v1.AdminService/Whoami",
        ] {
            assert!(!reads_data(other), "{other}");
        }
    }

    // Verifies: OPR-55
    #[test]
    fn what_takes_something_away_needs_a_fresh_sign_in() {
        let is = |method: Method, path: &str| destroys(&method, path, path.strip_prefix(RPCS));
        for destroying in [
            (Method::POST, "/ferry.admin.v1.AdminService/DeleteDatabase"),
            (Method::POST, "/ferry.admin.v1.AdminService/RestoreDatabase"),
            (Method::POST, "/ferry.admin.v1.AdminService/DeleteOrg"),
            (Method::POST, "/ferry.admin.v1.AdminService/RetireSigningKey"),
            (Method::POST, "/ferry.admin.v1.AdminService/SetUserOperator"),
            (Method::POST, "/ferry.admin.v1.AdminService/IssuePasswordReset"),
            (Method::POST, "/ferry.admin.v1.AdminService/PruneBackups"),
            (Method::POST, "/ferry.admin.v1.AdminService/ResumeBackups"),
            (Method::POST, "/v1/databases/db_x/restore"),
            (Method::POST, "/v1/databases/db_x/events/stores/a/remint"),
            (Method::POST, "/v1/databases/db_x/events/stores/a/reset"),
            (Method::POST, "/v1/databases/db_x/events/stores/a/reset/"),
            (Method::POST, "/v1/databases/db_x/events/stores/a/remint/"),
            (Method::POST, "/v1/databases/db_x/ops/epoch"),
            (Method::POST, "/v1/databases/db_x/ops/ep%6Fch"),
            (Method::POST, "/v1/databases/db_x/records/import"),
            (Method::POST, "/v1/databases/db_x/records/impor%74"),
            (Method::POST, "/v1/databases/db_x/functions/deploy"),
            (Method::POST, "/v1/databases/db_x/functions/run"),
            (Method::POST, "/v1/databases/db_x/ops/quarantine/fork"),
            (Method::DELETE, "/v1/databases/db_x/events/stores/fork"),
            (Method::DELETE, "/v1/databases/db_x/events/stores/a"),
        ] {
            assert!(is(destroying.0.clone(), destroying.1), "{destroying:?}");
        }
        for other in [
            (Method::POST, "/ferry.admin.v1.AdminService/RenameDatabase"),
            (Method::POST, "/ferry.admin.v1.AdminService/CreateBackup"),
            (Method::POST, "/v1/databases/db_x/fork"),
            (Method::POST, "/v1/databases/db_x/events/stores/a/resume"),
            (Method::GET, "/v1/databases/restore/pages"),
            (Method::GET, "/v1/databases/db_x/restore"),
        ] {
            assert!(!is(other.0.clone(), other.1), "{other:?}");
        }
    }

    // Verifies: OPR-53
    #[test]
    fn only_the_page_may_act() {
        let (mark, json) = (("ferry-dashboard", "1"), ("content-type", "application/json; charset=utf-8"));
        let (own, cross) = (("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"));
        assert_eq!(asked(&Method::POST, &[mark, json, own]), Ok(()));
        assert_eq!(asked(&Method::POST, &[mark, json, ("origin", "http://h:1")]), Ok(()));
        assert_eq!(asked(&Method::GET, &[]), Ok(()));
        for refused in [
            &[mark, json, cross][..],
            &[mark, json, ("sec-fetch-site", "same-site")],
            &[mark, json, ("sec-fetch-site", "none")],
            &[mark, json, ("origin", "http://h:2")],
            &[mark, json, ("origin", "null")],
            &[mark, json],
            &[json, own],
            &[mark, own],
            &[mark, own, ("content-type", "text/plain")],
            &[mark, json, own, ("upgrade", "websocket")],
        ] {
            assert!(asked(&Method::POST, refused).is_err(), "{refused:?}");
        }
        assert!(asked(&Method::GET, &[cross]).is_err());
        assert!(asked(&Method::GET, &[own, ("upgrade", "websocket")]).is_err());
    }
}
