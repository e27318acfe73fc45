//! One stream: its head, its feed, signs of life, and its end.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use ferry_database::Wakeup;
use ferry_protocol::ops::{self as sse, LiveReady, PING, resync};
use ferry_types::{Model, OpSeq, limits::OPS_NUDGE_EVERY_MS};
use futures_util::future::BoxFuture;
use http::request::Parts;
use tokio::time::Instant;

use super::{
    feed::{Feed, FeedStep},
    nudge::{NudgeTopic, Nudges},
    op_events::{OpTopic, Ops},
    over::{Farewell, over},
    tail::{LogTail, tail},
};
use crate::{
    connections::{ConnectionHead, ConnectionPosition, OpenConnection},
    entry::RequestContext,
    fanout::{FanOutSubscriber, Subscribers},
    http::{
        Outlet,
        served_stream::{self, ServedStream, StreamMachine, StreamNeed, StreamStep, first_event},
    },
    hub::Hub,
};

/// What a stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum LiveMode {
    Nudge,
    Ops,
}

/// What a reader asked for, and what was found then.
pub(in crate::ops) struct LiveStart {
    /// Everything up to there is known to the reader.
    pub(in crate::ops) after: OpSeq,
    pub(in crate::ops) ready: LiveReady,
    /// What the reader lacks is gone from the log: it must begin anew.
    pub(in crate::ops) is_below_floor: bool,
}

/// The answer that follows the log. `asked` looks at the log, after the stream has joined those who follow it, so that
/// nothing falls between the two.
///
/// # Errors
/// What `asked` says.
pub(in crate::ops) async fn open<E>(
    hub: &Arc<Hub>,
    context: &RequestContext,
    parts: &Parts,
    mode: LiveMode,
    asked: impl Future<Output = Result<LiveStart, E>>,
) -> Result<Response, E> {
    let state = Arc::clone(&context.database.models().ops);
    match mode {
        LiveMode::Nudge => {
            let topic = state.nudge_topic();
            let feed = Nudges::new(&topic);
            let asked = asked.await?;
            Ok(respond(hub, context, parts, (topic, feed), &asked))
        }
        LiveMode::Ops => {
            let topic = state.op_topic();
            let feed = Ops::new(&topic, &context.auth.restrictions);
            let asked = asked.await?;
            Ok(respond(hub, context, parts, (topic, feed), &asked))
        }
    }
}

fn respond<F: Feed, T: Followed>(
    hub: &Arc<Hub>,
    context: &RequestContext,
    parts: &Parts,
    (topic, mut feed): (Arc<T>, F),
    asked: &LiveStart,
) -> Response {
    feed.seek(asked.after);
    let ready = asked.ready.event().into();
    let session = Session {
        hub: Arc::clone(hub),
        context: context.clone(),
        machine: Machine {
            feed,
            waiting: Some(ready),
            farewell: asked.is_below_floor.then(|| Bytes::from_static(resync().as_bytes())),
            is_reading: false,
            is_ping_due: false,
        },
        topic,
        connection: context.connect(hub, ConnectionHead::of(parts), (Model::Ops, "sse")),
    };
    let first = |session: &mut Session<F, T>| first_event(&mut session.machine, &session.context.meter);
    served_stream::respond(parts, session, first, |session, outlet| Box::pin(session.run(outlet)))
}

/// Decides what a stream says.
pub(super) struct Machine<F> {
    feed: F,
    /// What is sent before anything else.
    waiting: Option<Bytes>,
    /// The last event: then it is over.
    farewell: Option<Bytes>,
    is_reading: bool,
    is_ping_due: bool,
}

/// What only the stream's task can do: read the log behind this position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadLog(OpSeq);

impl<F: Feed> StreamMachine for Machine<F> {
    type Need = ReadLog;

    fn next_step(&mut self) -> StreamStep<ReadLog> {
        if let Some(event) = self.waiting.take() {
            return StreamStep::Send(event);
        }
        if let Some(farewell) = &mut self.farewell {
            // Once it is sent, what is left of it is empty.
            let farewell = std::mem::take(farewell);
            return if farewell.is_empty() { StreamStep::End } else { StreamStep::Send(farewell) };
        }
        if self.is_reading {
            return StreamStep::Wait;
        }
        match self.feed.next() {
            FeedStep::Event(event) => StreamStep::Send(event),
            FeedStep::Read => {
                self.is_reading = true;
                StreamStep::Need(ReadLog(self.feed.position()))
            }
            FeedStep::Resync => {
                self.end(Bytes::from_static(resync().as_bytes()));
                self.next_step()
            }
            FeedStep::Nothing if std::mem::take(&mut self.is_ping_due) => {
                StreamStep::Send(Bytes::from_static(PING.as_bytes()))
            }
            FeedStep::Nothing => StreamStep::Wait,
        }
    }

    fn budget_spent(&mut self) -> Bytes {
        self.farewell = Some(Bytes::new());
        self.waiting = None;
        bye(Farewell::BudgetSpent)
    }
}

