//! The way of spans to the collector: in batches, by a task of its own that nobody waits for. A collector that is slow or
//! away costs what may wait (see [`ferry_trace::WAITING_MAX`]) and two lines of the log.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferry_http_client::{Bounds, HttpClient, Reach, RemoteUrl};
use ferry_trace::{Attribute, Tracer};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::message;
use crate::config::OtlpConfig;

/// Spans of one request to the collector.
const BATCH_MAX: usize = 512;
/// How long spans gather until they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// One exchange.
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(10), max_bytes: 64 << 10 };
/// Pauses between tries.
const PAUSE_LEAST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(60);
/// How long a hub that stops waits for the collector.
const END_MAX: Duration = Duration::from_secs(2);

/// Counts spans by what became of them.
pub(super) fn count(result: &'static str, spans: u64) {
    if spans > 0 {
        metrics::counter!("ferry_trace_spans_total", "result" => result).increment(spans);
    }
}

/// What a collector made of a batch.
enum Answer {
    /// It has it, but for so many spans.
    Taken(usize),
    /// It never will.
    Refused(StatusCode),
    /// It may later.
    Later(String),
}

/// Sends spans to one collector.
pub(super) struct Exporter {
    tracer: Arc<Tracer>,
    endpoint: RemoteUrl,
    headers: Vec<(HeaderName, HeaderValue)>,
    http_client: Arc<HttpClient>,
    resource: [Attribute; 2],
    /// What is being sent. It outlives the sending: a hub that stops tries it once more.
    on_its_way: Option<Batch>,
    /// Whether the log has that it takes nothing.
    is_down: bool,
}

impl Exporter {
    pub(super) fn new(
        tracer: &Arc<Tracer>,
        endpoint: &RemoteUrl,
        config: &OtlpConfig,
        http_client: &Arc<HttpClient>,
    ) -> Self {
        Self {
            tracer: Arc::clone(tracer),
            endpoint: endpoint.clone(),
            headers: config.headers.clone(),
            http_client: Arc::clone(http_client),
            resource: [
                ("service.name", "ferry".into()),
                ("service.version", env!("CARGO_PKG_VERSION").into()),
            ],
            on_its_way: None,
            is_down: false,
        }
    }

    /// Sends until `end`, and then what is left, once.
    pub(super) async fn run(mut self, end: CancellationToken) {
        // What a hub that stops waits for is bounded, whatever the collector does.
        if end.run_until_cancelled(self.follow()).await.is_none() {
            let _ = timeout(END_MAX, self.send_rest()).await;
        }
    }

    async fn follow(&mut self) {
        loop {
            self.tracer.filled().await;
            sleep(GATHER).await;
            count("dropped", self.tracer.take_dropped());
            while self.take() {
                let mut pause = PAUSE_LEAST;
                while !self.try_once().await {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MOST);
                }
                count("dropped", self.tracer.take_dropped());
            }
        }
    }

    async fn send_rest(&mut self) {
        while self.take() {
            if !self.try_once().await {
                self.on_its_way = None;
            }
        }
    }

    /// Takes the next batch, unless one is on its way. False if there is none.
    fn take(&mut self) -> bool {
        if self.on_its_way.is_none() {
            self.on_its_way = Batch::take(&self.tracer, &self.resource);
        }
        self.on_its_way.is_some()
    }

    /// Sends the batch that is on its way. True if it was taken or refused, and is done with.
    async fn try_once(&mut self) -> bool {
        let Some(batch) = &self.on_its_way else { return true };
        let (body, spans) = (batch.body.clone(), batch.spans);
        let answer = self.post(body).await;
        let is_settled = self.note(&answer, spans);
        if is_settled && let Some(mut batch) = self.on_its_way.take() {
            batch.is_settled = true;
        }
        is_settled
    }

    /// Counts, and tells when it begins to fail and when it no longer does. True if the batch is done with.
    fn note(&mut self, answer: &Answer, spans: usize) -> bool {
        match answer {
            Answer::Taken(rejected) => {
                count("rejected", *rejected as u64);
                count("exported", spans.saturating_sub(*rejected) as u64);
                if std::mem::take(&mut self.is_down) {
                    tracing::info!("the collector takes traces again");
                }
                true
            }
            Answer::Refused(status) => {
                count("rejected", spans as u64);
                if !std::mem::replace(&mut self.is_down, true) {
                    let status = status.as_u16();
                    tracing::warn!(
                        status,
                        "the collector refuses traces: look at otlp_endpoint and otlp_headers"
                    );
                }
                true
            }
            Answer::Later(cause) => {
                if !std::mem::replace(&mut self.is_down, true) {
                    tracing::warn!(
                        cause,
                        "the collector takes no traces (otlp_endpoint): it is tried again, and what does not fit is dropped"
                    );
                }
                false
            }
        }
    }

    async fn post(&self, body: Bytes) -> Answer {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri();
        let headers = request.headers_mut();
        headers.extend(self.headers.iter().cloned());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        match self.http_client.send(request, Reach::Anywhere, BOUNDS).await {
            Ok(answer) if answer.status().is_success() => Answer::Taken(message::rejected(answer.body())),
            // Those that the standard has tried again.
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 502..=504) => {
                Answer::Later(format!("it answered {}", answer.status()))
            }
            Ok(answer) => Answer::Refused(answer.status()),
            Err(error) => Answer::Later(error.to_string()),
        }
    }
}

/// Spans that were taken, and count as waiting until this is dropped: as lost, unless they were settled.
struct Batch {
    tracer: Arc<Tracer>,
    /// How many.
    spans: usize,
    /// They as the collector reads them.
    body: Bytes,
    is_settled: bool,
}

impl Batch {
    /// `None`: none wait.
    fn take(tracer: &Arc<Tracer>, resource: &[Attribute]) -> Option<Self> {
        let spans = tracer.take(BATCH_MAX);
        if spans.is_empty() {
            return None;
        }
        let body = message::encode(&spans, resource).into();
        Some(Self { tracer: Arc::clone(tracer), spans: spans.len(), body, is_settled: false })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.tracer.done(self.spans);
        if !self.is_settled {
            count("dropped", self.spans as u64);
        }
    }
}
