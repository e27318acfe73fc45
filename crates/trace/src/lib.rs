//! Spans of the requests that are traced (OPR-80): what a request waited for, as a tree. A [`Tracer`] chooses few of them,
//! and keeps what is over in bounded memory for whoever exports it. Of all other requests nothing is kept, and a [`Span`]
//! is a word that is empty.
//!
//! Whoever has something to tell of the request that it works for asks for a [`span`] or leaves a [`note`]; neither needs
//! to know whether it is traced. In another task, or on another thread, the request is what [`current`] was before.
//!
//! What a span says may be read by people who may not read the hub's data: names and attributes are words of the program,
//! numbers and ids of databases, never what a client sent.

mod attribute;
mod current;
mod ids;
mod sample;
mod traceparent;
mod tracer;

pub use attribute::{Attribute, AttributeValue};
pub use current::{current, note, span};
pub use ids::{SpanId, TraceId};
pub use traceparent::Traceparent;
pub use tracer::{
    SpanTime, Tracer, WAITING_MAX,
    span::{FinishedSpan, Span, SpanContext, SpanKind},
};
