//! A collector of traces, which reads what it is sent by OpenTelemetry's own messages and keeps it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message as _;

use crate::serve::{Reply, Request, serve};

type Answer = Box<dyn Fn(&Request) -> Reply + Send>;

/// A span as it was sent. Ids are hex; numbers are written out.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    /// Its trace.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
    /// Of what it is a part; empty: of nothing.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `INTERNAL`, `SERVER`, `CLIENT`.
    pub kind: &'static str,
    /// Begin and end, Unix nanoseconds.
    pub times: (u64, u64),
    /// What else it says.
    pub attributes: BTreeMap<String, String>,
    /// Whether it failed.
    pub is_error: bool,
}

/// A collector on an ephemeral port of this machine.
#[derive(Clone)]
pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    taken: Vec<Request>,
    answer: Answer,
}

impl Collector {
    /// One that takes everything.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start() -> Self {
        let state = State { taken: Vec::new(), answer: Box::new(|_| Reply::status(200)) };
        let state = Arc::new(Mutex::new(state));
        let kept = Arc::clone(&state);
        let address = serve(move |request| {
            let mut state = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let reply = (state.answer)(request);
            if matches!(reply, Reply::Answer(200, ..)) {
                state.taken.push(request.clone());
            }
            reply
        });
        Self { address, state }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on answers so. What is not answered with 200 is not kept.
    pub fn answer(&self, answer: impl Fn(&Request) -> Reply + Send + 'static) {
        self.lock().answer = Box::new(answer);
    }

    /// The requests that it took.
    #[must_use]
    pub fn taken(&self) -> Vec<Request> {
        self.lock().taken.clone()
    }

    /// All that it was sent, headers and bodies, as text to search.
    #[must_use]
    pub fn all_text(&self) -> String {
        let mut text = String::new();
        for request in self.taken() {
            for (name, value) in &request.headers {
                text += &format!("{name}: {value}\n");
            }
            text += &request.body;
        }
        text
    }

    /// The spans that it took.
    ///
    /// # Panics
    /// If a request is not what OpenTelemetry's protocol has for traces.
    #[must_use]
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.taken().iter().flat_map(spans_of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spans_of(request: &Request) -> Vec<CollectedSpan> {
    assert_eq!((&*request.method, &*request.path), ("POST", "/v1/traces"));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    let message = ExportTraceServiceRequest::decode(&*request.bytes).expect("an export of traces");
    let mut spans = Vec::new();
    for of_resource in message.resource_spans {
        let resource = attributes(of_resource.resource.expect("a resource").attributes);
        assert_eq!(resource["service.name"], "ferry");
        for of_scope in of_resource.scope_spans {
            assert_eq!(of_scope.scope.expect("a scope").name, "ferry");
            spans.extend(of_scope.spans.into_iter().map(collected));
        }
    }
    spans
}

fn collected(span: opentelemetry_proto::tonic::trace::v1::Span) -> CollectedSpan {
    use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    CollectedSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: match span.kind() {
            SpanKind::Internal => "INTERNAL",
            SpanKind::Server => "SERVER",
            SpanKind::Client => "CLIENT",
            other => panic!("a span of kind {other:?}"),
        },
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        is_error: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        name: span.name,
        attributes: attributes(span.attributes),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: KeyValue| {
        let value = match pair.value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{} is {other:?}", pair.key),
        };
        (pair.key, value)
    };
    pairs.into_iter().map(text).collect()
}
