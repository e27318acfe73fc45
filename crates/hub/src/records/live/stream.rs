//! Streams: what a [`Source`] shows, as server-sent events. Each has a task of its own, which sleeps while the fan-out
//! task of its view serves it.

use std::{pin::pin, sync::Arc};

use axum::response::Response;
use bytes::Bytes;
use ferry_core::records::{
    UnixNanos,
    live::{LiveStream, StreamFanOut, StreamOutput, StreamPublish, StreamRead, StreamTimes},
};
use ferry_types::{Model, Result};
use http::request::Parts;

use super::{
    super::entry::RecordsEntry,
    instant, now_ms,
    over::over,
    owner::{OwnerTopics, ViewTopic},
};
use crate::{
    connections::{ConnectionHead, ConnectionPosition, OpenConnection},
    fanout::Subscribers,
    http::{
        Outlet,
        served_stream::{self, ServedStream, StreamMachine, StreamNeed, StreamStep, first_event},
    },
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

    /// The app that it is about; empty: any.
    fn app(&self) -> &str;

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
    let head = ConnectionHead::of(parts).of_device(source.device()).within(source.app());
    let connection = entry.context.connect(hub, head, (Model::Records, "sse"));
    let session = Session::new(hub, entry, source, connection);
    let first = |session: &mut Session<S>| first_event(&mut session.machine, &session.entry.context.meter);
    served_stream::respond(parts, session, first, |session, outlet| Box::pin(session.run(outlet)))
}

/// What a stream's task does for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordsTask {
    Read,
    AskBilling,
}

impl StreamMachine for LiveStream<()> {
    type Need = RecordsTask;

    fn next_step(&mut self) -> StreamStep<RecordsTask> {
        match self.next_output() {
            StreamOutput::Send(event) => StreamStep::Send(event),
            StreamOutput::Wait => StreamStep::Wait,
            StreamOutput::Read => StreamStep::Need(RecordsTask::Read),
            StreamOutput::AskBilling => StreamStep::Need(RecordsTask::AskBilling),
            StreamOutput::End => StreamStep::End,
        }
    }

    fn budget_spent(&mut self) -> Bytes {
        Self::budget_spent(self)
    }
}

/// Everything of one stream that its task holds.
struct Session<S> {
    hub: Arc<Hub>,
    entry: RecordsEntry,
    source: S,
    owner: Arc<OwnerTopics>,
    view: Arc<ViewTopic<Bytes>>,
    machine: LiveStream<()>,
    connection: OpenConnection,
}

impl<S: Source> Session<S> {
    /// Registers before anything is read, so that nothing falls between the two.
    fn new(hub: &Arc<Hub>, entry: &RecordsEntry, source: S, connection: OpenConnection) -> Self {
        let owner = entry.context.database.models().records.owner(&entry.owner);
        let view = owner.streams(&source.view());
        let config = &hub.config.records;
        let times = StreamTimes { heartbeat_ms: config.ping_ms, billing_ms: config.billing_seconds * 1000 };
        let cursor = view.cursor(position_of(source.cursor()));
        let machine = LiveStream::new(cursor, source.device(), times, now_ms());
        Self { hub: Arc::clone(hub), entry: entry.clone(), connection, source, owner, view, machine }
    }

    async fn run(self, outlet: Outlet) {
        let Self { hub, entry, mut source, owner, view, machine, connection } = self;
        let live = ServedStream::new(machine, outlet, entry.context.meter.clone());
        let _member = Subscribers::join(Arc::clone(&view), Arc::clone(&live) as _);
        let (shown, newest) = (Arc::downgrade(&live), Arc::clone(&view.topic));
        connection.follows(move || {
            let cursor = shown.upgrade()?.lock().machine.position();
            Some(ConnectionPosition { cursor, head: newest.head(), unit: "nanoseconds" })
        });
        let mut over = pin!(over(&hub, &entry, &connection));
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
                need = live.need() => need,
                () = live.gone() => return,
            };
            match need {
                StreamNeed::End => break,
                StreamNeed::Of(RecordsTask::AskBilling) => {
                    let is_admitted = Box::pin(hub.services.records.billing.admits(&entry.owner)).await;
                    live.lock().machine.admitted(is_admitted);
                }
                StreamNeed::Of(RecordsTask::Read) => {
                    let position = live.lock().machine.position();
                    // Boxed, since it is large and soon over; a stream lives long.
                    let read = Box::pin(source.read(position)).await;
                    let principal = &entry.context.requester.principal;
                    let held = read.map(|read| {
                        let events = read.events.into_iter();
                        let held = events.map(|event| hub.untaken.hold_page(principal, event));
                        held.collect::<Option<Vec<_>>>().map(|events| StreamRead { events, ..read })
                    });
                    let mut state = live.lock();
                    match held {
                        Ok(Some(read)) => state.machine.read(read),
                        // Its reader comes back with its position, and has taken something then or is refused.
                        Ok(None) => state.machine.read_failed(),
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
        live.finish().await;
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
