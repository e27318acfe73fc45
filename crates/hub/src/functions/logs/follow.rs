//! `GET …/functions/logs`: the lines as server-sent events. Who reads too slowly is told how many were dropped.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_types::{
    Error, Reason, Result,
    limits::{EVENTS_SSE_PING_MS, TRANSFER_STALL_MAX_MS},
};
use http::{HeaderName, HeaderValue, header, request::Parts};
use serde_json::json;
use tokio::sync::mpsc;

use super::rings::LogFollower;
use crate::{entry::RequestContext, http::Query, hub::Hub};
use ferry_control::Meter;

const PING: Bytes = Bytes::from_static(b": ping\n\n");
const BYE: Bytes = Bytes::from_static(b"event: bye\ndata: {}\n\n");
const BYE_SPENT: Bytes = Bytes::from_static(b"event: bye\ndata: {\"reason\":\"byte_budget\"}\n\n");

/// How a stream ends.
enum End {
    /// All is said, or the hub or the credential ends: the reader may come again.
    Bye,
    /// The credential may transfer no more bytes today.
    Spent,
    /// Nobody reads any more.
    Gone,
}

struct Stream {
    meter: Meter,
    events: mpsc::Sender<Bytes>,
}

/// Serves the lines behind `since`, and with `follow=1` those to come.
pub(in super::super) fn serve(hub: &Arc<Hub>, parts: &Parts, context: &RequestContext) -> Result<Response> {
    let query = Query::of(parts);
    let wrong = |name: &str| Error::new(Reason::InvalidArgument, format!("{name}: expected a number"));
    // A reader that comes again says where it was.
    let last = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let since = last.or_else(|| query.text("since")).filter(|text| !text.is_empty());
    let since = since.map(|text| text.parse::<u64>().map_err(|_| wrong("since"))).transpose()?;
    let follows = matches!(query.text("follow"), Some("1" | "true"));
    let (events, received) = mpsc::channel(1);
    let stream = Stream { meter: context.meter.clone(), events };
    let (hub, context) = (Arc::clone(hub), context.clone());
    hub.tasks.clone().spawn(async move { stream.run(&hub, &context, since, follows).await });
    let body = futures_util::stream::unfold(received, |mut received| async move {
        received.recv().await.map(|event| (Ok::<_, Infallible>(event), received))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer would hold lines back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl Stream {
    async fn run(self, hub: &Arc<Hub>, context: &RequestContext, since: Option<u64>, follows: bool) {
        let follower = hub.services.functions.logs.follow(context.database.id(), hub.clock.now());
        let mut rights = context.watch(hub);
        let closed = context.database.closed().clone();
        let end = tokio::select! {
            biased;
            () = hub.stopping.cancelled() => End::Bye,
            () = closed.cancelled() => End::Bye,
            _ = rights.ended() => End::Bye,
            end = self.deliver(&follower, since, follows) => end,
        };
        match end {
            End::Gone => {}
            End::Bye => drop(self.hand_over(BYE).await),
            End::Spent => drop(self.hand_over(BYE_SPENT).await),
        }
    }

    async fn deliver(&self, follower: &LogFollower<'_>, since: Option<u64>, follows: bool) -> End {
        let mut cursor = since;
        loop {
            let mut news = std::pin::pin!(follower.news.notified());
            // Waiting begins before looking, so that no line falls between the two.
            news.as_mut().enable();
            let following = follower.lines(cursor);
            let mut text = String::new();
            if following.lost != Some(0) {
                text.push_str(&format!("event: dropped\ndata: {}\n\n", json!({ "lines": following.lost })));
            }
            for (n, line) in &following.lines {
                text.push_str(&format!("id: {n}\nevent: line\ndata: {line}\n\n"));
            }
            match following.lines.last() {
                Some((last, _)) => cursor = Some(*last),
                // Nothing is known of what was before: from here on it is.
                None if cursor.is_none() || following.lost != Some(0) => cursor = Some(follower.newest()),
                None => {}
            }
            if !text.is_empty() {
                if let Err(end) = self.send(text.into()).await {
                    return end;
                }
                continue;
            }
            if !follows {
                return End::Bye;
            }
            let sent = tokio::select! {
                () = news => Ok(()),
                () = tokio::time::sleep(Duration::from_millis(EVENTS_SSE_PING_MS)) => self.send(PING).await,
                () = self.events.closed() => Err(End::Gone),
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    /// Sends, if the credential may transfer so much more.
    async fn send(&self, event: Bytes) -> Result<(), End> {
        self.meter.charge(event.len()).map_err(|_| End::Spent)?;
        if self.hand_over(event).await { Ok(()) } else { Err(End::Gone) }
    }

    /// Gives an event to the connection; false if nobody takes it.
    async fn hand_over(&self, event: Bytes) -> bool {
        self.events.send_timeout(event, Duration::from_millis(TRANSFER_STALL_MAX_MS)).await.is_ok()
    }
}
