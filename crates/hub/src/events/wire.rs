//! The socket of a connection: one message in at a time; frames out as the socket takes them.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use ferry_protocol::events::close::{self, Close};
use futures_util::{Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::now_ms;

/// How long a client has to take leave.
const LINGER: Duration = Duration::from_secs(5);

/// What happened on a socket.
pub(super) enum Event {
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
    /// The peer has gone.
    Gone,
}

/// See the module.
pub(super) struct Wire {
    socket: WebSocket,
    outbox: VecDeque<Message>,
    /// Since when something waits that the socket did not take, in the process's milliseconds.
    pub(super) stalled_ms: Option<u64>,
    unflushed: bool,
}

impl Wire {
    pub(super) const fn new(socket: WebSocket) -> Self {
        Self { socket, outbox: VecDeque::new(), stalled_ms: None, unflushed: false }
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
    pub(super) async fn next(&mut self) -> Event {
        poll_fn(|context| {
            if self.is_sending() {
                match self.poll_send(context) {
                    Poll::Ready(Ok(())) => {
                        self.stalled_ms = None;
                        return Poll::Ready(Event::Drained);
                    }
                    Poll::Ready(Err(())) => return Poll::Ready(Event::Gone),
                    Poll::Pending => {
                        self.stalled_ms.get_or_insert_with(now_ms);
                    }
                }
            }
            Pin::new(&mut self.socket).poll_next(context).map(received)
        })
        .await
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Pending => return Poll::Pending,
            }
            let Some(message) = self.outbox.pop_front() else { break };
            if Pin::new(&mut self.socket).start_send(message).is_err() {
                return Poll::Ready(Err(()));
            }
            self.unflushed = true;
        }
        match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                if self.outbox.capacity() > 8 {
                    self.outbox = VecDeque::new();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Closes with `close`; `flush`: after what still waits to be sent. Then waits for the peer a moment, so that
    /// the word is not lost to unread input.
    pub(super) async fn finish(mut self, (code, reason): Close, flush: bool) {
        super::metric::closed(code);
        let goodbye = async {
            if flush {
                while let Some(message) = self.outbox.pop_front() {
                    self.socket.feed(message).await?;
                }
            }
            self.socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            while let Some(Ok(message)) = self.socket.next().await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
            Ok::<_, axum::Error>(())
        };
        if !matches!(tokio::time::timeout(LINGER, goodbye).await, Ok(Ok(()))) {
            tracing::debug!(code, "the client did not take leave");
        }
    }
}

fn received(message: Option<Result<Message, axum::Error>>) -> Event {
    match message {
        Some(Ok(Message::Text(text))) => Event::Text(text),
        Some(Ok(Message::Binary(bytes))) => Event::Binary(bytes),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Event::Alive,
        Some(Ok(Message::Close(_))) | None => Event::Gone,
        Some(Err(error)) => match error.into_inner().downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => Event::Broken(close::TOO_LARGE),
            Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Event::Gone,
            Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => {
                Event::Broken(close::PROTOCOL_ERROR)
            }
            _ => Event::Gone,
        },
    }
}
