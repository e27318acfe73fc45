//! The request that a task works for, if it is traced.

use crate::{
    AttributeValue, Span,
    tracer::span::{CURRENT, SpanContext},
};

/// The span that this task works in; `None`: nothing is traced.
#[must_use]
pub fn current() -> Option<SpanContext> {
    CURRENT.try_with(Clone::clone).ok()
}

/// A part of the request that this task works for, until it is dropped.
#[must_use]
pub fn span(name: &'static str) -> Span {
    CURRENT.try_with(|context| context.child(name)).unwrap_or_default()
}

/// Says something of the request as a whole; what is said first counts. `value` is not asked for in vain.
pub fn note<V: Into<AttributeValue>>(key: &'static str, value: impl FnOnce() -> V) {
    let _ = CURRENT.try_with(|context| context.note(key, value));
}
