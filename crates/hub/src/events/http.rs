//! The HTTP transport: one call per request, answered by an array of frames; pulls are streamed page by page
//! (section 2.6, EVT-27).

use std::{io, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_core::events::{Bucket, Connection, FirstEvent, HistoryPage, Output, ReadPage};
use ferry_protocol::events::{
    Call, ErrorCode, Hook, Inbound, PageBody, PageInfo, Request, RpcError, Transport, chunk, defect,
    exit_error, exit_void,
};
use ferry_types::{Code, DatabaseId, Error, Result};
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::{
    access::EventsEntry,
    ahead::settled,
    metric, now_ms,
    push::{Pusher, charge_connection},
    refusal,
};

use crate::{
    http::{HttpRequestId, advise, metering, status_of},
    hub::Hub,
};
use ferry_control::Meter;

/// How long a pull that cannot be served now is tried again before it is told to ask later (EVT-34).
const PULL_RETRY_MAX_MS: u64 = 5_000;
const PULL_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// What stands between two frames.
const COMMA: Bytes = Bytes::from_static(b",");
/// Calls of one request.
const CALLS_MAX: usize = 100;

/// The calls in a body: one object, or an array of them.
pub(super) fn calls(body: &[u8]) -> Result<Vec<&str>, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "expected UTF-8")?;
    let one = text.trim_start();
    if !one.starts_with('[') {
        return Ok(vec![text]);
    }
    let calls: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| "expected a Request, or an array of them")?;
    if calls.len() > CALLS_MAX {
        return Err("more than 100 calls in one request");
    }
    Ok(calls.into_iter().map(RawValue::get).collect())
}

/// An array of frames.
fn array(frames: &[Bytes]) -> Vec<u8> {
    let mut body = vec![b'['];
    for (place, frame) in frames.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(frame);
    }
    body.push(b']');
    body
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// A body that is no call.
pub(super) fn malformed(status: StatusCode, why: &str) -> Response {
    json(status, array(&[defect(why)]))
}

/// A request that is refused as a whole: each call that can be read fails with the reason, which a client shows;
/// it ignores the status.
pub(super) fn refused(error: &Error, calls: &[impl AsRef<str>]) -> Response {
    let rpc = refusal::rpc_error(error);
    let ids = calls.iter().filter_map(|call| match Inbound::decode(call.as_ref(), Transport::Http) {
        Ok(Inbound::Request(request)) => Some(request.id),
        _ => None,
    });
    let mut frames: Vec<Bytes> = ids.map(|id| exit_error(&id, &rpc)).collect();
    if frames.is_empty() {
        frames.push(defect(&error.message));
    }
    let mut response = json(status_of(error.reason), array(&frames));
    advise(&mut response, error.retry_after_ms);
    response
}

/// Notes the pushes of a request that is refused as a whole, for people who look for stuck clients.
pub(super) fn record_refused(hub: &Hub, store: (DatabaseId, &str), calls: &[&str], error: &Error) {
    let (rpc, now) = (refusal::rpc_error(error), hub.clock.now());
    for call in calls {
        if let Ok(Inbound::Request(Request { call: Ok(Call::Push(push)), .. })) =
            Inbound::decode(call, Transport::Http)
            && let Some(first) = FirstEvent::of(&push.batch)
        {
            hub.services.events.clients.pushed(store, first, Some(&rpc), now);
        }
    }
}

