//! `GET …/events/live`: the log as server-sent events (WHATWG HTML, section 9.2). A stream is a cursor into the log
//! and a wake-up: nothing is queued for it but the page that is on its way (EVT-71).

use std::{convert::Infallible, ops::ControlFlow, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_core::events::{
    Following, Log as _, PAGE_MAX_BYTES, PAGE_MAX_EVENTS, Pages, StoreState, log::each_event, store,
};
use ferry_protocol::events::{LogCursor, write_sse};
use ferry_types::{
    Model, Result,
    limits::{EVENTS_FULL_RETRY_MS, EVENTS_SSE_PING_MS, TRANSFER_STALL_MAX_MS},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    answer::{Answer, ViewError},
    page::check_cursor,
    request::EventsApiRequest,
    text_header,
};

use crate::{
    connections::{ConnectionHead, OpenConnection},
    database::{Database, seq_of},
    events::{
        metric,
        sent_upto::SentUpto,
        store::{Store, Subscriber},
    },
    http::Query,
    hub::Hub,
    rights_end::rights_end,
};
use ferry_control::{Meter, RightsWatch};

const PING: Bytes = Bytes::from_static(b": ping\n\n");
const BYE: Bytes = Bytes::from_static(b"event: bye\ndata: {}\n\n");
const BYE_SPENT: Bytes = Bytes::from_static(b"event: bye\ndata: {\"reason\":\"byte_budget\"}\n\n");
/// Pages on their way to a stream.
const PAGES_IN_FLIGHT: usize = 1;

/// One stream.
struct Stream {
    hub: Arc<Hub>,
    database: Arc<Database>,
    store: Arc<Store>,
    meter: Meter,
    principal: Arc<str>,
    cursor: i64,
    generation: u32,
    backend_id: Box<str>,
    pages: mpsc::Sender<Bytes>,
    _subscriber: Subscriber,
    connection: OpenConnection,
    sent_upto: SentUpto,
}

/// How a stream ends.
enum End {
    /// The store has another identity: the reader must begin anew.
    Reset(Arc<str>),
    /// The hub, the credential or the store ends: the reader may come again.
    Bye,
    /// The credential may transfer no more bytes today.
    Spent,
    /// Nobody reads any more.
    Gone,
}

pub(super) async fn open(
    request: &EventsApiRequest,
    query: &Query<'_>,
    parts: &Parts,
) -> Result<Answer, ViewError> {
    let after = after(query, &parts.headers)?;
    let store = request.store(query.text("store"), false).await?;
    let most = request.hub.config.events.connections_per_store;
    let subscriber = store.connect(most).ok_or_else(|| {
        let message = "too many connections to this store: try again in a few seconds";
        ViewError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .retry_after(Some(EVENTS_FULL_RETRY_MS))
    })?;
    let cursor = LogCursor { backend_id: query.text("backendId").unwrap_or("").into(), seq_num: after };
    request.pusher(&store, "sse").may_pull(Some(&cursor), true).await?;
    // Before looking, so that a change behind the look is noticed.
    let generation = store.generation();
    let (row, seq) = {
        let store = Arc::clone(&store);
        request.context.database.read(move |sql| Ok((store::find(sql, store.id())?, seq_of(sql)?))).await?
    };
    let row = row.ok_or_else(|| ViewError::new(StatusCode::NOT_FOUND, "not_found", "store not found"))?;
    check_cursor(request, &store, &row, (after, query.text("backendId"))).await?;
    metric::pulled(true, "ok");
    let (pages, received) = mpsc::channel(PAGES_IN_FLIGHT);
    let ready = json!({"store": row.key.id, "backendId": row.backend_id, "head": row.head, "base": row.base});
    let first = Bytes::from(format!("retry: 2000\nevent: ready\ndata: {ready}\n\n"));
    let head = ConnectionHead::of(parts).within(store.id());
    let connection = request.context.connect(&request.hub, head, (Model::Events, "sse"));
    let sent_upto = SentUpto::shown_by(&connection, &store);
    sent_upto.reached(Some(after));
    let stream = Stream {
        hub: Arc::clone(&request.hub),
        database: Arc::clone(&request.context.database),
        meter: request.context.meter.clone(),
        principal: Arc::clone(&request.context.requester.principal),
        cursor: after,
        generation,
        backend_id: row.backend_id,
        pages,
        _subscriber: subscriber,
        connection,
        sent_upto,
        store,
    };
    let rights = request.context.watch(&request.hub);
    request.hub.tasks.spawn(stream.run(first, rights));
    Ok(Answer::new(response(received), Some(seq)))
}

/// `Last-Event-ID`, which a browser sends when it comes again, wins over `after`.
fn after(query: &Query<'_>, headers: &HeaderMap) -> Result<i64, ViewError> {
    match text_header(headers, "last-event-id").filter(|id| !id.is_empty()) {
        None => Ok(query.number("after", 0, i64::MAX)?.unwrap_or(0)),
        Some(id) => id
            .parse()
            .ok()
            .filter(|id| *id >= 0)
            .ok_or_else(|| ViewError::bad_request("Last-Event-ID: expected the number of an event")),
    }
}

fn response(pages: mpsc::Receiver<Bytes>) -> Response {
    let stream = futures_util::stream::unfold(pages, |mut pages| async move {
        pages.recv().await.map(|page| (Ok::<_, Infallible>(page), pages))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies such as nginx must not gather pages.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

impl Stream {
    async fn run(mut self, first: Bytes, mut rights: RightsWatch) {
        let gauge = metrics::gauge!("ferry_events_subscribers", "transport" => "sse");
        gauge.increment(1);
        let (stopping, closed) = (self.hub.stopping.clone(), self.connection.closed().clone());
        let grace = Duration::from_millis(self.hub.config.events.expiry_grace_ms);
        let end = tokio::select! {
            biased;
            () = stopping.cancelled() => End::Bye,
            () = closed.cancelled() => End::Bye,
            _ = rights_end(&mut rights, grace) => End::Bye,
            never = self.deliver(first) => {
                let Err(end) = never;
                end
            }
        };
        match end {
            End::Gone => {}
            End::Bye => {
                self.hand_over(BYE).await;
            }
            End::Spent => {
                self.hand_over(BYE_SPENT).await;
            }
            // A browser that comes again then begins at the first event, not behind one that is no more.
            End::Reset(backend_id) => {
                let data = json!({ "backendId": *backend_id });
                self.hand_over(format!("id: 0\nevent: reset\ndata: {data}\n\n").into()).await;
            }
        }
        gauge.decrement(1);
    }

    /// Gives a page to the connection; false if nobody takes it.
    async fn hand_over(&self, page: Bytes) -> bool {
        self.pages.send_timeout(page, Duration::from_millis(TRANSFER_STALL_MAX_MS)).await.is_ok()
    }

    /// Sends a page, if the credential may transfer so much more.
    async fn send(&self, page: Bytes) -> Result<(), End> {
        self.meter.charge(page.len()).map_err(|_| End::Spent)?;
        if self.hand_over(page).await { Ok(()) } else { Err(End::Gone) }
    }

    async fn deliver(&mut self, first: Bytes) -> Result<Infallible, End> {
        self.send(first).await?;
        let store = Arc::clone(&self.store);
        loop {
            let mut notified = std::pin::pin!(store.notified());
            // Waiting begins before looking, so that no commit falls between the two.
            notified.as_mut().enable();
            let following = store.following(self.cursor, None);
            let read = match &following {
                Following::Read => Some(self.read().await),
                _ => None,
            };
            // After looking: what was found may be of another log already.
            if let Some(end) = self.changed() {
                return Err(end);
            }
            match (following, read) {
                (Following::Pages(pages), _) => self.send_pages(&pages).await?,
                (Following::Read, Some(Ok((text, last)))) => {
                    self.reached(last);
                    metric::chunk_sent();
                    // Who comes again has taken something, or waits until others have.
                    let page = self.hub.untaken.hold_page(&self.principal, text.into());
                    self.send(page.ok_or(End::Bye)?).await?;
                }
                (Following::Read, Some(Err(error))) => {
                    tracing::warn!(%error, "a stream of events broke off");
                    return Err(End::Bye);
                }
                _ => tokio::select! {
                    () = notified => {}
                    () = tokio::time::sleep(Duration::from_millis(EVENTS_SSE_PING_MS)) => self.send(PING).await?,
                    () = self.pages.closed() => return Err(End::Gone),
                },
            }
        }
    }

    fn reached(&mut self, seq_num: i64) {
        self.cursor = seq_num;
        self.sent_upto.reached(Some(seq_num));
    }

    async fn send_pages(&mut self, pages: &Pages) -> Result<(), End> {
        for page in pages.iter() {
            metric::chunk_sent();
            self.send(page.sse().clone()).await?;
            self.reached(page.last);
        }
        Ok(())
    }

    /// Whether the store is no longer the one that the stream began with.
    fn changed(&self) -> Option<End> {
        if self.store.generation() == self.generation {
            return None;
        }
        let backend_id = self.store.position().backend_id;
        Some(match self.store.state() {
            StoreState::Ok if *backend_id != *self.backend_id => End::Reset(backend_id),
            _ => End::Bye,
        })
    }

    /// A page of the log, ready to be sent, and its last event.
    async fn read(&self) -> Result<(String, i64)> {
        let (store, after) = (Arc::clone(&self.store), self.cursor);
        let upto = store.position().head;
        self.database
            .read(move |sql| {
                let (mut text, mut last) = (String::new(), after);
                each_event(sql, &store.key(), (after, upto), PAGE_MAX_EVENTS, &mut |event, seq| {
                    let len = text.len();
                    write_sse(&mut text, event, u64::try_from(seq).unwrap_or(0));
                    if len > 0 && text.len() > PAGE_MAX_BYTES {
                        text.truncate(len);
                        return Ok(ControlFlow::Break(()));
                    }
                    last = event.seq_num;
                    Ok(ControlFlow::Continue(()))
                })?;
                if text.is_empty() {
                    // Only a change behind the hub's back takes events away.
                    text.push_str(": ping\n\n");
                    last = upto;
                }
                Ok((text, last))
            })
            .await
    }
}
