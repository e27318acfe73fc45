//! Following records: a stream registers first, then drains all pages from its cursor, then follows (REC-20). What it
//! lags behind is in the state; nothing is queued for it beyond one page. Streams that have caught up take what one task
//! has read and encoded for all of them: see [`super::tail`].

use std::{collections::VecDeque, convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_core::records::{UnixNanos, Whom};
use ferry_protocol::records::{Bye, bye, heartbeat};
use ferry_types::Result;
use futures_util::{FutureExt as _, stream};
use http::{HeaderValue, header};
use tokio::{
    sync::watch,
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    access::Entry,
    news::Subscription,
    tail::{Page, Recent, Step, Writing},
};

use crate::{database::ConnectionGuard, hub::Hub};
use ferry_control::{RightsEnd, RightsWatch};

/// A cursor behind everything.
pub(super) const END: UnixNanos = UnixNanos(i64::MAX & !7);
/// Pages of the tail that a stream takes without asking whether it is over.
const TAKEN_MAX_PAGES: u32 = 64;
/// What a stream begins with, so that its reader sees at once that it lives.
const HELLO: &[u8] = b": connected\n\n";

/// What one look at the state gave.
pub(super) struct Look {
    /// To be sent, in order.
    pub(super) events: Vec<Bytes>,
    /// Whether more is there already.
    pub(super) has_more: bool,
    /// Whether the stream ends with these.
    pub(super) is_last: bool,
    /// Whom they suit, if no device asked.
    pub(super) whom: Whom,
}

/// What a stream shows.
pub(super) trait Source: Sized + Send + 'static {
    /// One page behind the source's cursor, which moves with it.
    fn look(&mut self) -> impl Future<Output = Result<Look>> + Send;

    /// Names what it shows: to sources of one owner with equal names the same pages are new.
    fn view(&self) -> String;

    /// The device that is not sent its own writes.
    fn device(&self) -> Option<&str>;

    /// Where it is.
    fn cursor(&self) -> UnixNanos;

    /// It has everything up to here.
    fn stand_at(&mut self, cursor: UnixNanos);

    /// The same for no device in particular, from now on.
    fn for_all(&self) -> Self;
}

