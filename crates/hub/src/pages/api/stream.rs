//! `GET /v1/databases/{db}/pages/stream`: new versions as server-sent events (PAG-28). A version is a state and not an event:
//! a slow reader is told of the newest, and of none between.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ferry_sqlite::pages::Since;
use ferry_types::{
    Error, PageSize, Reason, Seq,
    limits::{PAGES_INLINE_MAX_BYTES, PAGES_SSE_PING_MS, TRANSFER_STALL_MAX_MS},
};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    answer::PagesError,
    body::{is_current, parse_since},
    request::{Held, PagesRequest, Served},
    whole::{self, Made},
};
use crate::{database::Follower, http::Query, pages::state::blocking};

const PING: Bytes = Bytes::from_static(b": ping\n\n");
/// How long a reader that finds no place should wait.
const FULL_RETRY_MS: u64 = 5_000;
/// How often the reader's rights are looked at.
const RIGHTS_EVERY: Duration = Duration::from_millis(500);

/// How long a stream waits whose database cannot be opened for now.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// One stream.
struct Stream {
    request: PagesRequest,
    inline_max_bytes: usize,
    /// What the reader was told last, or says that it has.
    told: Option<Since>,
    /// Whether the reader was told of `told` by this stream, so that it may be taken to have it.
    is_announced: bool,
    events: mpsc::Sender<Bytes>,
    held: Held,
    _follower: Follower,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn open(
    request: &PagesRequest,
    query: &Query<'_>,
    parts: &Parts,
) -> Result<Response, PagesError> {
    let told = match last_event_id(&parts.headers).or_else(|| query.text("since")) {
        None => None,
        text => Some(parse_since(text)?),
    };
    let inline = query.number("inline", 0, i64::from(PAGES_INLINE_MAX_BYTES))?.unwrap_or(0);
    let place = request.context.database.models().pages.stream().ok_or_else(|| {
        let message = "too many readers follow this database: try again in a few seconds";
        Error::new(Reason::RateLimited, message).retry_after_ms(FULL_RETRY_MS)
    })?;
    // What cannot be opened is told before the stream begins.
    request.newest(&parts.headers).await?;
    let (events, received) = mpsc::channel(1);
    let stream = Stream {
        request: PagesRequest { hub: Arc::clone(&request.hub), context: request.context.clone() },
        inline_max_bytes: usize::try_from(inline).unwrap_or(0),
        told,
        is_announced: false,
        events,
        held: request.held(parts, "sse"),
        _follower: request.context.database.capture().follow(),
        _place: place,
    };
    request.hub.tasks.spawn(stream.run());
    Ok(response(received))
}

/// A browser that comes again says what it was told last.
fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    id.filter(|id| !id.is_empty())
}

fn response(events: mpsc::Receiver<Bytes>) -> Response {
    let stream = futures_util::stream::unfold(events, |mut events| async move {
        events.recv().await.map(|event| (Ok::<_, Infallible>(event), events))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies such as nginx must not gather events.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Nobody reads any more, or the stream must not go on.
struct Ended;

impl Stream {
    async fn run(mut self) {
        let gauge = metrics::gauge!("ferry_connections", "model" => "pages");
        gauge.increment(1);
        let (stopping, closed) = (self.request.hub.stopping.clone(), self.held.closed().clone());
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = closed.cancelled() => {}
            Err(Ended) = self.deliver() => {}
        }
        gauge.decrement(1);
    }

    async fn deliver(&mut self) -> Result<Infallible, Ended> {
        loop {
            let served = match self.request.open().await {
                Ok(served) => served,
                // Others use what the hub may have open: whoever follows waits for them.
                Err(error) if error.is_busy() && !self.events.is_closed() => {
                    self.check_rights()?;
                    tokio::time::sleep(BUSY_PAUSE).await;
                    continue;
                }
                Err(_) => return Err(Ended),
            };
            let next = Seq(served.info().version + 1);
            if !self.told.is_some_and(|told| is_current(&told, served.info())) {
                self.announce(&served).await?;
            }
            drop(served);
            self.wait_for(next).await?;
        }
    }

    /// Waits for a version, showing meanwhile that the stream lives.
    async fn wait_for(&self, next: Seq) -> Result<(), Ended> {
        let mut made = std::pin::pin!(self.request.version(next));
        let mut pings = tokio::time::interval(Duration::from_millis(PAGES_SSE_PING_MS));
        pings.reset();
        let mut looks = tokio::time::interval(RIGHTS_EVERY);
        loop {
            tokio::select! {
                () = &mut made => return Ok(()),
                () = self.events.closed() => return Err(Ended),
                _ = pings.tick() => self.send(PING).await?,
                _ = looks.tick() => self.check_rights()?,
            }
        }
    }

    fn check_rights(&self) -> Result<(), Ended> {
        if self.held.is_over() { Err(Ended) } else { Ok(()) }
    }

    async fn send(&self, event: Bytes) -> Result<(), Ended> {
        self.check_rights()?;
        self.request.context.meter.charge(event.len()).map_err(|_| Ended)?;
        let stall = Duration::from_millis(TRANSFER_STALL_MAX_MS);
        self.events.send_timeout(event, stall).await.map_err(|_| Ended)
    }

    async fn announce(&mut self, served: &Served) -> Result<(), Ended> {
        let info = served.info().clone();
        let tag = info.tag();
        let mut data = json!({
            "version": info.version,
            "tag": tag.to_string(),
            "root": info.root.to_string(),
            "page_size": info.page_size.map_or(0, PageSize::get),
            "page_count": info.page_count.0,
            "pages": self.changed_pages(served).await,
            "time": info.time.to_string(),
        });
        if let Some(body) = self.inline_body(served).await {
            data["body"] = STANDARD.encode(body).into();
        }
        self.send(format!("event: version\nid: {tag}\ndata: {data}\n\n").into()).await?;
        (self.told, self.is_announced) = (Some(Since::Tag(tag)), true);
        Ok(())
    }

    /// Pages that the version changed.
    async fn changed_pages(&self, served: &Served) -> u32 {
        let (replica, version) = (Arc::clone(&served.replica), served.info().version);
        let listed = blocking(move || replica.versions(version.checked_add(1), 1)).await;
        listed.ok().and_then(|listed| listed.first().map(|row| row.pages)).unwrap_or(0)
    }

    /// What leads from the version that was announced before to this one, if it is short.
    async fn inline_body(&self, served: &Served) -> Option<Bytes> {
        let told = self.told.filter(|_| self.is_announced && self.inline_max_bytes > 0)?;
        match whole::make(&self.request, served, told, None).await {
            Ok(Made::Whole(body)) if body.len() <= self.inline_max_bytes => Some(body),
            _ => None,
        }
    }
}
