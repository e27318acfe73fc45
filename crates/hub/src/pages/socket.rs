//! The socket of a session: frames in, in batches; frames out, a bounded number of bytes; and an orderly end.

use std::{collections::VecDeque, future::poll_fn, pin::pin, task::Poll, time::Duration};

use axum::extract::ws::Message;
use bytes::Bytes;
use ferry_core::pages::Refusal;
use ferry_protocol::pages::{Frame, close};
use ferry_types::limits::{EDGEREPLICA_FRAME_MAX_BYTES, TRANSFER_STALL_MAX_MS};
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use tokio::time::Instant;

use super::end::End;
use crate::http::{BoundedSocket, CONTROL_FLOOD, STALLED, SocketFault};
use ferry_control::Meter;

/// Received bytes that may wait for their turn; beyond, reading pauses.
const INBOX_MAX_BYTES: usize = 512 << 10;
/// How long a refused client has to take the word.
const LINGER: Duration = Duration::from_secs(5);
/// How long a client has to take the last frames of a session that succeeded.
const LAST_FRAMES: Duration = Duration::from_millis(TRANSFER_STALL_MAX_MS);

/// One client's socket.
pub(super) struct PageSocket {
    inner: BoundedSocket,
    outbox: VecDeque<Message>,
    /// Frames were handed over that may still be in the socket's own buffer.
    unflushed: bool,
    inbox: Vec<Bytes>,
    inbox_bytes: usize,
    /// What the token may transfer: every frame is charged, in both directions.
    meter: Meter,
    /// Why nothing more comes in; told once what came before is taken.
    over: Option<End>,
    /// When the last frame came in or went out.
    pub(super) active_at: Instant,
}

impl PageSocket {
    pub(super) fn new(inner: BoundedSocket, meter: Meter) -> Self {
        Self {
            inner,
            outbox: VecDeque::new(),
            unflushed: false,
            inbox: Vec::new(),
            inbox_bytes: 0,
            meter,
            over: None,
            active_at: Instant::now(),
        }
    }

    /// Whether frames wait to be sent.
    pub(super) fn is_sending(&self) -> bool {
        self.unflushed || !self.outbox.is_empty()
    }

