//! The socket of a connection: one message in at a time; frames out as the socket takes them.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::Bytes;
use ferry_protocol::events::close::{self, Close};
use futures_util::{Sink as _, SinkExt as _, Stream as _};

use crate::http::{BoundedSocket, CONTROL_FLOOD, SocketFault};

/// Messages that may wait to be sent before the hub reads no more: who sends calls and takes no answers waits.
const OUTBOX_MAX_MESSAGES: usize = 1024;
/// How long a client has to take leave.
const LINGER: Duration = Duration::from_secs(5);

/// What happened on a socket.
pub(super) enum WireEvent {
    /// A frame.
    Text(Utf8Bytes),
    /// A frame that should have been text.
    Binary(Bytes),
    /// Something that only says that the peer is alive.
    Alive,
    /// Everything was sent.
    Drained,
    /// Close it with this code.
    Broken(Close),
    /// Close it at once: the client takes nothing.
    Stalled,
    /// The peer has gone.
    Gone,
}

/// A socket with the frames that it has not taken yet.
pub(super) struct Wire {
    socket: BoundedSocket,
    outbox: VecDeque<Message>,
    unflushed: bool,
}

impl Wire {
    pub(super) const fn new(socket: BoundedSocket) -> Self {
        Self { socket, outbox: VecDeque::new(), unflushed: false }
    }

    /// Adds a frame that is known to be UTF-8.
    pub(super) fn send(&mut self, frame: Bytes) {
        // Checked once more by the type, which costs little beside the write; it cannot fail.
        if let Ok(text) = Utf8Bytes::try_from(frame) {
            self.outbox.push_back(Message::Text(text));
        }
    }

    pub(super) fn ping(&mut self) {
        self.outbox.push_back(Message::Ping(Bytes::new()));
    }

    /// Whether something waits to be sent.
    pub(super) fn is_sending(&self) -> bool {
        self.unflushed || !self.outbox.is_empty()
    }

    /// Waits for a message; or, while something is being sent, until all of it is. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> WireEvent {
        poll_fn(|context| {
            if self.is_sending() {
                match self.poll_send(context) {
                    Poll::Ready(Ok(())) => return Poll::Ready(WireEvent::Drained),
                    Poll::Ready(Err(fault)) => return Poll::Ready(ended(fault)),
                    Poll::Pending if self.outbox.len() >= OUTBOX_MAX_MESSAGES => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            Pin::new(&mut self.socket).poll_next(context).map(received)
        })
        .await
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        while !self.outbox.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(context))?;
            let Some(message) = self.outbox.pop_front() else { break };
            Pin::new(&mut self.socket).start_send(message)?;
            self.unflushed = true;
        }
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.unflushed = false;
        if self.outbox.capacity() > 8 {
            self.outbox = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Closes with `close`; `flush`: after what still waits to be sent. Then waits for the peer a moment, so that
    /// the word is not lost to unread input.
    pub(super) async fn finish(mut self, close: Close, flush: bool) {
        super::metric::closed(close.0);
        let goodbye = async {
            if flush {
                while let Some(message) = self.outbox.pop_front() {
                    self.socket.feed(message).await?;
                }
            }
            self.socket.close(close).await
        };
        if !matches!(tokio::time::timeout(LINGER, goodbye).await, Ok(Ok(()))) {
            tracing::debug!(code = close.0, "the client did not take leave");
        }
    }
}

fn received(message: Option<Result<Message, SocketFault>>) -> WireEvent {
    match message {
        Some(Ok(Message::Text(text))) => WireEvent::Text(text),
        Some(Ok(Message::Binary(bytes))) => WireEvent::Binary(bytes),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => WireEvent::Alive,
        Some(Ok(Message::Close(_))) | None => WireEvent::Gone,
        Some(Err(fault)) => ended(fault),
    }
}

const fn ended(fault: SocketFault) -> WireEvent {
    match fault {
        SocketFault::TooLarge => WireEvent::Broken(close::TOO_LARGE),
        SocketFault::Malformed => WireEvent::Broken(close::PROTOCOL_ERROR),
        SocketFault::ControlFlood => WireEvent::Broken(CONTROL_FLOOD),
        SocketFault::Stalled => WireEvent::Stalled,
        SocketFault::Gone => WireEvent::Gone,
    }
}
