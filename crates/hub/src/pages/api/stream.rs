//! `GET /v1/databases/{db}/pages/stream`: new versions as server-sent events (PAG-28). A version is a state and not an event:
//! a slow reader is told of the newest, and of none between.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ferry_sqlite::pages::Since;
use ferry_types::{
    Error, PageSize, Reason, Seq,
    limits::{PAGES_INLINE_MAX_BYTES, PAGES_SSE_PING_MS, TRANSFER_STALL_MAX_MS},
};
use http::{HeaderMap, request::Parts};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    answer::PagesError,
    body::{is_current, parse_since},
    request::{Held, PagesRequest, Served},
    whole::{self, Made},
};
use crate::{
    connections::ConnectionPosition,
    database::Follower,
    http::{Outlet, Query, served_stream},
    pages::state::blocking,
};

const PING: Bytes = Bytes::from_static(b": ping\n\n");
/// How long a reader that finds no place should wait.
const FULL_RETRY_MS: u64 = 5_000;
/// How often the reader's rights are looked at.
const RIGHTS_EVERY: Duration = Duration::from_millis(RIGHTS_EVERY_MS);
const RIGHTS_EVERY_MS: u64 = 500;
/// So many of these looks lie between two signs of life.
const LOOKS_PER_PING: u64 = PAGES_SSE_PING_MS / RIGHTS_EVERY_MS;
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
    /// The number of that version, for those who look at the connection.
    told_version: Arc<AtomicU64>,
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
    let served = request.newest(&parts.headers).await?;
    let told_version = Arc::new(AtomicU64::new(served.info().version));
    let held = request.held(parts, "sse");
    let (told_last, database) = (Arc::clone(&told_version), Arc::downgrade(&request.context.database));
    held.follows(move || {
        let cursor = told_last.load(Ordering::Relaxed);
        // It may lead what was committed since the database is open.
        let head = database.upgrade()?.newest_seq().0.max(cursor);
        Some(ConnectionPosition { cursor, head, unit: "versions" })
    });
    let mut stream = Stream {
        request: PagesRequest { hub: Arc::clone(&request.hub), context: request.context.clone() },
        inline_max_bytes: usize::try_from(inline).unwrap_or(0),
        told,
        is_announced: false,
        told_version,
        held,
        _follower: request.context.database.capture().follow(),
        _place: place,
    };
    // Something is sent at once, so that the reader knows that it is heard.
    let first = stream.news(&served).await.unwrap_or(PING);
    drop(served);
    request.context.meter.charge(first.len())?;
    Ok(served_stream::respond(
        parts,
        (stream, Some(first)),
        |(_, first)| first.take().unwrap_or(PING),
        |(stream, first), outlet| Box::pin(stream.run(first, outlet)),
    ))
}

/// A browser that comes again says what it was told last.
fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    id.filter(|id| !id.is_empty())
}

/// Nobody reads any more, or the stream must not go on.
struct Ended;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Stream {
    /// Sends `first`, if it has not been sent, and then what happens.
    async fn run(mut self, first: Option<Bytes>, mut outlet: Outlet) {
        let (stopping, closed) = (self.request.hub.stopping.clone(), self.held.closed().clone());
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = closed.cancelled() => {}
            Err(Ended) = self.deliver(first, &mut outlet) => {}
        }
        let _ = std::future::poll_fn(|context| outlet.poll_end(context)).await;
    }

    /// What is rarely done is boxed: most streams wait most of the time, and a future is as large as the largest of its steps.
    async fn deliver(&mut self, first: Option<Bytes>, outlet: &mut Outlet) -> Result<Infallible, Ended> {
        if let Some(first) = first {
            self.send(first, outlet).await?;
        }
        loop {
            let next = Box::pin(self.catch_up(outlet)).await?;
            self.wait_for(next, outlet).await?;
        }
    }

    /// Tells of the newest version, if the reader does not have it; the next one that is worth a look.
    async fn catch_up(&mut self, outlet: &mut Outlet) -> Result<Seq, Ended> {
        let served = loop {
            match self.request.open().await {
                Ok(served) => break served,
                // Others use what the hub may have open: whoever follows waits for them.
                Err(error) if error.is_busy() => {
                    self.check_rights()?;
                    tokio::select! {
                        () = gone(outlet) => return Err(Ended),
                        () = tokio::time::sleep(BUSY_PAUSE) => {}
                    }
                }
                Err(_) => return Err(Ended),
            }
        };
        let next = Seq(served.info().version + 1);
        if let Some(event) = self.news(&served).await {
            drop(served);
            self.request.context.meter.charge(event.len()).map_err(|_| Ended)?;
            self.send(event, outlet).await?;
        }
        Ok(next)
    }

    /// Waits for a version, showing meanwhile that the stream lives.
    async fn wait_for(&self, next: Seq, outlet: &mut Outlet) -> Result<(), Ended> {
        let mut made = std::pin::pin!(self.request.version(next));
        let mut looks = tokio::time::interval(RIGHTS_EVERY);
        let mut until_ping = LOOKS_PER_PING;
        loop {
            tokio::select! {
                () = &mut made => return Ok(()),
                () = gone(outlet) => return Err(Ended),
                _ = looks.tick() => {
                    self.check_rights()?;
                    until_ping -= 1;
                }
            }
            if until_ping == 0 {
                until_ping = LOOKS_PER_PING;
                self.request.context.meter.charge(PING.len()).map_err(|_| Ended)?;
                self.send(PING, outlet).await?;
            }
        }
    }

    fn check_rights(&self) -> Result<(), Ended> {
        if self.held.is_over() { Err(Ended) } else { Ok(()) }
    }

    /// Sends what was charged, all of it.
    async fn send(&self, event: Bytes, outlet: &mut Outlet) -> Result<(), Ended> {
        self.check_rights()?;
        let stall = Duration::from_millis(TRANSFER_STALL_MAX_MS);
        let sent = async {
            std::future::poll_fn(|context| outlet.poll_ready(context)).await?;
            outlet.start_send(event);
            std::future::poll_fn(|context| outlet.poll_ready(context)).await
        };
        Ok(tokio::time::timeout(stall, sent).await.map_err(|_| Ended)??)
    }

    /// The event that tells of a version, if the reader does not have it.
    async fn news(&mut self, served: &Served) -> Option<Bytes> {
        let info = served.info().clone();
        let tag = info.tag();
        if self.told.is_some_and(|told| is_current(&told, &info)) {
            return None;
        }
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
        (self.told, self.is_announced) = (Some(Since::Tag(tag)), true);
        self.told_version.store(info.version, Ordering::Relaxed);
        Some(format!("event: version\nid: {tag}\ndata: {data}\n\n").into())
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

/// Waits until the reader has gone.
async fn gone(outlet: &mut Outlet) {
    std::future::poll_fn(|context| outlet.poll_gone(context)).await;
}
