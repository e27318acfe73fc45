//! Taking a connection over from the HTTP library. An answer that goes on for hours needs none of what the library keeps for
//! a request: its buffers and its state are many times what an idle stream has to hold. So the body of such an answer over
//! HTTP/1.1 hands its connection over: once the head has been written, the library's part is dropped, and the answer goes
//! on by itself, in chunks of its own (RFC 9112, section 7.1). The connection ends with it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection's bytes, whatever lies below.
pub(crate) trait ConnectionStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ConnectionStream for S {}

/// A connection's stream, in more than one hand.
pub(crate) type SharedStream = Arc<Mutex<dyn ConnectionStream>>;

/// What goes on with a connection.
pub(crate) type Takeover = Box<dyn FnOnce(SharedStream) -> BoxFuture<'static, ()> + Send>;

/// The way by which an answer takes its connection over; an extension of requests that may.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<State>);

#[derive(Default)]
struct State {
    session: Mutex<Option<Takeover>>,
    is_offered: AtomicBool,
    /// Everything that came before was written.
    is_due: AtomicBool,
}

impl Handover {
    /// The body of the answer that begins with `first` and then goes on with `session`.
    pub(crate) fn body(&self, first: Bytes, session: Takeover) -> Body {
        Body::new(HandedOver { first: Some(first), session: Some(session), handover: self.clone() })
    }

    /// Drives the library's connection to its end; the error is the session that is to go on with it.
    pub(crate) fn after<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
    ) -> impl Future<Output = Result<C::Output, Takeover>> {
        std::future::poll_fn(move |context| match connection.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Ok(ended)),
            // It becomes due while the library is polled, so that nobody has to wake this.
            Poll::Pending if self.0.is_due.load(Ordering::Acquire) => {
                self.lock().take().map_or(Poll::Pending, |session| Poll::Ready(Err(session)))
            }
            Poll::Pending => Poll::Pending,
        })
    }

    fn offer(&self, session: Takeover) {
        *self.lock() = Some(session);
        self.0.is_offered.store(true, Ordering::Release);
    }

    fn flushed(&self) {
        if self.0.is_offered.load(Ordering::Acquire) {
            self.0.is_due.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Takeover>> {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that hands its connection over as soon as its first bytes are taken.
struct HandedOver {
    first: Option<Bytes>,
    session: Option<Takeover>,
    handover: Handover,
}

impl http_body::Body for HandedOver {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(session) = self.session.take() {
            self.handover.offer(session);
        }
        Poll::Pending
    }
}

/// The end of a connection's stream that the HTTP library has.
pub(crate) struct Lent<S> {
    stream: Arc<Mutex<S>>,
    handover: Handover,
}

impl<S: ConnectionStream + 'static> Lent<S> {
    /// The library's end of `stream`, and what it can be taken over by.
    pub(crate) fn new(stream: S) -> (Self, SharedStream, Handover) {
        let (stream, handover) = (Arc::new(Mutex::new(stream)), Handover::default());
        let shared: SharedStream = Arc::clone(&stream) as SharedStream;
        (Self { stream, handover: handover.clone() }, shared, handover)
    }
}

impl<S> Lent<S> {
    fn lock(&self) -> MutexGuard<'_, S> {
        // A stream that panicked is no worse than one that broke off.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut *self.lock()).poll_flush(context))?;
        // The library flushes once its own buffer is empty.
        self.handover.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(context)
    }
}
