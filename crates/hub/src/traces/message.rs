//! Spans as a collector is told of them: OTLP's protobuf.

use buffa::Message as _;
use ferry_protocol::rpc::ferry::otlp::v1::{
    self as wire, __buffa::oneof::any_value::Value, AnyValue, ExportTraceServiceRequest,
    ExportTraceServiceResponse, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans, Status,
    StatusCode,
};
use ferry_trace::{Attribute, AttributeValue, FinishedSpan, SpanKind};

/// One request to a collector.
pub(super) fn encode(spans: &[FinishedSpan], resource: &[Attribute]) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "ferry".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let scope_spans =
        ScopeSpans { scope: scope.into(), spans: spans.iter().map(span).collect(), ..Default::default() };
    let resource = Resource { attributes: resource.iter().map(attribute).collect(), ..Default::default() };
    let resource_spans =
        ResourceSpans { resource: resource.into(), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans], ..Default::default() }.encode_to_vec()
}

fn span(span: &FinishedSpan) -> wire::Span {
    let status = Status { code: StatusCode::Error.into(), ..Default::default() };
    wire::Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        name: span.name.clone().into_owned(),
        kind: match span.kind {
            SpanKind::Internal => wire::SpanKind::Internal,
            SpanKind::Server => wire::SpanKind::Server,
            SpanKind::Client => wire::SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: span.began_ns,
        end_time_unix_nano: span.ended_ns,
        attributes: span.attributes.iter().map(attribute).collect(),
        status: span.is_error.then_some(status).into(),
        ..Default::default()
    }
}

fn attribute((key, value): &Attribute) -> KeyValue {
    let value = match value {
        AttributeValue::Text(text) => Value::StringValue(text.clone().into_owned()),
        AttributeValue::Number(number) => Value::IntValue(*number),
    };
    let value = AnyValue { value: Some(value), ..Default::default() };
    KeyValue { key: (*key).to_owned(), value: value.into(), ..Default::default() }
}

/// How many spans of a request that was taken the collector did not want, as its answer says.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let answer = ExportTraceServiceResponse::decode_from_slice(answer).unwrap_or_default();
    let rejected = answer.partial_success.as_option().map_or(0, |partial| partial.rejected_spans);
    usize::try_from(rejected).unwrap_or(0)
}
