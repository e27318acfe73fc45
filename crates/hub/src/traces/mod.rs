//! Traces of requests (OPR-80): which span a request has, and its way to a collector. What happens inside a request is told
//! by those who do it, with [`ferry_trace`].

mod export;
mod message;
mod route;

use std::sync::Arc;

use ferry_http_client::{HttpClient, known_method};
use ferry_trace::{Span, SpanTime, Traceparent, Tracer};
use ferry_types::{DatabaseId, Model};
use http::{HeaderMap, Method, Response, header};
use http_body::Body as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{clock, config::OtlpConfig, monotonic};
use export::Exporter;

/// The traced requests of a hub; of a hub without a collector none.
pub struct Traces {
    tracer: Option<Arc<Tracer>>,
}

/// The hub's clock and randomness.
struct SystemTime;

impl SpanTime for SystemTime {
    fn now_ns(&self) -> u64 {
        monotonic::now_ns()
    }

    fn zero_unix_ns(&self) -> u64 {
        clock::unix_ns().saturating_sub(monotonic::now_ns())
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        match getrandom::fill(&mut bytes) {
            Ok(()) => bytes,
            // An id that follows the time tells traces apart, too.
            Err(_) => clock::new_id().into_bytes(),
        }
    }
}

impl Traces {
    /// As the operator wants it.
    #[must_use]
    pub fn new(config: &OtlpConfig) -> Self {
        Self { tracer: config.endpoint.as_ref().map(|_| Tracer::new(config.sample, SystemTime)) }
    }

    /// The span of a request, if it is traced. `is_trusted`: a proxy of the operator's own sent it.
    pub(crate) fn request(
        &self,
        (method, path): (&Method, &str),
        headers: &HeaderMap,
        is_trusted: impl FnOnce() -> bool,
    ) -> Span {
        let Some(tracer) = &self.tracer else { return Span::none() };
        let caller = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let caller: Option<Traceparent> = caller.and_then(|text| text.parse().ok());
        let is_trusted = caller.is_some() && is_trusted();
        let mut span = tracer.begin("request", caller, is_trusted);
        if span.is_recorded() {
            let (method, route) = (known_method(method), route::template(path));
            span.rename(format!("{method} {route}"));
            span.set("http.request.method", || method);
            span.set("http.route", || route.into_owned());
            if let Some(length) = length(headers) {
                span.set("http.request.body.size", || length);
            }
        }
        span
    }

    /// The span of a message that came over a socket, if it is traced: the request for the socket is long over.
    pub(crate) fn message(&self, name: &'static str, model: Model, database: DatabaseId) -> Span {
        let Some(tracer) = &self.tracer else { return Span::none() };
        let mut span = tracer.begin(name, None, false);
        span.set("ferry.model", || model.as_str());
        span.set("ferry.database", || database.to_string());
        span
    }

    /// Sends what is traced to the collector, until `end`; then what is left, once.
    pub(crate) fn export(
        &self,
        config: &OtlpConfig,
        http_client: &Arc<HttpClient>,
        end: CancellationToken,
    ) -> Option<JoinHandle<()>> {
        let (tracer, endpoint) = (self.tracer.as_ref()?, config.endpoint.as_ref()?);
        let exporter = Exporter::new(tracer, endpoint, config, http_client);
        Some(tokio::spawn(exporter.run(end)))
    }

    /// Counts what was dropped since the last time.
    pub(crate) fn count_dropped(&self) {
        if let Some(tracer) = &self.tracer {
            export::count("dropped", tracer.take_dropped());
        }
    }
}

/// Notes on a request's span how it was answered.
pub(crate) fn answered(span: &mut Span, response: &Response<axum::body::Body>) {
    if !span.is_recorded() {
        return;
    }
    let status = response.status();
    span.set("http.response.status_code", || status.as_u16());
    if let Some(length) = response.body().size_hint().exact() {
        span.set("http.response.body.size", || length);
    }
    if status.is_server_error() {
        span.fail();
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
