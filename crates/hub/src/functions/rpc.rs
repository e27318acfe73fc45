//! `/rpc/{fn}` (functions specification, 2.2): calls in, answers out.

mod args;
mod make;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use ferry_auth::FunctionAuth;
use ferry_functions::FunctionKind;
use ferry_protocol::functions::{FerryMeta, RpcSuccess};
use ferry_types::Seq;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

pub(super) use args::canonical;
use make::headers_of;
use make::make;
pub(super) use make::{NotMade, evaluate, log_lines};

use super::{
    auth::{self, FunctionsCaller},
    call::{Idempotency, Writes},
    deployed::{self, LoadedFunctions},
    live_result::LiveCaller,
    refusal::CallRefusal,
    response::{RpcDialect, json, refused, request_id},
};
use crate::{
    entry::{Carriers, RequestContext},
    http::{KnownTags, metering},
    hub::Hub,
};

/// Longest id of a session, characters.
pub(super) const SESSION_MAX_CHARS: usize = 128;
/// Longest key of a call, characters.
const IDEMPOTENCY_KEY_MAX_CHARS: usize = 128;

/// A header under its own name or EdgePod's; Ferry's wins.
fn either<'r>(headers: &'r HeaderMap, ferry: &str, edgepod: &str) -> Option<&'r str> {
    headers.get(ferry).or_else(|| headers.get(edgepod)).and_then(|value| value.to_str().ok())
}

/// Serves a call.
pub(super) async fn serve(hub: &Arc<Hub>, request: Request, db: Option<&str>, function: &str) -> Response {
    let (parts, body) = request.into_parts();
    let dialect = RpcDialect::of(&parts.headers);
    let caller = match auth::enter(hub, &parts, Carriers::Request, db).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal.response(|error| refused(&error.into(), dialect, &parts)),
    };
    let meter = caller.context.meter.clone();
    let response = match called(hub, &parts, body, &caller, function, dialect).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal, dialect, &parts),
    };
    let class = match response.status().as_u16() / 100 {
        2 | 3 => "ok",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("ferry_functions_calls_total", "status" => class).increment(1);
    metering::reply(response, &meter)
}