/// Runs the calls one after another.
pub(super) async fn answer(
    hub: &Arc<Hub>,
    entry: EventsEntry,
    calls: Arc<[String]>,
    id: HttpRequestId,
) -> Response {
    // The body may have come long after the credential.
    if let Err(error) = entry.context.requester.recheck_credential() {
        return refused(&error, &calls);
    }
    let (frames, mut received) = mpsc::channel(1);
    let run = Run {
        machine: Connection::new(Transport::Http, entry.rights.clone(), hub.config.events.limits, now_ms())
            .asking(hub.services.events.hooks.may_ask(Hook::OnPull, &entry.context.database)),
        pusher: Pusher {
            hub: Arc::clone(hub),
            database: Arc::clone(&entry.context.database),
            store: Arc::clone(&entry.store),
            requester: Arc::clone(&entry.context.requester),
            transport: Transport::Http.as_str(),
        },
        bucket: hub.config.events.connection_rate.map(|rate| Bucket::new(rate, now_ms())),
        frames,
        has_answered: false,
    };
    let (meter, running) = (entry.context.meter.clone(), Arc::clone(&calls));
    let hub_tasks = hub.tasks.clone();
    hub_tasks.spawn(async move {
        if run.calls(&running).await.is_err() {
            tracing::debug!(request_id = %id.0, "an HTTP pull ended before its end");
        }
        drop(entry);
    });
    // Until the first page the status is still open.
    let mut first = Vec::new();
    let mut status = StatusCode::OK;
    let mut retry_after_ms = None;
    loop {
        match received.recv().await {
            Some(Piece::Frame(frame)) => first.push(frame),
            Some(Piece::Page(frame)) => {
                first.push(frame);
                let mut start = array(&first);
                start.pop();
                return match meter.charge(start.len()) {
                    Ok(()) => json(status, stream(start, received, meter)),
                    Err(spent) => refused(&spent, &calls),
                };
            }
            Some(Piece::Failed(error)) => {
                status = refusal::call_status(&error);
                if let RpcError::Unknown { retry_after_ms: after, .. } = error {
                    retry_after_ms = after;
                }
            }
            Some(Piece::Over) => break,
            None => return malformed(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
    if first.iter().any(|frame| frame.starts_with(b"{\"_tag\":\"Defect\"")) {
        status = StatusCode::BAD_REQUEST;
    }
    match metering::admit(json(status, array(&first)), &meter) {
        Ok(mut response) => {
            advise(&mut response, retry_after_ms);
            response
        }
        Err(spent) => refused(&spent, &calls),
    }
}

/// What the calls yield.
enum Piece {
    Frame(Bytes),
    /// A page of events: from here on the answer is streamed.
    Page(Bytes),
    /// The call failed so; its frame follows.
    Failed(RpcError),
    /// All calls are answered.
    Over,
}

/// `start`, and the rest of the answer as it comes. One that ends without [`Piece::Over`] breaks the connection off, so
/// that nobody takes a part for the whole.
fn stream(start: Vec<u8>, received: mpsc::Receiver<Piece>, meter: Meter) -> Body {
    let state = Some((received, meter, Some(Bytes::from(start))));
    let rest = futures_util::stream::unfold(state, |state| async move {
        let (mut received, meter, next) = state?;
        if let Some(next) = next {
            return Some((Ok(next), Some((received, meter, None))));
        }
        loop {
            return match received.recv().await {
                Some(Piece::Frame(frame) | Piece::Page(frame)) => {
                    match meter.charge(frame.len() + COMMA.len()) {
                        Ok(()) => Some((Ok(COMMA), Some((received, meter, Some(frame))))),
                        Err(spent) => Some((Err(io::Error::other(spent)), None)),
                    }
                }
                Some(Piece::Failed(_)) => continue,
                Some(Piece::Over) => Some((Ok(Bytes::from_static(b"]")), None)),
                None => Some((Err(io::Error::from(io::ErrorKind::UnexpectedEof)), None)),
            };
        }
    });
    // Compression asks once more after the end.
    Body::from_stream(rest.fuse())
}

/// The client has gone, or a page cannot be read: the answer stays incomplete.
struct Incomplete;

struct Run {
    machine: Connection,
    pusher: Pusher,
    bucket: Option<Bucket>,
    frames: mpsc::Sender<Piece>,
    has_answered: bool,
}

impl Run {
    async fn calls(mut self, calls: &[String]) -> Result<(), Incomplete> {
        for call in calls {
            self.machine.receive(call, &*self.pusher.store, now_ms());
            self.work().await?;
        }
        self.send(Piece::Over).await
    }

    async fn send(&mut self, piece: Piece) -> Result<(), Incomplete> {
        self.frames.send(piece).await.map_err(|_| Incomplete)
    }

    /// Does what the machine asks until it asks nothing more.
    async fn work(&mut self) -> Result<(), Incomplete> {
        loop {
            let Some(output) = self.machine.next_output() else {
                self.machine.pump(&*self.pusher.store, now_ms());
                if self.machine.has_output() {
                    continue;
                }
                return Ok(());
            };
            match output {
                Output::Send(frame) => self.send(Piece::Frame(frame)).await?,
                Output::Chunk(frame) => {
                    metric::chunk_sent();
                    let untaken = &self.pusher.hub.untaken;
                    let frame = match std::mem::replace(&mut self.has_answered, true) {
                        // One page is everybody's: a pull that gets nothing would not be tried again.
                        false => frame,
                        true => {
                            untaken.hold_page(&self.pusher.requester.principal, frame).ok_or(Incomplete)?
                        }
                    };
                    self.send(Piece::Page(frame)).await?;
                }
                Output::Append(call) => {
                    let outcome = match charge_connection(&mut self.bucket) {
                        Ok(wait_ms) => self.pusher.clone().run(call, wait_ms).await,
                        Err(error) => Err(error),
                    };
                    self.machine.appended(&outcome, &*self.pusher.store, now_ms());
                }
                Output::Read(page) => self.read(page).await?,
                Output::MayPull { pull, cursor, live } => {
                    let verdict = self.pusher.may_pull(cursor.as_ref(), live).await;
                    if matches!(verdict, Err(RpcError::Unknown { code: ErrorCode::HookUnavailable, .. })) {
                        self.ask_later(pull).await?;
                    } else {
                        self.machine.may_pull(pull, verdict, &*self.pusher.store, now_ms());
                    }
                }
                Output::Failed(error) => self.send(Piece::Failed(error)).await?,
                Output::Pushed(id, result) => metric::pushed(&id, result, Transport::Http),
                Output::Pulled { live, result } => metric::pulled(live, result),
                Output::Ahead(ahead) => {
                    if let Some(noting) = self.pusher.ahead(ahead) {
                        settled(noting).await;
                    }
                }
                Output::Refused(first, error) => self.pusher.record(first, Some(&error)),
                Output::Close(_) => return Err(Incomplete),
            }
        }
    }

    async fn read(&mut self, page: ReadPage) -> Result<(), Incomplete> {
        let began = now_ms();
        loop {
            match self.read_once(page).await {
                Ok(read) => {
                    self.machine.page_read(page.pull, read, now_ms());
                    return Ok(());
                }
                Err(error) if self.has_answered => {
                    tracing::warn!(%error, "an HTTP pull broke off");
                    return Err(Incomplete);
                }
                Err(error) if now_ms() - began < PULL_RETRY_MAX_MS && error.code() == Code::Unavailable => {
                    tokio::time::sleep(PULL_RETRY_PAUSE).await;
                }
                Err(_) => return self.ask_later(page.pull).await,
            }
        }
    }

    async fn read_once(&self, page: ReadPage) -> Result<Option<HistoryPage>> {
        self.pusher.read(page).await.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// A failed poll would end the client's polling for good: an empty page that promises more keeps it going.
    async fn ask_later(&mut self, pull: u32) -> Result<(), Incomplete> {
        let Some(id) = self.machine.give_up(pull) else { return Ok(()) };
        let body = PageBody::default().finish(
            PageInfo::MoreUnknown,
            &ferry_core::events::Log::position(&*self.pusher.store).backend_id,
        );
        self.send(Piece::Page(chunk(&id, &body))).await?;
        self.send(Piece::Frame(exit_void(&id))).await
    }
}
