//! Where a stream's events go: straight to its connection in chunks, or to the HTTP library as a body.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Frame;
use tokio::io::ReadBuf;

use super::SharedStream;

/// Behind each chunk, and behind the last one's length.
const CRLF: &[u8] = b"\r\n";
/// The end of a body in chunks (RFC 9112, section 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Room for a chunk's length and its line end.
const CHUNK_HEAD_MAX_BYTES: usize = 2 * size_of::<usize>() + CRLF.len();

/// Takes one event at a time.
pub(crate) enum Outlet {
    /// A connection that was taken over.
    Connection(Chunks),
    /// A body that the HTTP library asks for more.
    Body(Arc<Slot>),
}

impl Outlet {
    /// Ready when there is room for an event.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(chunks) => chunks.poll_sent(context),
            // The body asks again when it has given the event away.
            Self::Body(slot) if slot.lock().event.is_some() => Poll::Pending,
            Self::Body(_) => Poll::Ready(Ok(())),
        }
    }

    /// Sends an event; only when ready.
    pub(crate) fn start_send(&mut self, event: Bytes) {
        match self {
            Self::Connection(chunks) => chunks.begin(event),
            Self::Body(slot) => {
                let waker = {
                    let mut slot = slot.lock();
                    slot.event = Some(event);
                    slot.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// Sends the end of the body, behind everything else.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(chunks) => chunks.poll_end(context),
            Self::Body(_) => Poll::Ready(Ok(())),
        }
    }

    /// Ready once the reader has gone. A body is dropped then.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Connection(chunks) => chunks.poll_gone(context),
            Self::Body(_) => Poll::Pending,
        }
    }
}

/// A body in chunks, on a connection that nobody else writes to.
pub(crate) struct Chunks {
    stream: SharedStream,
    /// What is being sent: an event, and how much of its chunk has been sent.
    sending: Option<(Bytes, usize)>,
    is_unflushed: bool,
    ended_bytes: usize,
}

impl Chunks {
    pub(crate) fn new(stream: SharedStream) -> Self {
        Self { stream, sending: None, is_unflushed: false, ended_bytes: 0 }
    }

    fn begin(&mut self, event: Bytes) {
        // An empty chunk would be the last one.
        if !event.is_empty() {
            self.sending = Some((event, 0));
        }
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.sending.is_none() && !self.is_unflushed {
            return Poll::Ready(Ok(()));
        }
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((event, sent)) = &mut self.sending {
            let (head, start) = chunk_head(event.len());
            let head = &head[start..];
            let mut pieces = [IoSlice::new(head), IoSlice::new(event), IoSlice::new(CRLF)];
            let mut left = &mut pieces[..];
            IoSlice::advance_slices(&mut left, *sent);
            let count = ready!(Pin::new(&mut *stream).poll_write_vectored(context, left))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_unflushed = true;
            *sent += count;
            if *sent == head.len() + event.len() + CRLF.len() {
                self.sending = None;
            }
        }
        ready!(Pin::new(&mut *stream).poll_flush(context))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(context))?;
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        while self.ended_bytes < LAST_CHUNK.len() {
            let rest = &LAST_CHUNK[self.ended_bytes..];
            match ready!(Pin::new(&mut *stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.ended_bytes += count,
            }
        }
        Pin::new(&mut *stream).poll_shutdown(context)
    }

    /// What a reader sends behind its request is dropped: the connection ends with the stream.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = [0; 256];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// The length of a chunk as it stands before it, at the end of a buffer; and where it begins there.
fn chunk_head(bytes: usize) -> ([u8; CHUNK_HEAD_MAX_BYTES], usize) {
    let mut head = [0; CHUNK_HEAD_MAX_BYTES];
    let mut start = CHUNK_HEAD_MAX_BYTES - CRLF.len();
    head[start..].copy_from_slice(CRLF);
    let mut rest = bytes;
    loop {
        start -= 1;
        head[start] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        if rest == 0 {
            return (head, start);
        }
    }
}

/// Room for one event between a stream and the body that gives it to the HTTP library.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    event: Option<Bytes>,
    waker: Option<Waker>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a stream over HTTP/2, or that is not sent in chunks. It runs the stream itself, which so ends with it.
pub(crate) struct StreamBody {
    session: Option<BoxFuture<'static, ()>>,
    slot: Arc<Slot>,
}

impl StreamBody {
    pub(crate) fn new(slot: Arc<Slot>, session: BoxFuture<'static, ()>) -> Self {
        Self { session: Some(session), slot }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(session) = &mut self.session
            && session.as_mut().poll(context).is_ready()
        {
            self.session = None;
        }
        let mut slot = self.slot.lock();
        match slot.event.take() {
            Some(event) => Poll::Ready(Some(Ok(Frame::data(event)))),
            None if self.session.is_none() => Poll::Ready(None),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_chunks_are_hexadecimal() {
        for (bytes, text) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xa0b1, "a0b1\r\n")] {
            let (head, start) = chunk_head(bytes);
            assert_eq!(&head[start..], text.as_bytes());
        }
        let (head, start) = chunk_head(usize::MAX);
        assert_eq!((start, &head[..2]), (0, &b"ff"[..]));
    }
}
