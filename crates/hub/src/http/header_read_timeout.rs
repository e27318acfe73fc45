//! How long a connection over HTTP/1.1 may keep the hub waiting (WEB-04). A request that has begun must bring its whole
//! head soon; a kept connection may be silent for longer. hyper knows one limit for both, so this is its timer:
//! the connection's own bytes decide which of the two counts.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ferry_types::limits::IDLE_CONNECTION_MAX_MS;
use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::InspectReader;

const IDLE_MAX: Duration = Duration::from_millis(IDLE_CONNECTION_MAX_MS);

/// One connection's timer of request heads.
#[derive(Clone)]
pub(crate) struct HeaderReadTimeout {
    state: Arc<State>,
    /// How long a head may take.
    head_max: Duration,
}

#[derive(Default)]
struct State {
    /// Whether a request was waited for before: a new connection is not a kept one.
    is_kept: AtomicBool,
    /// Whether anything was read since the hub began to wait.
    has_read: AtomicBool,
}

impl HeaderReadTimeout {
    pub(crate) fn new(head_max: Duration) -> Self {
        Self { state: Arc::default(), head_max }
    }

    /// The same stream, which notifies this timer of what was read.
    pub(crate) fn listen<S: AsyncRead + AsyncWrite>(
        &self,
        stream: S,
    ) -> InspectReader<S, impl FnMut(&[u8]) + use<S>> {
        let state = Arc::clone(&self.state);
        InspectReader::new(stream, move |read: &[u8]| {
            if !read.is_empty() {
                state.has_read.store(true, Ordering::Relaxed);
            }
        })
    }
}

impl Timer for HeaderReadTimeout {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let state = Arc::clone(&self.state);
        state.has_read.store(false, Ordering::Relaxed);
        let has_begun = !state.is_kept.swap(true, Ordering::Relaxed);
        let longest = if has_begun { self.head_max } else { IDLE_MAX };
        Box::pin(Wait {
            state,
            has_begun,
            head_max: self.head_max,
            sleep: Box::pin(tokio::time::sleep(longest)),
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.head_max)
    }
}

/// The wait for one request's head.
struct Wait {
    state: Arc<State>,
    has_begun: bool,
    head_max: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // hyper polls this each time it has read and still lacks a part of the head.
        if !self.has_begun && self.state.has_read.load(Ordering::Relaxed) {
            self.has_begun = true;
            let end = tokio::time::Instant::now() + self.head_max;
            self.sleep.as_mut().reset(end);
        }
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(())
    }
}

impl Sleep for Wait {}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const HEADERS_MAX: Duration = Duration::from_secs(10);

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n";

    /// The client's end of a connection whose requests are answered 204.
    fn connect() -> DuplexStream {
        let (client, hub) = tokio::io::duplex(4096);
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(
                hyper::Response::builder().status(204).body(String::new()).unwrap(),
            )
        });
        let header_read_timeout = HeaderReadTimeout::new(HEADERS_MAX);
        let stream = hyper_util::rt::TokioIo::new(header_read_timeout.listen(hub));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .timer(header_read_timeout)
                .header_read_timeout(HEADERS_MAX)
                .serve_connection(stream, service),
        );
        client
    }

    async fn ask(client: &mut DuplexStream) {
        client.write_all(REQUEST).await.unwrap();
        let mut answer = [0; 1024];
        let count = client.read(&mut answer).await.unwrap();
        assert!(
            answer[..count].starts_with(b"HTTP/1.1 204 "),
            "{}",
            String::from_utf8_lossy(&answer[..count])
        );
    }

    /// Lets so many seconds pass, after the hub has seen what came before.
    async fn pass(seconds: u64) {
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    /// How long the hub still waits until it closes.
    async fn closed_after(client: &mut DuplexStream) -> Duration {
        let since = tokio::time::Instant::now();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        since.elapsed()
    }

    fn assert_about(found: Duration, expected: Duration) {
        assert!(found.abs_diff(expected) < Duration::from_millis(20), "{found:?}, not {expected:?}");
    }

    // A kept connection was closed after the 10 s that a head may take. A client that was busy for as long, or a proxy
    // that keeps connections for a minute, sent its next request into a closed connection and saw it fail.
    // Verifies: WEB-04
    #[tokio::test(start_paused = true)]
    async fn a_kept_connection_may_be_silent_for_longer_than_a_head_may_take() {
        let mut client = connect();
        for _ in 0..3 {
            ask(&mut client).await;
            pass(60).await;
        }
        ask(&mut client).await;
        assert_about(closed_after(&mut client).await, IDLE_MAX);
    }

    // Verifies: WEB-04
    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_begun_must_come_soon() {
        let mut client = connect();
        ask(&mut client).await;
        pass(30).await;
        client.write_all(&REQUEST[..9]).await.unwrap();
        pass(6).await;
        // Another piece of it buys no more time.
        client.write_all(&REQUEST[9..12]).await.unwrap();
        assert_about(closed_after(&mut client).await, Duration::from_secs(4));
    }

    // Verifies: WEB-04
    #[tokio::test(start_paused = true)]
    async fn a_new_connection_must_ask_soon() {
        assert_about(closed_after(&mut connect()).await, HEADERS_MAX);
    }
}
