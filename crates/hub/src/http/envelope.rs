//! The outermost layer: everything that is the same for all routes.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use ferry_types::Clock;
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use tower::util::option_layer;

use super::{
    client_ip::client_ip, cors, dev_guard, memory_pool::MemoryPool, request_body::RequestBody,
    timed_stream::ConnectionProgress, untaken::UntakenAnswers,
};
use crate::{
    clock,
    config::{IpNetwork, ListenerConfig},
    static_files::ApplicationPage,
    traces::{self, Traces},
};
use ferry_control::{ClientIp, Origin};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX_BYTES: usize = 64;

/// Id of a request, as an extension: on its response, its log line and its audit rows (WEB-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequestId(pub String);

impl HttpRequestId {
    fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let acceptable = |id: &&str| {
            (1..=REQUEST_ID_MAX_BYTES).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        Self(given.filter(acceptable).map_or_else(|| clock::new_id().to_string(), str::to_owned))
    }
}

/// Where a request comes from, as the envelope has noted on it.
pub(crate) fn request_origin(parts: &Parts) -> Origin {
    let id = parts.extensions.get::<HttpRequestId>().map(|id| id.0.clone());
    let ip = parts.extensions.get::<ClientIp>().copied().unwrap_or_default();
    Origin::new(id.unwrap_or_default(), ip)
}

/// What is the same for all routes.
pub(crate) struct Envelope {
    dev: bool,
    clock: Arc<dyn Clock>,
    trusted_proxies: Vec<IpNetwork>,
    cors_origins: Vec<String>,
    /// The policy that is told where the hub is reached by https.
    strict_transport_security: Option<HeaderValue>,
    body_memory: Arc<MemoryPool>,
    untaken: Arc<UntakenAnswers>,
    traces: Arc<Traces>,
}

impl Envelope {
    /// As the operator wants it. `dev`: see CFG-04.
    pub(crate) fn new(
        config: &ListenerConfig,
        dev: bool,
        clock: Arc<dyn Clock>,
        (body_memory, untaken): (Arc<MemoryPool>, Arc<UntakenAnswers>),
        traces: Arc<Traces>,
    ) -> Self {
        let is_https = config.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
            || config.tls.is_some();
        let policy = match config.hsts_include_subdomains {
            true => "max-age=31536000; includeSubDomains",
            false => "max-age=31536000",
        };
        Self {
            dev,
            clock,
            trusted_proxies: config.trusted_proxies.clone(),
            cors_origins: config.cors_origins.clone(),
            strict_transport_security: is_https.then(|| HeaderValue::from_static(policy)),
            body_memory,
            untaken,
            traces,
        }
    }

    /// Wraps all routes. `before_cors` adds what answers before the hub's own CORS does.
    pub(crate) fn wrap(self, routes: Router, before_cors: impl FnOnce(Router) -> Router) -> Router {
        let cors = cors::layer(&self.cors_origins, self.dev);
        let all = before_cors(routes.layer(option_layer(cors)));
        all.layer(from_fn_with_state(Arc::new(self), envelope))
    }
}

async fn envelope(
    State(shared): State<Arc<Envelope>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = HttpRequestId::of(&request);
    let client = client_ip(peer.ip(), request.headers(), &shared.trusted_proxies);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_trusted = || shared.trusted_proxies.iter().any(|network| network.contains(peer.ip()));
    let mut span = shared.traces.request((&method, &path), request.headers(), is_trusted);
    let preflight = cors::is_preflight(&request);
    let started = tokio::time::Instant::now();
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(client);
    let connection = request.extensions().get::<ConnectionProgress>().cloned().unwrap_or_default();
    let body = RequestBody::new(Arc::clone(&shared.body_memory), connection);
    request.extensions_mut().insert(body.clone());
    let version = request.version();
    let request = request.map(|inner| body.watch(inner));

    let refused = shared.dev.then(|| dev_guard::refusal(request.uri(), request.headers())).flatten();
    let mut response = match refused {
        Some(refusal) => refusal.into_response(),
        None => span.scope(next.run(request)).await,
    };

    if let Some(fault) = body.fault() {
        response = fault.response(version);
    }
    response = shared.untaken.admit(&method, body.principal(), response);
    if preflight && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = Body::empty();
        if let Some(methods) = response.headers_mut().get_mut(header::ACCESS_CONTROL_ALLOW_METHODS) {
            *methods = cors::methods(&path);
        }
    }
    add_headers(&mut response, &id, &shared);
    traces::answered(&mut span, &response);
    let status = response.status().as_u16();
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    // The query may carry credentials and is never logged.
    let trace_id = span.trace_id().map(tracing::field::display);
    tracing::info!(request_id = %id.0, trace_id, %method, path, status, micros, client = %client, "request");
    metrics::counter!("ferry_http_requests_total", "status" => status_class(status)).increment(1);
    response
}

fn add_headers(response: &mut Response, id: &HttpRequestId, shared: &Envelope) {
    let no_content = response.status() == StatusCode::NO_CONTENT;
    let is_ours = response.extensions().get::<ApplicationPage>().is_none();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, id);
    }
    // By the hub's clock: the server library ends the connection in a panic where the system's is beyond the year 9999.
    if let Some(date) = clock::http_date(shared.clock.now()).and_then(|date| HeaderValue::try_from(date).ok())
    {
        headers.insert(header::DATE, date);
    }
    if no_content {
        return;
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(policy) = &shared.strict_transport_security {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, policy.clone());
    }
    let is_kind = |kind: &str| {
        headers.get(header::CONTENT_TYPE).is_some_and(|found| found.as_bytes().starts_with(kind.as_bytes()))
    };
    let (html, plain) = (is_kind("text/html"), is_kind("text/plain"));
    if plain && is_ours {
        let policy = "default-src 'none'; frame-ancestors 'none'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    if html && is_ours {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
}

/// Status as a label from a closed set.
const fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