    /// Whether everything was handed to the socket, so that more may be made ready.
    pub(super) fn wants_more(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(super) fn send(&mut self, frames: impl IntoIterator<Item = Bytes>) {
        self.outbox.extend(frames.into_iter().map(Message::Binary));
    }

    /// Sends a sign of life, unless other things wait to be sent.
    pub(super) fn ping(&mut self, payload: &'static [u8]) {
        if !self.is_sending() {
            self.outbox.push_back(Message::Ping(Bytes::from_static(payload)));
        }
    }

    pub(super) fn has_received(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(super) fn take_received(&mut self) -> Vec<Bytes> {
        self.inbox_bytes = 0;
        std::mem::take(&mut self.inbox)
    }

    /// Receives and sends until frames came in or, if `until_sent`, the socket has taken all. Dropping the future loses
    /// nothing: reading never waits for writing, nor writing for reading.
    pub(super) async fn exchange(&mut self, until_sent: bool) -> Result<(), End> {
        poll_fn(|context| {
            let sent = match self.poll_send(context) {
                Ok(sent) => sent,
                Err(end) => {
                    // What came in before still counts.
                    self.over.get_or_insert(end);
                    self.outbox.clear();
                    self.unflushed = false;
                    false
                }
            };
            let received = self.poll_receive(context);
            if self.inbox.is_empty()
                && let Some(end) = self.over.take()
            {
                return Poll::Ready(Err(end));
            }
            if received || (until_sent && sent) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Takes in what is there; true if anything came.
    fn poll_receive(&mut self, context: &mut std::task::Context<'_>) -> bool {
        let before = self.inbox.len();
        while self.over.is_none() && self.inbox_bytes < INBOX_MAX_BYTES {
            let Poll::Ready(message) = pin!(&mut self.inner).poll_next(context) else { break };
            match message {
                Some(Ok(Message::Binary(frame))) if frame.len() > EDGEREPLICA_FRAME_MAX_BYTES => {
                    self.over = Some(too_large().into());
                }
                Some(Ok(Message::Binary(frame))) => match self.meter.charge(frame.len()) {
                    Ok(()) => {
                        self.inbox_bytes += frame.len();
                        self.inbox.push(frame);
                    }
                    Err(error) => self.over = Some(super::refusal(error).into()),
                },
                Some(Ok(Message::Text(_))) => {
                    let message = "text frames not supported: send binary frames".into();
                    self.over = Some(Refusal { message, close: close::TEXT }.into());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => self.over = Some(End::Gone),
                Some(Err(fault)) => self.over = Some(fault.into()),
            }
        }
        let received = self.inbox.len() > before;
        if received {
            self.active_at = Instant::now();
        }
        received
    }

    /// Sends what the socket takes; true once it has taken everything.
    fn poll_send(&mut self, context: &mut std::task::Context<'_>) -> Result<bool, End> {
        while !self.outbox.is_empty() {
            match pin!(&mut self.inner).poll_ready(context)? {
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(false),
            }
            let message = self.outbox.pop_front().expect("BUG: the outbox is not empty");
            self.meter.charge(charged(&message)).map_err(super::refusal)?;
            pin!(&mut self.inner).start_send(message)?;
            self.unflushed = true;
            self.active_at = Instant::now();
        }
        if self.unflushed && pin!(&mut self.inner).poll_flush(context)?.is_ready() {
            self.unflushed = false;
            self.active_at = Instant::now();
        }
        Ok(true)
    }

    /// Sends what is left, the error if there is one, and the close; then waits for the peer, so that nothing of
    /// it is lost to unread input.
    pub(super) async fn finish(mut self, ended: Result<(), End>) {
        let limit = if ended.is_ok() { LAST_FRAMES } else { LINGER };
        let close = match ended {
            Ok(()) => close::COMPLETE,
            Err(End::Refused(refusal)) => {
                // Pages that wait would only delay the word.
                self.outbox.clear();
                self.send([Frame::Error(refusal.message.into_owned()).encode().into()]);
                refusal.close
            }
            Err(End::Stopping) => {
                self.outbox.clear();
                close::SHUTDOWN
            }
            Err(End::Gone) => return,
        };
        let closing = async {
            while let Some(message) = self.outbox.pop_front() {
                // The last word of a session that did its work arrives, whatever it costs.
                let _ = self.meter.charge(charged(&message));
                self.inner.feed(message).await?;
            }
            self.inner.close(close).await
        };
        if !matches!(tokio::time::timeout(limit, closing).await, Ok(Ok(()))) {
            tracing::debug!("the client did not take leave");
        }
    }
}

/// Bytes of a message that count as transferred: those of frames.
fn charged(message: &Message) -> usize {
    if let Message::Binary(frame) = message { frame.len() } else { 0 }
}

fn too_large() -> Refusal {
    let message = format!("a frame may have at most {EDGEREPLICA_FRAME_MAX_BYTES} bytes");
    Refusal { message: message.into(), close: close::TOO_LARGE }
}

impl From<SocketFault> for End {
    fn from(fault: SocketFault) -> Self {
        let (message, close) = match fault {
            SocketFault::TooLarge => return too_large().into(),
            SocketFault::Malformed => ("malformed WebSocket frame", close::PROTOCOL_ERROR),
            SocketFault::ControlFlood => ("too many WebSocket control frames", CONTROL_FLOOD),
            SocketFault::Stalled => ("the client takes nothing: run it again", STALLED),
            SocketFault::Gone => return Self::Gone,
        };
        Refusal { message: message.into(), close }.into()
    }
}