/// The answer that follows `source`.
pub(super) fn respond<S: Source>(hub: &Arc<Hub>, entry: &Entry, source: S) -> Response {
    let follower = Box::new(Follower::new(hub, entry, source));
    let events = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let event = follower.next().await?;
        let event = follower.charged(event);
        Some((Ok::<_, Infallible>(event), Some(follower)))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One stream.
struct Follower<S> {
    hub: Arc<Hub>,
    entry: Entry,
    source: S,
    subscription: Subscription,
    tail: watch::Receiver<Recent<Bytes>>,
    /// Pages taken since it was asked whether the stream is over.
    taken: u32,
    /// Where the tail was when the state was read for the last time because of it.
    looked_for: i64,
    /// Why the stream is over; asked for no more after it has said so.
    over: Pin<Box<dyn Future<Output = Bye> + Send>>,
    /// All that was there when it looked last has been sent.
    is_drained: bool,
    waiting: VecDeque<Bytes>,
    alarm: Pin<Box<Sleep>>,
    heartbeat_at: Instant,
    billing_at: Instant,
    is_over: bool,
    _connection: ConnectionGuard,
}

/// What a stream that has nothing to send waits for.
enum Wake {
    News,
    /// The tail was given up.
    Lost,
    Alarm,
    Over(Bye),
}

impl<S: Source> Follower<S> {
    fn new(hub: &Arc<Hub>, entry: &Entry, source: S) -> Self {
        let now = Instant::now();
        let subscription = entry.database.models().records.subscribe(&entry.owner);
        let tail = join(hub, entry, &source, &subscription);
        let closed = entry.database.closed().clone();
        let heartbeat_at = now + Duration::from_millis(hub.config.records.ping_ms);
        let billing_at = now + billing_every(hub);
        Self {
            subscription,
            tail,
            taken: 0,
            looked_for: i64::MIN,
            over: Box::pin(over(hub.stopping.clone(), closed, hub.control.watch(&entry.auth))),
            _connection: entry.database.connect(),
            source,
            is_drained: false,
            waiting: VecDeque::from([Bytes::from_static(HELLO)]),
            alarm: Box::pin(tokio::time::sleep_until(heartbeat_at.min(billing_at))),
            heartbeat_at,
            billing_at,
            is_over: false,
            hub: Arc::clone(hub),
            entry: entry.clone(),
        }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if !self.is_drained {
                self.look().await?;
                continue;
            }
            if let Some(event) = self.take() {
                self.taken += 1;
                if self.taken >= TAKEN_MAX_PAGES {
                    self.check_over();
                }
                return Some(event);
            }
            if !self.is_drained {
                continue;
            }
            match self.wait().await {
                Wake::News => {}
                Wake::Lost if self.subscription.is_gone() => self.end(Bye::Revoked),
                Wake::Lost => {
                    self.tail = join(&self.hub, &self.entry, &self.source, &self.subscription);
                    self.is_drained = false;
                }
                Wake::Alarm => {
                    if let Some(event) = self.alarm().await {
                        return Some(event);
                    }
                }
                Wake::Over(reason) => self.end(reason),
            }
        }
    }

    /// The event, or the end of the stream in its place: the reader comes back with its cursor when it may.
    fn charged(&mut self, event: Bytes) -> Bytes {
        if self.entry.meter.charge(event.len()).is_ok() {
            return event;
        }
        self.waiting.clear();
        self.is_over = true;
        bye(Bye::ByteBudget).into()
    }

    /// Ends the stream if it is over: a long backlog does not outlive the right to it.
    fn check_over(&mut self) -> bool {
        self.taken = 0;
        let over = self.over.as_mut().now_or_never();
        if let Some(reason) = over {
            self.end(reason);
        }
        self.is_over
    }

    /// Reads a page of the state; `None` if that is not possible.
    async fn look(&mut self) -> Option<()> {
        if self.check_over() {
            return Some(());
        }
        match self.source.look().await {
            Ok(look) => {
                self.waiting.extend(look.events);
                self.is_drained = !look.has_more;
                self.is_over = look.is_last;
                Some(())
            }
            Err(error) => {
                // The reader comes back with its cursor.
                tracing::warn!(%error, "a stream of records broke off");
                None
            }
        }
    }

    /// The next page of the tail, or the wish to look at the state if none fits.
    fn take(&mut self) -> Option<Bytes> {
        let recent = self.tail.borrow_and_update();
        match recent.step(self.source.cursor().0, self.source.device()) {
            Step::Take(page) => {
                self.source.stand_at(UnixNanos(page.until));
                Some(page.content.clone())
            }
            Step::Look if recent.until() > self.looked_for => {
                self.looked_for = recent.until();
                self.is_drained = false;
                None
            }
            // It has looked for this already.
            Step::Look | Step::Wait => None,
        }
    }

    async fn wait(&mut self) -> Wake {
        tokio::select! {
            biased;
            reason = &mut self.over => Wake::Over(reason),
            news = self.tail.changed() => if news.is_ok() { Wake::News } else { Wake::Lost },
            () = &mut self.alarm => Wake::Alarm,
        }
    }

    /// Does what is due: asks whether the account may still sync, gives a sign of life.
    async fn alarm(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if self.billing_at <= now {
            self.billing_at = now + billing_every(&self.hub);
            if !self.hub.services.records.billing.admits(&self.entry.owner).await {
                self.end(Bye::PaymentRequired);
            }
            // What its device has got is noted when it looks for itself.
            self.is_drained = false;
        }
        let is_due = self.heartbeat_at <= now;
        if is_due {
            self.heartbeat_at = now + Duration::from_millis(self.hub.config.records.ping_ms);
        }
        self.alarm.as_mut().reset(self.heartbeat_at.min(self.billing_at));
        is_due.then(|| Bytes::from_static(heartbeat()))
    }

    fn end(&mut self, reason: Bye) {
        self.is_over = true;
        self.waiting.push_back(bye(reason).into());
    }
}