async fn called(
    hub: &Arc<Hub>,
    parts: &Parts,
    body: Body,
    caller: &FunctionsCaller,
    function: &str,
    dialect: RpcDialect,
) -> Result<Response, CallRefusal> {
    let (deployed, kind) = find(hub, &caller.context, function, false).await?;
    caller.check_function(function)?;
    let writes = match parts.method {
        Method::GET if kind == FunctionKind::Mutation || kind == FunctionKind::Action => {
            return Err(CallRefusal::writes(function));
        }
        Method::GET => Writes::Get,
        Method::POST if kind == FunctionKind::Query => Writes::Query,
        Method::POST if caller.read_only => Writes::Credential,
        Method::POST => Writes::Allowed,
        // EdgePod answers so.
        _ => return Ok(method_not_allowed()),
    };
    let args = if parts.method == Method::GET {
        args::of_query(parts.uri.query())?
    } else {
        let most = hub.config.functions.body_max_bytes;
        let too_large = || CallRefusal::new(format!("TOO_LARGE: request body over {most} bytes."));
        args::of_body(&metering::read(body, most, &caller.context.meter, too_large).await?)?
    };
    if let Some(least) = args::min_seq(&parts.headers)? {
        caller.context.database.reach(least).await?;
    }
    let idempotency = idempotency(parts, caller, kind, &args)?;
    let session =
        either(&parts.headers, "ferry-session-id", "x-edgepod-session-id").filter(|id| !id.is_empty());
    if session.is_some_and(|id| id.chars().count() > SESSION_MAX_CHARS) {
        return Err(CallRefusal::new(format!(
            "INVALID: a session id has at most {SESSION_MAX_CHARS} characters."
        )));
    }
    let is_reactive = either(&parts.headers, "ferry-reactive", "x-edgepod-reactive") != Some("false");
    let call = make::WantedResult {
        hub,
        caller: LiveCaller::of(caller),
        deployed,
        function,
        kind,
        args,
        headers: headers_of(&parts.headers),
        request_id: request_id(parts),
        writes,
        idempotency,
        session: session.filter(|_| is_reactive),
        dialect,
    };
    let answer = make(call).await?;
    let is_read = parts.method == Method::GET;
    if is_read && KnownTags::of(&parts.headers).has(&format!("\"{}\"", answer.hash)) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        add_headers(&mut response, answer.seq, Some(&answer.hash));
        return Ok(response);
    }
    let ferry = (dialect == RpcDialect::Ferry).then_some(FerryMeta { seq: answer.seq.0, hash: &answer.hash });
    let success = RpcSuccess {
        data: answer.data.as_deref(),
        tables: &answer.tables,
        warnings: &answer.warnings,
        ferry,
    };
    let mut response = Response::new(Body::from(success.encode()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add_headers(&mut response, answer.seq, is_read.then_some(&*answer.hash));
    Ok(response)
}

fn method_not_allowed() -> Response {
    let allow = [(header::ALLOW, "GET, POST, OPTIONS")];
    (StatusCode::METHOD_NOT_ALLOWED, allow, "Method Not Allowed").into_response()
}

fn add_headers(response: &mut Response, seq: Seq, etag: Option<&str>) {
    response.headers_mut().insert("ferry-seq", HeaderValue::from(seq.0));
    if let Some(value) = etag.and_then(|hash| HeaderValue::from_str(&format!("\"{hash}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

/// The function of this name.
pub(super) async fn find(
    hub: &Arc<Hub>,
    context: &RequestContext,
    function: &str,
    internal: bool,
) -> Result<(Arc<LoadedFunctions>, FunctionKind), CallRefusal> {
    let unknown = || CallRefusal::new(format!("NOT_FOUND: Function \"{function}\" does not exist."));
    let deployed = deployed::current(hub, &context.database).await?.ok_or_else(unknown)?;
    let info = deployed.pool.program().function(function).filter(|info| internal || !info.internal);
    let kind = info.map(|info| info.kind).ok_or_else(unknown)?;
    Ok((deployed, kind))
}

fn idempotency(
    parts: &Parts,
    caller: &FunctionsCaller,
    kind: FunctionKind,
    args: &str,
) -> Result<Option<Idempotency>, CallRefusal> {
    let Some(key) = parts.headers.get("idempotency-key").filter(|_| parts.method == Method::POST) else {
        return Ok(None);
    };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.chars().count() > IDEMPOTENCY_KEY_MAX_CHARS {
        return Err(CallRefusal::new(format!(
            "INVALID: an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX_CHARS} characters."
        )));
    }
    if kind == FunctionKind::Action {
        return Err(CallRefusal::new("INVALID: an action commits in steps and takes no Idempotency-Key."));
    }
    if kind == FunctionKind::Query {
        return Ok(None);
    }
    let user = LiveCaller::of(caller).user_key();
    let api_key = caller.api_key.map(|key| key.to_string()).unwrap_or_default();
    let args_hash = blake3::hash(args.as_bytes()).to_hex().to_string();
    Ok(Some(Idempotency { owner: format!("{api_key} {user}"), key: key.to_owned(), args_hash }))
}

/// `POST …/functions/run`: a call by an admin, of internal functions too.
pub(super) async fn run_as_admin(
    hub: &Arc<Hub>,
    parts: &Parts,
    context: RequestContext,
    body: &[u8],
) -> Response {
    match run_request(hub, parts, context, body).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal, RpcDialect::Ferry, parts),
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunRequest {
    r#fn: String,
    #[serde(default)]
    args: Option<serde_json::Value>,
    r#as: Option<String>,
    #[serde(default)]
    read_only: bool,
}

async fn run_request(
    hub: &Arc<Hub>,
    parts: &Parts,
    context: RequestContext,
    body: &[u8],
) -> Result<Response, CallRefusal> {
    let request: RunRequest = serde_json::from_slice(body)
        .map_err(|error| CallRefusal::new(format!("INVALID: {error}: send {{\"fn\",\"args\"}}.")))?;
    let (deployed, kind) = find(hub, &context, &request.r#fn, true).await?;
    let writes = match (request.read_only, kind) {
        (true, _) => Writes::Query,
        (false, FunctionKind::Query) => Writes::Query,
        (false, _) => Writes::Allowed,
    };
    let args = request.args.unwrap_or_else(|| serde_json::json!({})).to_string();
    let database = context.database.id();
    let can_sign = hub.control.function_auth(database) == FunctionAuth::Local;
    let user = request.r#as.as_deref().map(|sub| (sub, hub.control.function_owner(database, sub)));
    let call = make::WantedResult {
        hub,
        caller: LiveCaller::as_user(context, user, can_sign),
        deployed,
        function: &request.r#fn,
        kind,
        args: args::canonical(&args)?,
        headers: headers_of(&parts.headers),
        request_id: request_id(parts),
        writes,
        idempotency: None,
        session: None,
        dialect: RpcDialect::Ferry,
    };
    let answer = make(call).await?;
    let success = RpcSuccess {
        data: answer.data.as_deref(),
        tables: &answer.tables,
        warnings: &answer.warnings,
        ferry: Some(FerryMeta { seq: answer.seq.0, hash: &answer.hash }),
    };
    let mut response = json(&String::from_utf8_lossy(&success.encode()));
    add_headers(&mut response, answer.seq, None);
    Ok(response)
}