impl<F: Feed> Machine<F> {
    fn end(&mut self, farewell: Bytes) {
        if self.farewell.is_none() {
            // What was read for somebody whose right is over is not sent.
            self.waiting = None;
            self.farewell = Some(farewell);
        }
    }

    /// Takes in what was read of the log.
    fn read(&mut self, read: ferry_types::Result<LogTail>) {
        self.is_reading = false;
        match read {
            Ok(LogTail::Page { events, upto }) => {
                self.waiting = Some(events).filter(|events| !events.is_empty());
                self.feed.seek(upto);
            }
            Ok(LogTail::Gone) => self.end(Bytes::from_static(resync().as_bytes())),
            Err(error) => {
                tracing::warn!(%error, "a stream of ops broke off");
                self.end(bye(Farewell::Failed));
            }
        }
    }
}

fn bye(farewell: Farewell) -> Bytes {
    sse::bye(farewell.reason()).into()
}

/// What a log's followers share.
pub(super) trait Followed: AsRef<Subscribers> + Send + Sync + 'static {
    /// The newest op.
    fn head(&self) -> OpSeq;

    /// Wakes the task that serves them.
    fn wakeup(&self) -> &Wakeup;

    /// How long after they were served they are served again at the earliest.
    const EVERY: Duration;
}

impl Followed for NudgeTopic {
    fn head(&self) -> OpSeq {
        Self::head(self)
    }

    fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    const EVERY: Duration = Duration::from_millis(OPS_NUDGE_EVERY_MS);
}

impl Followed for OpTopic {
    fn head(&self) -> OpSeq {
        Self::head(self)
    }

    fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    const EVERY: Duration = Duration::ZERO;
}

/// Everything of one stream that its task holds.
struct Session<F, T> {
    hub: Arc<Hub>,
    context: RequestContext,
    machine: Machine<F>,
    topic: Arc<T>,
    connection: OpenConnection,
}

impl<F: Feed, T: Followed> Session<F, T> {
    async fn run(self, outlet: Outlet) {
        let Self { hub, context, machine, topic, connection } = self;
        let live = ServedStream::new(machine, outlet, context.meter.clone());
        let _member = Subscribers::join(Arc::clone(&topic), Arc::clone(&live) as Arc<dyn FanOutSubscriber>);
        serve(&hub, &context, &topic);
        let ping = Duration::from_millis(hub.config.ops.ping_ms);
        let (shown, newest) = (Arc::downgrade(&live), Arc::clone(&topic));
        connection.follows(move || {
            let cursor = shown.upgrade()?.lock().machine.feed.position();
            Some(ConnectionPosition { cursor: cursor.0, head: newest.head().0, unit: "ops" })
        });
        let mut over = pin!(over(&hub, &context, &connection));
        let mut is_over = false;
        let mut alarm = pin!(tokio::time::sleep(ping));
        loop {
            let need = tokio::select! {
                biased;
                farewell = over.as_mut(), if !is_over => {
                    is_over = true;
                    live.lock().machine.end(bye(farewell));
                    continue;
                }
                () = alarm.as_mut() => {
                    live.lock().machine.is_ping_due = true;
                    alarm.as_mut().reset(Instant::now() + ping);
                    continue;
                }
                need = live.need() => need,
                () = live.gone() => return,
            };
            match need {
                StreamNeed::End => break,
                StreamNeed::Of(ReadLog(after)) => {
                    // Boxed, since it is large and soon over; a stream lives long.
                    let read = Box::pin(tail(&context, after)).await;
                    live.lock().machine.read(read);
                }
            }
        }
        live.finish().await;
    }
}

/// Begins the task that serves all followers, unless there is one.
fn serve<T: Followed>(hub: &Hub, context: &RequestContext, topic: &Arc<T>) {
    let subscribers: &Subscribers = (**topic).as_ref();
    if subscribers.claim_task() {
        let (stopping, closed) = (hub.stopping.clone(), context.database.closed().clone());
        let over: BoxFuture<'static, ()> = Box::pin(async move {
            tokio::select! { () = stopping.cancelled() => {}, () = closed.cancelled() => {} }
        });
        hub.tasks.spawn(fan_out(Arc::clone(topic), over));
    }
}

/// Serves all followers whenever something was stored.
async fn fan_out<T: Followed>(topic: Arc<T>, mut over: BoxFuture<'static, ()>) {
    let subscribers: &Subscribers = (*topic).as_ref();
    loop {
        let mut notified = pin!(topic.wakeup().notified());
        // Waiting begins before looking.
        notified.as_mut().enable();
        let again = Instant::now() + T::EVERY;
        subscribers.serve_all().await;
        loop {
            tokio::select! {
                biased;
                () = over.as_mut() => return,
                () = notified.as_mut() => break,
                () = subscribers.emptied() => if subscribers.end_task_if_empty() { return },
            }
        }
        // What is stored meanwhile is told together.
        tokio::time::sleep_until(again).await;
    }
}
