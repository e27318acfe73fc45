//! Streams: what a [`Source`] shows, as server-sent events. Each has a task of its own, which sleeps while the fan-out
//! task of its view serves it.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_control::Meter;
use ferry_core::records::{
    UnixNanos,
    live::{LiveStream, StreamFanOut, StreamOutput, StreamPublish, StreamRead, StreamTimes},
};
use ferry_types::Result;
use futures_util::task::AtomicWaker;
use http::{HeaderValue, header, request::Parts};

use super::{
    super::entry::RecordsEntry,
    instant, now_ms,
    outlet::{Chunks, Outlet, Slot, StreamBody},
    over::over,
    owner::{OwnerTopics, ViewTopic},
};
use crate::{
    database::ConnectionGuard,
    fanout::{FanOutSubscriber, Subscribers},
    http::Handover,
    hub::Hub,
};

/// A cursor behind everything.
pub(in crate::records) const END: UnixNanos = UnixNanos(i64::MAX & !7);

/// What a stream shows.
pub(in crate::records) trait Source: Sized + Send + 'static {
    /// One page behind `position`, the one that was read last or that of an event sent since.
    fn read(&mut self, position: u64) -> impl Future<Output = Result<StreamRead>> + Send;

    /// Names what it shows: to sources of one owner with equal names the same pages are new.
    fn view(&self) -> String;

    /// The device that is not sent its own writes.
    fn device(&self) -> Option<&str>;

    /// Where it begins.
    fn cursor(&self) -> UnixNanos;

    /// The same for no device in particular, from now on.
    fn for_all(&self) -> Self;
}

/// The position of a cursor among the pages of a view.
pub(in crate::records) fn position_of(cursor: UnixNanos) -> u64 {
    u64::try_from(cursor.0).unwrap_or(0)
}

/// The answer that follows `source`.
pub(in crate::records) fn respond<S: Source>(
    hub: &Arc<Hub>,
    entry: &RecordsEntry,
    parts: &Parts,
    source: S,
) -> Response {
    let mut session = Session::new(hub, entry, source);
    let body = match parts.extensions.get::<Handover>() {
        Some(handover) => {
            let first = session.first_event();
            let go_on = move |stream| Box::pin(session.run(Outlet::Connection(Chunks::new(stream)))) as _;
            handover.body(first, Box::new(go_on))
        }
        None => {
            let slot = Arc::new(Slot::default());
            let session = session.run(Outlet::Body(Arc::clone(&slot)));
            Body::new(StreamBody::new(slot, Box::pin(session)))
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

/// What a stream's task does for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Read,
    AskBilling,
    End,
}

/// A stream between its own task and the one that serves its view.
struct ServedStream {
    state: Mutex<State>,
    /// The stream's own task.
    task: AtomicWaker,
}

struct State {
    machine: LiveStream<()>,
    outlet: Outlet,
    meter: Meter,
    /// What its task has not begun yet.
    need: Option<Need>,
    /// The connection is full: its task waits for room.
    is_full: bool,
}

impl FanOutSubscriber for ServedStream {
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

impl ServedStream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready with what only the stream's task can do.
    fn poll_need(&self, context: &mut Context<'_>) -> Poll<Need> {
        self.task.register(context.waker());
        let mut state = self.lock();
        match state.need.take() {
            Some(need) => Poll::Ready(need),
            None => state.advance(context),
        }
    }
}

impl State {
    /// Sends as long as there is something to send and room for it. Ready with what else is to be done.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Need> {
        loop {
            self.is_full = false;
            match self.outlet.poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                // The reader has gone.
                Poll::Ready(Err(_)) => return Poll::Ready(Need::End),
                Poll::Pending => {
                    self.is_full = true;
                    return Poll::Pending;
                }
            }
            let need = match self.machine.next_output() {
                StreamOutput::Send(event) => {
                    let event = charged(&mut self.machine, &self.meter, event);
                    self.outlet.start_send(event);
                    continue;
                }
                StreamOutput::Wait => return Poll::Pending,
                StreamOutput::Read => Need::Read,
                StreamOutput::AskBilling => Need::AskBilling,
                StreamOutput::End => Need::End,
            };
            return Poll::Ready(need);
        }
    }
}

/// The event, or what stands in its place when the credential may transfer no more.
fn charged(machine: &mut LiveStream<()>, meter: &Meter, event: Bytes) -> Bytes {
    if meter.charge(event.len()).is_ok() { event } else { machine.budget_spent() }
}

/// Everything of one stream that its task holds.
struct Session<S> {
    hub: Arc<Hub>,
    entry: RecordsEntry,
    source: S,
    owner: Arc<OwnerTopics>,
    view: Arc<ViewTopic<Bytes>>,
    machine: LiveStream<()>,
    _connection: ConnectionGuard,
}

impl<S: Source> Session<S> {
    /// Registers before anything is read, so that nothing falls between the two.
    fn new(hub: &Arc<Hub>, entry: &RecordsEntry, source: S) -> Self {
        let owner = entry.context.database.models().records.owner(&entry.owner);
        let view = owner.streams(&source.view());
        let config = &hub.config.records;
        let times = StreamTimes { heartbeat_ms: config.ping_ms, billing_ms: config.billing_seconds * 1000 };
        let cursor = view.cursor(position_of(source.cursor()));
        let machine = LiveStream::new(cursor, source.device(), times, now_ms());
        Self {
            hub: Arc::clone(hub),
            entry: entry.clone(),
            _connection: entry.context.database.connect(),
            source,
            owner,
            view,
            machine,
        }
    }

