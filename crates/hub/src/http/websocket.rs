//! The one way to a WebSocket: every surface accepts its sockets here. What the hub holds for a peer that reads nothing
//! is bounded: by the size of the write buffer, by how long it may stay full, and by how many control frames a peer may
//! send, since each Ping owes a Pong (WEB-12).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::{
        FromRequestParts as _, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
};
use ferry_types::limits::{SOCKET_CONTROL_FRAMES_PER_SECOND, SOCKET_PONGS_MAX_BYTES};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::{HeaderMap, header, request::Parts};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::timed_stream::ConnectionProgress;

use ferry_control::BEARER_PROTOCOL;

/// What a request is told that should have been an upgrade, as one is that a proxy has made plain.
pub(crate) const NO_UPGRADE: &str = "this is a WebSocket: connect with ws:// or wss://; a proxy in between must pass \
     upgrades on, by HTTP/1.1 with the headers Upgrade and Connection";
/// What a socket that sends too many control frames is closed with.
pub(crate) const CONTROL_FLOOD: (u16, &str) = (1008, "too many control frames");
/// What a socket is closed with whose peer takes nothing.
pub(crate) const STALLED: (u16, &str) = (1008, "takes nothing: too slow");

/// Messages that are dropped while the peer's close is waited for.
const LAST_MESSAGES_MAX: usize = 10_000;

/// What a socket of one surface may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketLimits {
    /// Largest message from the peer.
    pub(crate) received_max_bytes: usize,
    /// Bytes that are read at once; a longer frame grows its buffer while it arrives.
    pub(crate) read_buffer_bytes: usize,
    /// Bytes that are gathered before they are written in one go.
    pub(crate) gathered_max_bytes: usize,
    /// Largest message to the peer.
    pub(crate) sent_max_bytes: usize,
    /// How long the peer may take nothing while something waits for it.
    pub(crate) stall_max: Duration,
}

/// Why a socket ends that its peer did not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketFault {
    /// A message above the limit.
    TooLarge,
    /// The WebSocket protocol was broken.
    Malformed,
    /// More control frames than anybody needs.
    ControlFlood,
    /// The peer takes nothing.
    Stalled,
    /// The connection is gone.
    Gone,
}

impl From<axum::Error> for SocketFault {
    fn from(error: axum::Error) -> Self {
        match error.into_inner().downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => Self::TooLarge,
            Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Self::Gone,
            Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => Self::Malformed,
            _ => Self::Gone,
        }
    }
}

/// A request that asks for a WebSocket in the right words.
pub(crate) struct Handshake {
    upgrade: WebSocketUpgrade,
    progress: ConnectionProgress,
}

impl Handshake {
    /// `None` for a request that asks for no WebSocket. `subprotocol` is the surface's own.
    pub(crate) async fn of(parts: &mut Parts, subprotocol: &'static str) -> Option<Self> {
        let selected = select(&parts.headers, subprotocol).map(str::to_owned);
        let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.ok()?.protocols(selected);
        let progress = parts.extensions.get::<ConnectionProgress>().cloned().unwrap_or_default();
        Some(Self { upgrade, progress })
    }

    /// For clients that leave Nagle's algorithm on: see [`ConnectionProgress::acknowledge_at_once`].
    pub(crate) fn acknowledging_at_once(self) -> Self {
        self.progress.acknowledge_at_once();
        self
    }

    /// Answers it, and serves the socket.
    pub(crate) fn accept<F, S>(self, limits: SocketLimits, serve: F) -> Response
    where
        F: FnOnce(BoundedSocket) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let Self { upgrade, progress } = self;
        let SocketLimits { received_max_bytes, gathered_max_bytes, sent_max_bytes, stall_max, .. } = limits;
        upgrade
            .max_frame_size(received_max_bytes)
            .max_message_size(received_max_bytes)
            .read_buffer_size(limits.read_buffer_bytes)
            .write_buffer_size(gathered_max_bytes)
            .max_write_buffer_size(gathered_max_bytes + sent_max_bytes + SOCKET_PONGS_MAX_BYTES)
            .on_upgrade(move |inner| serve(BoundedSocket::new(inner, progress, stall_max)))
    }
}

/// The subprotocol of the answer: the surface's own, or else the one that carries the bearer, since a browser that offers
/// some ends a connection for which none is selected.
fn select<'r>(headers: &'r HeaderMap, own: &'static str) -> Option<&'r str> {
    let lists =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    let carrier = || offered.iter().find(|name| name.starts_with(BEARER_PROTOCOL));
    offered.iter().find(|&&name| name == own).or_else(carrier).copied()
}

