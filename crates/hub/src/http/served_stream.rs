//! Streams of server-sent events that live long. What a stream says is decided by its machine; here it is sent, as far as
//! the connection takes it: by the stream's own task, or by the fan-out task that serves it together with many others
//! while its own sleeps.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_control::Meter;
use futures_util::{future::BoxFuture, task::AtomicWaker};
use http::{HeaderValue, header, request::Parts};

use super::{
    handover::Handover,
    outlet::{Chunks, Outlet, Slot, StreamBody},
};
use crate::fanout::FanOutSubscriber;

/// What a stream's machine wants next.
pub(crate) enum StreamStep<N> {
    /// Send this.
    Send(Bytes),
    /// Nothing, until something happens.
    Wait,
    /// What only the stream's own task can do.
    Need(N),
    /// The stream is over.
    End,
}

/// What only the stream's own task can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamNeed<N> {
    /// The machine's wish.
    Of(N),
    /// To end.
    End,
}

/// Decides what a stream says.
pub(crate) trait StreamMachine: Send + 'static {
    /// What it may ask of the stream's task.
    type Need: Copy + Send;

    /// The next thing to do.
    fn next_step(&mut self) -> StreamStep<Self::Need>;

    /// The credential may transfer no more bytes: the event that is sent in place of the one that would be too much.
    fn budget_spent(&mut self) -> Bytes;
}

/// A stream between its own task and the one that serves it with others.
pub(crate) struct ServedStream<M: StreamMachine> {
    state: Mutex<ServedState<M>>,
    /// The stream's own task.
    task: AtomicWaker,
}

/// A stream's machine and connection.
pub(crate) struct ServedState<M: StreamMachine> {
    /// What it says.
    pub(crate) machine: M,
    outlet: Outlet,
    meter: Meter,
    /// What its task has not begun yet.
    need: Option<StreamNeed<M::Need>>,
    /// The connection is full: its task waits for room.
    is_full: bool,
}

/// The first event of a machine, which begins with one.
pub(crate) fn first_event<M: StreamMachine>(machine: &mut M, meter: &Meter) -> Bytes {
    match machine.next_step() {
        StreamStep::Send(event) => charged(machine, meter, event),
        _ => unreachable!("BUG: a stream begins with an event"),
    }
}

/// The answer in which `session` runs. Over HTTP/1.1 the head leaves with the session's first event, and the session goes
/// on with the connection alone.
pub(crate) fn respond<S: Send + 'static>(
    parts: &Parts,
    mut session: S,
    first: impl FnOnce(&mut S) -> Bytes,
    run: impl FnOnce(S, Outlet) -> BoxFuture<'static, ()> + Send + 'static,
) -> Response {
    let body = match parts.extensions.get::<Handover>() {
        Some(handover) => {
            let first = first(&mut session);
            handover.body(first, Box::new(|stream| run(session, Outlet::Connection(Chunks::new(stream)))))
        }
        None => {
            let slot = Arc::new(Slot::default());
            let session = run(session, Outlet::Body(Arc::clone(&slot)));
            Body::new(StreamBody::new(slot, session))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl<M: StreamMachine> FanOutSubscriber for ServedStream<M> {
    fn serve(&self) {
        let mut state = self.lock();
        if state.is_full || state.need.is_some() {
            return;
        }
        if let Poll::Ready(need) = state.advance(&mut Context::from_waker(Waker::noop())) {
            state.need = Some(need);
        }
        let needs_task = state.is_full || state.need.is_some();
        drop(state);
        if needs_task {
            self.task.wake();
        }
    }
}

impl<M: StreamMachine> ServedStream<M> {
    /// A stream that goes on with what `machine` says, charged to `meter`.
    pub(crate) fn new(machine: M, outlet: Outlet, meter: Meter) -> Arc<Self> {
        let state = ServedState { machine, outlet, meter, need: None, is_full: false };
        Arc::new(Self { state: Mutex::new(state), task: AtomicWaker::new() })
    }

    /// Its machine and connection.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ServedState<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what only the stream's task can do, and sends meanwhile.
    pub(crate) async fn need(&self) -> StreamNeed<M::Need> {
        std::future::poll_fn(|context| {
            self.task.register(context.waker());
            let mut state = self.lock();
            match state.need.take() {
                Some(need) => Poll::Ready(need),
                None => state.advance(context),
            }
        })
        .await
    }

    /// Waits until the reader has gone. A body is dropped then.
    pub(crate) async fn gone(&self) {
        std::future::poll_fn(|context| self.lock().outlet.poll_gone(context)).await;
    }

    /// Sends the end of the body, behind everything else. Who takes nothing has gone, or the hub stops and does not wait
    /// for ever.
    pub(crate) async fn finish(&self) {
        let _ = std::future::poll_fn(|context| self.lock().outlet.poll_end(context)).await;
    }
}

impl<M: StreamMachine> ServedState<M> {
    /// Sends as long as there is something to send and room for it. Ready with what else is to be done.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<StreamNeed<M::Need>> {
        loop {
            self.is_full = false;
            match self.outlet.poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                // The reader has gone.
                Poll::Ready(Err(_)) => return Poll::Ready(StreamNeed::End),
                Poll::Pending => {
                    self.is_full = true;
                    return Poll::Pending;
                }
            }
            match self.machine.next_step() {
                StreamStep::Send(event) => {
                    let event = charged(&mut self.machine, &self.meter, event);
                    self.outlet.start_send(event);
                }
                StreamStep::Wait => return Poll::Pending,
                StreamStep::Need(need) => return Poll::Ready(StreamNeed::Of(need)),
                StreamStep::End => return Poll::Ready(StreamNeed::End),
            }
        }
    }
}

/// The event, or what stands in its place when the credential may transfer no more.
fn charged<M: StreamMachine>(machine: &mut M, meter: &Meter, event: Bytes) -> Bytes {
    if meter.charge(event.len()).is_ok() { event } else { machine.budget_spent() }
}
