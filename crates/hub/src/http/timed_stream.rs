//! The byte stream of one connection, below TLS and HTTP. It ends a connection that has not brought a whole request in
//! time, whatever it was about to speak (WEB-10), or whose peer takes nothing of what waits for it (WEB-12); and counts
//! what the peer takes.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::admission::Admitted;
use crate::monotonic::now_ms;

/// How far a connection has come; also an extension of its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionProgress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    has_asked: AtomicBool,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// When bytes came or went last.
    moved_ms: AtomicU64,
    /// Since when something waits of which the peer takes nothing; 0: nothing does.
    stalled_since_ms: AtomicU64,
    acks_at_once: AtomicBool,
    /// Of request bodies that have not arrived whole.
    body_bytes: AtomicU64,
}

impl ConnectionProgress {
    /// The head of a request is here.
    pub(crate) fn asked(&self) {
        self.0.has_asked.store(true, Ordering::Relaxed);
    }

    /// From now on what comes in is acknowledged at once. A peer with Nagle's algorithm on sends its next small piece only
    /// then, and the system puts an acknowledgement off for 40 ms or more while there is nothing to answer.
    pub(crate) fn acknowledge_at_once(&self) {
        self.0.acks_at_once.store(true, Ordering::Relaxed);
    }

    /// Bytes of its request bodies that wait in memory.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.0.body_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn add_body_bytes(&self, bytes: u64) {
        self.0.body_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove_body_bytes(&self, bytes: u64) {
        self.0.body_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that have come so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.0.received_bytes.load(Ordering::Relaxed)
    }

    /// When bytes came or went last, as [`now_ms`] tells it.
    pub(crate) fn moved_ms(&self) -> u64 {
        self.0.moved_ms.load(Ordering::Relaxed)
    }

    /// How long something waits at `now_ms` of which the peer takes nothing.
    pub(crate) fn stalled_ms(&self, now_ms: u64) -> Option<u64> {
        let since_ms = self.0.stalled_since_ms.load(Ordering::Relaxed);
        (since_ms > 0).then(|| now_ms.saturating_sub(since_ms))
    }

    fn received(&self, bytes: usize) {
        self.0.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.moved_ms.store(now_ms(), Ordering::Relaxed);
    }

    fn sent(&self, bytes: usize) {
        self.0.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.moved_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// Bytes that the peer's side has taken so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }
}

/// A stream that fails once its first request is overdue, or its peer has taken nothing for too long.
pub(crate) struct TimedStream<S> {
    inner: S,
    progress: ConnectionProgress,
    /// Until when the first request must be here; `None` once it is.
    deadline: Option<Pin<Box<Sleep>>>,
    has_read: bool,
    /// How long bytes may wait of which the peer takes none.
    stall_max: Duration,
    /// Until when it must take some; `None` while none wait.
    stall: Option<Pin<Box<Sleep>>>,
    /// The connection counts as open as long as its stream lives, whoever holds it.
    _admitted: Admitted,
}

impl<S> TimedStream<S> {
    pub(crate) fn new(inner: S, deadline: Instant, stall_max: Duration, admitted: Admitted) -> Self {
        Self {
            inner,
            progress: ConnectionProgress::default(),
            deadline: Some(Box::pin(sleep_until(deadline))),
            has_read: false,
            stall_max,
            stall: None,
            _admitted: admitted,
        }
    }

    pub(crate) fn progress(&self) -> ConnectionProgress {
        self.progress.clone()
    }

    /// Ready once the first request is late.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        if self.progress.0.has_asked.load(Ordering::Relaxed) {
            self.deadline = None;
            return Poll::Pending;
        }
        deadline.as_mut().poll(context)
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_late = self.poll_late(context).is_ready();
        let held = buffer.filled().len();
        // A hub that has much to do may be the one that is late: what the peer sent at first is read all the same.
        let read = if is_late && self.has_read {
            Poll::Pending
        } else {
            Pin::new(&mut self.inner).poll_read(context, buffer)
        };
        if is_late && read.is_pending() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time")));
        }
        let read = ready!(read);
        self.has_read = true;
        self.progress.received(buffer.filled().len() - held);
        if self.progress.0.acks_at_once.load(Ordering::Relaxed) {
            acknowledge(&self.inner);
        }
        Poll::Ready(read)
    }
}