    /// What it begins with.
    fn first_event(&mut self) -> Bytes {
        match self.machine.next_output() {
            StreamOutput::Send(event) => charged(&mut self.machine, &self.entry.context.meter, event),
            other => unreachable!("BUG: a stream begins with an event, not {other:?}"),
        }
    }

    async fn run(self, outlet: Outlet) {
        let Self { hub, entry, mut source, owner, view, machine, _connection } = self;
        let state = State { machine, outlet, meter: entry.context.meter.clone(), need: None, is_full: false };
        let live = Arc::new(ServedStream { state: Mutex::new(state), task: AtomicWaker::new() });
        let _member = Subscribers::join(Arc::clone(&view), Arc::clone(&live) as _);
        let mut over = pin!(over(&hub, &entry));
        let mut is_over = false;
        let mut alarm = pin!(tokio::time::sleep_until(instant(live.lock().machine.deadline_ms())));
        loop {
            let need = tokio::select! {
                biased;
                over = over.as_mut(), if !is_over => {
                    is_over = true;
                    live.lock().machine.end(over.bye());
                    continue;
                }
                () = alarm.as_mut() => {
                    let mut state = live.lock();
                    state.machine.tick(now_ms());
                    alarm.as_mut().reset(instant(state.machine.deadline_ms()));
                    continue;
                }
                need = std::future::poll_fn(|context| live.poll_need(context)) => need,
                () = std::future::poll_fn(|context| live.lock().outlet.poll_gone(context)) => return,
            };
            match need {
                Need::End => break,
                Need::AskBilling => {
                    let is_admitted = Box::pin(hub.services.records.billing.admits(&entry.owner)).await;
                    live.lock().machine.admitted(is_admitted);
                }
                Need::Read => {
                    let position = live.lock().machine.position();
                    // Boxed, since it is large and soon over; a stream lives long.
                    let read = Box::pin(source.read(position)).await;
                    let mut state = live.lock();
                    match read {
                        Ok(read) => state.machine.read(read),
                        Err(error) => {
                            tracing::warn!(%error, "a stream of records broke off");
                            state.machine.read_failed();
                        }
                    }
                    drop(state);
                    if view.subscribers.claim_task() {
                        let fan_out = FanOut::new(&hub, &entry, &owner, &view, source.for_all());
                        hub.tasks.spawn(fan_out.run());
                    }
                }
            }
        }
        // Who takes nothing has gone, or the hub stops and does not wait for ever.
        let _ = std::future::poll_fn(|context| live.lock().outlet.poll_end(context)).await;
    }
}

/// The task that reads for all streams of a view, and serves them.
struct FanOut<S> {
    owner: Arc<OwnerTopics>,
    view: Arc<ViewTopic<Bytes>>,
    source: S,
    machine: StreamFanOut,
    position: u64,
    over: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S: Source> FanOut<S> {
    fn new(
        hub: &Hub,
        entry: &RecordsEntry,
        owner: &Arc<OwnerTopics>,
        view: &Arc<ViewTopic<Bytes>>,
        source: S,
    ) -> Self {
        let (stopping, closed) = (hub.stopping.clone(), entry.context.database.closed().clone());
        Self {
            owner: Arc::clone(owner),
            view: Arc::clone(view),
            position: position_of(source.cursor()),
            source,
            machine: StreamFanOut::default(),
            over: Box::pin(async move {
                tokio::select! { () = stopping.cancelled() => {}, () = closed.cancelled() => {} }
            }),
        }
    }

    async fn run(mut self) {
        let (owner, view) = (Arc::clone(&self.owner), Arc::clone(&self.view));
        loop {
            let mut notified = pin!(owner.notified());
            // Waiting begins before reading.
            notified.as_mut().enable();
            if !self.publish().await {
                // The streams find out for themselves, and the first that can begins another task.
                view.topic.advance(view.topic.head() + 1);
                view.subscribers.end_task();
                return view.subscribers.serve_all().await;
            }
            view.subscribers.serve_all().await;
            loop {
                tokio::select! {
                    biased;
                    () = self.over.as_mut() => return,
                    () = notified.as_mut() => break,
                    () = view.subscribers.emptied() => if view.subscribers.end_task_if_empty() { return },
                }
            }
        }
    }

    /// Reads and publishes what is new; false if there is nothing more to come from here.
    async fn publish(&mut self) -> bool {
        let topic = &self.view.topic;
        loop {
            let Ok(read) = self.source.read(self.position).await else { return false };
            self.position = read.until;
            match self.machine.read(read) {
                StreamPublish::ReadOn => continue,
                StreamPublish::Page(upto, page) if upto > topic.head() => {
                    topic.publish(upto, page.content.len(), Arc::new(page));
                }
                StreamPublish::Advance(upto) if upto > topic.head() => topic.advance(upto),
                StreamPublish::Nothing | StreamPublish::Page(..) | StreamPublish::Advance(_) => {}
                StreamPublish::End => return false,
            }
            return true;
        }
    }
}