/// How often a stream asks again whether its account may sync: when what is known of it has grown old.
const fn billing_every(hub: &Hub) -> Duration {
    Duration::from_secs(hub.config.records.billing_seconds)
}

/// Waits until the hub, the database or the credential ends a stream.
async fn over(stopping: CancellationToken, closed: CancellationToken, mut watch: RightsWatch) -> Bye {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Bye::Shutdown,
        () = closed.cancelled() => Bye::Revoked,
        end = watch.ended() => match end {
            RightsEnd::Expired => Bye::Expired,
            RightsEnd::Revoked | RightsEnd::DatabaseDeleted => Bye::Revoked,
        },
    }
}

/// Joins the readers of what `source` shows, and sees to it that somebody writes it.
fn join<S: Source>(
    hub: &Arc<Hub>,
    entry: &Entry,
    source: &S,
    subscription: &Subscription,
) -> watch::Receiver<Recent<Bytes>> {
    let (tail, writing) = subscription.channel().streams.read(&source.view());
    if let Some(writing) = writing {
        // It waits from now on: what is committed before, its readers see when they look.
        let news = entry.database.models().records.subscribe(&entry.owner);
        let (stopping, closed) = (hub.stopping.clone(), entry.database.closed().clone());
        hub.tasks.spawn(gather(source.for_all(), news, writing, stopping, closed));
    }
    tail
}

/// Reads for all readers of a tail, as long as there are any.
async fn gather<S: Source>(
    mut source: S,
    mut news: Subscription,
    writing: Writing<Bytes>,
    stopping: CancellationToken,
    closed: CancellationToken,
) {
    let channel = Arc::clone(news.channel());
    let mut from = None;
    loop {
        news.pass();
        match gathered(&mut source, &mut from).await {
            Ok(Gathered::Nothing) => {}
            Ok(Gathered::Page(page)) => writing.write(|recent| recent.add(page)),
            Ok(Gathered::Gap(until)) => writing.write(|recent| recent.skip_to(until)),
            // Its readers find out for themselves.
            Ok(Gathered::End) | Err(_) => break,
        }
        let is_over = tokio::select! {
            biased;
            () = stopping.cancelled() => true,
            () = closed.cancelled() => true,
            () = writing.unread() => {
                if channel.streams.is_over(&writing) {
                    return;
                }
                false
            }
            () = news.changed() => news.is_gone(),
        };
        if is_over {
            break;
        }
    }
    channel.streams.give_up(writing);
}

/// What was new to all.
enum Gathered {
    Nothing,
    Page(Page<Bytes>),
    /// Too much for a page, or the beginning.
    Gap(i64),
    End,
}

/// Reads what is new. `from`: where the page before ended.
async fn gathered<S: Source>(source: &mut S, from: &mut Option<i64>) -> Result<Gathered> {
    let mut look = source.look().await?;
    let is_cut = look.has_more;
    while look.has_more {
        look = source.look().await?;
    }
    let until = source.cursor().0;
    if look.is_last {
        return Ok(Gathered::End);
    }
    let Some(begun) = from.filter(|begun| *begun > UnixNanos::EPOCH.0 && !is_cut) else {
        *from = Some(until);
        return Ok(Gathered::Gap(until));
    };
    let content = match look.events.len() {
        // What is new is not for this view: the next page covers it too.
        0 => return Ok(Gathered::Nothing),
        1 => look.events.remove(0),
        _ => look.events.concat().into(),
    };
    *from = Some(until);
    let Whom { writers, only_nameless } = look.whom;
    Ok(Gathered::Page(Page { from: begun, until, writers, only_nameless, bytes: content.len(), content }))
}