/// Acknowledges what has been read. The system forgets the wish as soon as it sends something, so it is told again after
/// each read.
#[cfg(target_os = "linux")]
fn acknowledge(stream: &impl AsFd) {
    // A connection that has gone is noticed by its reader.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge(_stream: &impl AsFd) {}

impl<S> TimedStream<S> {
    /// What became of an attempt to send; fails once none has succeeded for too long.
    fn poll_taken(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(sent) => {
                if self.stall.take().is_some() {
                    self.progress.0.stalled_since_ms.store(0, Ordering::Relaxed);
                }
                if let Ok(sent) = sent {
                    self.progress.sent(sent);
                }
                Poll::Ready(sent)
            }
            Poll::Pending => {
                let (limit, progress) = (self.stall_max, &self.progress);
                let stall = self.stall.get_or_insert_with(|| {
                    progress.0.stalled_since_ms.store(now_ms().max(1), Ordering::Relaxed);
                    Box::pin(sleep(limit))
                });
                ready!(stall.as_mut().poll(context));
                note_stalled();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
            }
        }
    }
}

/// Counts a connection that is closed because its peer takes nothing.
pub(crate) fn note_stalled() {
    metrics::counter!("ferry_connections_stalled_total").increment(1);
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.poll_taken(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.poll_taken(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
    };

    use super::{super::admission::ConnectionAdmission, *};

    const STALL_MAX: Duration = Duration::from_secs(60);

    fn admitted() -> Admitted {
        let admission = Arc::new(ConnectionAdmission::new(8, 8, Vec::new()));
        admission.admit("127.0.0.1".parse().unwrap()).ok().unwrap()
    }

    // Verifies: WEB-12
    #[tokio::test(start_paused = true)]
    async fn a_peer_may_be_slow_and_nothing_may_wait_for_ever() {
        let (mut peer, hub) = tokio::io::duplex(1000);
        let mut stream = TimedStream::new(hub, Instant::now(), STALL_MAX, admitted());
        let since = Instant::now();
        let sending = async {
            let sent = stream.write_all(&[0; 5000]).await;
            (sent.unwrap_err().kind(), since.elapsed().as_secs())
        };
        let taking = async {
            for _ in 0..3 {
                assert!(
                    tokio::time::timeout(Duration::from_secs(50), std::future::pending::<()>())
                        .await
                        .is_err()
                );
                peer.read_exact(&mut [0; 1000]).await.unwrap();
            }
        };
        let (ended, ()) = tokio::join!(sending, taking);
        assert_eq!(ended, (io::ErrorKind::TimedOut, 210), "a minute after what was taken last");
        // With nothing to send, nothing is late.
        let (_peer, hub) = tokio::io::duplex(1000);
        let mut idle = TimedStream::new(hub, Instant::now(), STALL_MAX, admitted());
        idle.write_all(&[0; 1000]).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(500), std::future::pending::<()>()).await.is_err());
        idle.flush().await.unwrap();
        assert!(idle.stall.is_none());
    }

    // Verifies: WEB-10
    #[tokio::test]
    async fn what_came_before_the_hub_had_time_is_read_and_nothing_after_it() {
        let (mut peer, hub) = UnixStream::pair().unwrap();
        let admitted = admitted();
        peer.write_all(b"GET / HTTP/1.1").await.unwrap();
        hub.readable().await.unwrap();
        let mut stream = TimedStream::new(hub, Instant::now() - Duration::from_secs(1), STALL_MAX, admitted);
        let mut read = [0; 64];
        assert_eq!(stream.read(&mut read).await.unwrap(), 14);
        peer.write_all(b"X: 1").await.unwrap();
        assert_eq!(stream.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
