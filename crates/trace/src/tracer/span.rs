//! A span: a part of a request, with its beginning and its end.

use std::{
    borrow::Cow,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::Either;

use super::Tracer;
use crate::{Attribute, AttributeValue, SpanId, TraceId, Traceparent, sample::mix};

/// Notes that one request may have.
const NOTES_MAX: usize = 16;

tokio::task_local! {
    /// The span that a task works in; none is set where nothing is traced.
    pub(crate) static CURRENT: SpanContext;
}

/// One trace, as far as this process adds to it.
pub(super) struct Trace {
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) id: TraceId,
    seed: u64,
    /// When the tracer's nanoseconds began, by the wall clock as it stood when the trace did.
    zero_unix_ns: u64,
    spans: AtomicU64,
    /// What is said of the request as a whole.
    notes: Mutex<Vec<Attribute>>,
}

impl Trace {
    /// `seed` makes the ids of its spans differ from those of others.
    pub(crate) fn new(tracer: Arc<Tracer>, id: TraceId, seed: u64) -> Self {
        let zero_unix_ns = tracer.time.zero_unix_ns();
        Self { tracer, id, seed, zero_unix_ns, spans: AtomicU64::new(0), notes: Mutex::default() }
    }

    pub(crate) fn next_id(&self) -> SpanId {
        let number = self.spans.fetch_add(1, Ordering::Relaxed);
        SpanId(NonZeroU64::new(mix(self.seed.wrapping_add(number))).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn take_notes(&self) -> Vec<Attribute> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A span that others are parts of, wherever they are.
#[derive(Clone)]
pub struct SpanContext {
    pub(super) trace: Arc<Trace>,
    pub(super) span_id: SpanId,
}

impl SpanContext {
    /// A part of it, that begins now.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Span {
        Span::child(Arc::clone(&self.trace), self.span_id, name)
    }

    /// The present moment, for [`Span::since`] of any trace of this tracer.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.trace.tracer.now_ns()
    }

    /// What other programs are told of it.
    #[must_use]
    pub fn traceparent(&self) -> Traceparent {
        Traceparent { trace_id: self.trace.id, parent: self.span_id, is_sampled: true }
    }

    /// Says something of the request as a whole; what is said first counts.
    pub(crate) fn note<V: Into<AttributeValue>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        let mut notes = self.trace.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX && notes.iter().all(|(known, _)| *known != key) {
            notes.push((key, value().into()));
        }
    }

    /// Runs `work`, whose spans are parts of it: in another task than the request's own.
    pub fn scope<F: Future>(this: Option<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        match this {
            // In a box, so that nobody's future is larger for the few that are traced.
            Some(context) => Either::Left(CURRENT.scope(context, Box::pin(work))),
            None => Either::Right(work),
        }
    }

    /// The same for work of a thread that may wait.
    pub fn enter<T>(this: Option<Self>, work: impl FnOnce() -> T) -> T {
        match this {
            Some(context) => CURRENT.sync_scope(context, work),
            None => work(),
        }
    }
}

/// Attributes that one span may have.
const ATTRIBUTES_MAX: usize = 32;

/// Which side of an exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Inside the hub.
    Internal,
    /// A request that the hub answers.
    Server,
    /// A request that it makes.
    Client,
}

/// A span that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedSpan {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// Of what it is a part.
    pub parent: Option<SpanId>,
    /// What it is.
    pub name: Cow<'static, str>,
    /// Which side of an exchange it is.
    pub kind: SpanKind,
    /// When it began, Unix nanoseconds.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// What else there is to say.
    pub attributes: Vec<Attribute>,
    /// Whether it failed.
    pub is_error: bool,
}

/// A span that goes on until it is dropped; of a request that is not traced, nothing at all.
#[derive(Default)]
pub struct Span(Option<Box<OpenSpan>>);

struct OpenSpan {
    trace: Arc<Trace>,
    id: SpanId,
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: SpanKind,
    began_ns: u64,
    attributes: Vec<Attribute>,
    is_error: bool,
    /// Whether notes on the request stand on it.
    is_root: bool,
}

impl Span {
    /// That of a request that is not traced.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// The span of a whole request.
    pub(super) fn root(
        trace: Arc<Trace>,
        parent: Option<SpanId>,
        name: Cow<'static, str>,
        kind: SpanKind,
    ) -> Self {
        Self::begin(trace, parent, name, kind, true)
    }

    /// A part of the span `parent`.
    fn child(trace: Arc<Trace>, parent: SpanId, name: &'static str) -> Self {
        Self::begin(trace, Some(parent), name.into(), SpanKind::Internal, false)
    }

    fn begin(
        trace: Arc<Trace>,
        parent: Option<SpanId>,
        name: Cow<'static, str>,
        kind: SpanKind,
        is_root: bool,
    ) -> Self {
        let (id, began_ns) = (trace.next_id(), trace.tracer.now_ns());
        let attributes = Vec::new();
        Self(Some(Box::new(OpenSpan {
            trace,
            id,
            parent,
            name,
            kind,
            began_ns,
            attributes,
            is_error: false,
            is_root,
        })))
    }

    /// Whether it is recorded.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The trace that it is of, if it is recorded.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        self.0.as_ref().map(|open| open.trace.id)
    }

    /// For what is a part of it.
    #[must_use]
    pub fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|open| SpanContext { trace: Arc::clone(&open.trace), span_id: open.id })
    }

    /// It is called otherwise.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.name = name.into();
        }
    }

    /// The same span as a request that is made of others.
    #[must_use]
    pub fn outbound(mut self) -> Self {
        if let Some(open) = &mut self.0 {
            open.kind = SpanKind::Client;
        }
        self
    }

    /// It began when [`SpanContext::now_ns`] was that.
    #[must_use]
    pub fn since(mut self, began_ns: u64) -> Self {
        if let Some(open) = &mut self.0 {
            open.began_ns = began_ns;
        }
        self
    }

    /// Says something of it. `value` is not asked for in vain.
    pub fn set<V: Into<AttributeValue>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(open) = &mut self.0
            && open.attributes.len() < ATTRIBUTES_MAX
        {
            open.attributes.push((key, value().into()));
        }
    }

    /// It failed.
    pub fn fail(&mut self) {
        if let Some(open) = &mut self.0 {
            open.is_error = true;
        }
    }

    /// Runs `work`, whose spans are parts of this one.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        SpanContext::scope(self.context(), work)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let OpenSpan { trace, id, parent, name, kind, began_ns, mut attributes, is_error, is_root } = *open;
        if is_root {
            attributes.extend(trace.take_notes());
        }
        let ended_ns = trace.tracer.now_ns().max(began_ns);
        let (trace_id, unix_ns) = (trace.id, |ns| trace.zero_unix_ns.saturating_add(ns));
        let finished = FinishedSpan {
            trace_id,
            span_id: id,
            parent,
            name,
            kind,
            began_ns: unix_ns(began_ns),
            ended_ns: unix_ns(ended_ns),
            attributes,
            is_error,
        };
        trace.tracer.finished(finished);
    }
}
