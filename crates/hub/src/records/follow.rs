//! Following records: a stream registers first, then drains all pages from its cursor, then follows (REC-20). What it
//! lags behind is in the state; nothing is queued for it beyond one page.

use std::{collections::VecDeque, convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_protocol::records::{Bye, bye, heartbeat};
use ferry_types::Result;
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::time::Instant;

use super::{access::Entry, news::Subscription};
use crate::{
    control::{RightsEnd, RightsWatch},
    database::ConnectionGuard,
    hub::Hub,
};

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
}

/// What a stream shows.
pub(super) trait Source: Send + 'static {
    /// One page behind the source's cursor, which moves with it.
    fn look(&mut self) -> impl Future<Output = Result<Look>> + Send;
}

/// The answer that follows `source`.
pub(super) fn respond<S: Source>(hub: &Arc<Hub>, entry: &Entry, source: S) -> Response {
    let events = stream::unfold(Some(Follower::new(hub, entry, source)), |follower| async move {
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
    watch: RightsWatch,
    /// All that was there when it looked last has been sent.
    is_drained: bool,
    waiting: VecDeque<Bytes>,
    heartbeat_at: Instant,
    billing_at: Instant,
    is_over: bool,
    _connection: ConnectionGuard,
}

/// What a stream that has nothing to send waits for.
enum Wake {
    News,
    Heartbeat,
    Billing,
    Over(Bye),
}

impl<S: Source> Follower<S> {
    fn new(hub: &Arc<Hub>, entry: &Entry, source: S) -> Self {
        let now = Instant::now();
        Self {
            subscription: entry.database.records().subscribe(&entry.owner),
            watch: hub.control.watch(&entry.auth),
            _connection: entry.database.connect(),
            source,
            is_drained: false,
            waiting: VecDeque::from([Bytes::from_static(HELLO)]),
            heartbeat_at: now + Duration::from_millis(hub.config.records.ping_ms),
            billing_at: now + billing_every(hub),
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
                // A long backlog does not outlive the right to it.
                if let Some(reason) = self.over_now().await {
                    self.end(reason);
                    continue;
                }
                match self.source.look().await {
                    Ok(look) => {
                        self.waiting.extend(look.events);
                        self.is_drained = !look.has_more;
                        self.is_over = look.is_last;
                    }
                    Err(error) => {
                        // The reader comes back with its cursor.
                        tracing::warn!(%error, "a stream of records broke off");
                        return None;
                    }
                }
                continue;
            }
            match self.wait().await {
                Wake::News if self.subscription.is_gone() => self.end(Bye::Revoked),
                Wake::News => {
                    self.subscription.pass();
                    self.is_drained = false;
                }
                Wake::Heartbeat => {
                    self.heartbeat_at =
                        Instant::now() + Duration::from_millis(self.hub.config.records.ping_ms);
                    return Some(Bytes::from_static(heartbeat()));
                }
                Wake::Billing => {
                    self.billing_at = Instant::now() + billing_every(&self.hub);
                    if !self.hub.billing.admits(&self.hub, &self.entry.owner).await {
                        self.end(Bye::PaymentRequired);
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

    async fn wait(&mut self) -> Wake {
        let over = over(&self.hub, &self.entry, &mut self.watch);
        tokio::select! {
            biased;
            reason = over => Wake::Over(reason),
            () = self.subscription.changed() => Wake::News,
            () = tokio::time::sleep_until(self.heartbeat_at) => Wake::Heartbeat,
            () = tokio::time::sleep_until(self.billing_at) => Wake::Billing,
        }
    }

    /// Why the stream is over, if it is.
    async fn over_now(&mut self) -> Option<Bye> {
        tokio::select! {
            biased;
            reason = over(&self.hub, &self.entry, &mut self.watch) => Some(reason),
            () = std::future::ready(()) => None,
        }
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
async fn over(hub: &Hub, entry: &Entry, watch: &mut RightsWatch) -> Bye {
    tokio::select! {
        biased;
        () = hub.stopping.cancelled() => Bye::Shutdown,
        () = entry.database.closed().cancelled() => Bye::Revoked,
        end = watch.ended() => match end {
            RightsEnd::Expired => Bye::Expired,
            RightsEnd::Revoked | RightsEnd::DatabaseDeleted => Bye::Revoked,
        },
    }
}