/// A WebSocket whose buffers, stalls and control frames are bounded.
pub(crate) struct BoundedSocket {
    inner: WebSocket,
    progress: ConnectionProgress,
    stall_max: Duration,
    /// Something may still wait in the write buffer: a message, or a Pong.
    is_unsent: bool,
    /// Since the write buffer could not be emptied.
    stall: Option<Box<Stall>>,
    controls: ControlFrames,
}

/// A time in which the peer took nothing.
struct Stall {
    end: Pin<Box<Sleep>>,
    sent_bytes: u64,
}

impl BoundedSocket {
    fn new(inner: WebSocket, progress: ConnectionProgress, stall_max: Duration) -> Self {
        let controls = ControlFrames { since: Instant::now(), count: 0, is_over: false };
        Self { inner, progress, stall_max, is_unsent: false, stall: None, controls }
    }

    /// The next message; `None` once the peer has closed.
    pub(crate) async fn recv(&mut self) -> Option<Result<Message, SocketFault>> {
        self.next().await
    }

    /// Sends the close, and waits for the peer's, so that nothing of it is lost to unread input. The caller bounds
    /// the time.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) async fn close(&mut self, (code, reason): (u16, &'static str)) -> Result<(), SocketFault> {
        self.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
        for _ in 0..LAST_MESSAGES_MAX {
            match self.next().await.transpose()? {
                None | Some(Message::Close(_)) => break,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether something may still wait in the write buffer.
    pub(crate) const fn has_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Empties the write buffer.
    fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        match Pin::new(&mut self.inner).poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.is_unsent = false;
                self.stall = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => self.poll_stall(context),
        }
    }

    /// Ready, with the fault, once the peer has taken nothing for too long.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        let sent_bytes = self.progress.sent_bytes();
        let limit = self.stall_max;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::new(Stall { end: Box::pin(tokio::time::sleep(limit)), sent_bytes }));
        loop {
            ready!(stall.end.as_mut().poll(context));
            if stall.sent_bytes == sent_bytes {
                return Poll::Ready(Err(SocketFault::Stalled));
            }
            stall.sent_bytes = sent_bytes;
            stall.end.as_mut().reset(Instant::now() + limit);
        }
    }
}

impl Stream for BoundedSocket {
    type Item = Result<Message, SocketFault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_unsent
            && let Poll::Ready(Err(fault)) = self.poll_unsent(context)
        {
            return Poll::Ready(Some(Err(fault)));
        }
        let message = match ready!(Pin::new(&mut self.inner).poll_next(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(message)) => message,
        };
        if matches!(message, Message::Ping(_) | Message::Pong(_)) {
            // Below, a Ping has replaced the Pong that is owed: one at most, the newest.
            self.is_unsent = true;
            if !self.controls.admit() {
                metrics::counter!("ferry_sockets_closed_total", "reason" => "control_flood").increment(1);
                return Poll::Ready(Some(Err(SocketFault::ControlFlood)));
            }
        }
        Poll::Ready(Some(Ok(message)))
    }
}

impl Sink<Message> for BoundedSocket {
    type Error = SocketFault;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        if self.stall.is_some() {
            // Pongs may have filled what the next message needs.
            ready!(self.poll_unsent(context))?;
        }
        match Pin::new(&mut self.inner).poll_ready(context) {
            Poll::Ready(ready) => Poll::Ready(ready.map_err(SocketFault::from)),
            Poll::Pending => self.poll_stall(context),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SocketFault> {
        self.is_unsent = true;
        Pin::new(&mut self.inner).start_send(message).map_err(SocketFault::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        self.poll_unsent(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        Pin::new(&mut self.inner).poll_close(context).map_err(SocketFault::from)
    }
}

/// Control frames of the current second.
struct ControlFrames {
    since: Instant,
    count: u32,
    /// There were too many: the socket is being closed, and those on the way are dropped.
    is_over: bool,
}

impl ControlFrames {
    /// Whether one more is fine.
    fn admit(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        let fits = self.count <= SOCKET_CONTROL_FRAMES_PER_SECOND || self.is_over;
        self.is_over |= !fits;
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: WEB-12
    #[tokio::test(start_paused = true)]
    async fn twenty_control_frames_a_second_are_fine_and_more_are_not() {
        let mut controls = ControlFrames { since: Instant::now(), count: 0, is_over: false };
        for _ in 0..3 {
            assert!((0..20).all(|_| controls.admit()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((0..20).all(|_| controls.admit()) && !controls.admit());
    }
}
