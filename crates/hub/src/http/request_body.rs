//! The body of a request on its way in: it must keep coming, and what of all bodies waits in memory is bounded (WEB-11).
//! Whoever reads the body sees it break off; the envelope then answers with the reason.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use ferry_types::limits::{
    BODY_BYTES_PER_SECOND, BODY_GRACE_MS, BODY_MEMORY_RETRY_SECONDS, TRANSFER_STALL_MAX_MS,
};
use http::{HeaderValue, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{
    memory_pool::{Excess, HeldMemory, MemoryPool},
    timed_stream::ConnectionProgress,
};

const GRACE: Duration = Duration::from_millis(BODY_GRACE_MS);
const CREDIT_MAX: Duration = Duration::from_millis(TRANSFER_STALL_MAX_MS);
/// Why a body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It came too slowly.
    TooSlow,
    /// Too much waits in memory already.
    NoMemory,
}

impl BodyFault {
    /// What the client is told.
    pub(crate) fn response(self, version: Version) -> Response {
        let (status, text) = match self {
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive: send at least 1 KiB a second, or fewer bytes at once\n",
            ),
            Self::NoMemory => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests wait for the rest of their bodies: try again, or send fewer at once\n",
            ),
        };
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        if self == Self::NoMemory {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(BODY_MEMORY_RETRY_SECONDS));
        }
        if version <= Version::HTTP_11 {
            // The rest of the body is not waited for.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What is known of a request's body beside its bytes; an extension of the request.
#[derive(Clone)]
pub(crate) struct RequestBody(Arc<Shared>);

struct Shared {
    connection: ConnectionProgress,
    /// Its bytes go to a file.
    is_spooled: AtomicBool,
    state: Mutex<State>,
}

struct State {
    held: HeldMemory,
    fault: Option<BodyFault>,
}

impl RequestBody {
    pub(crate) fn new(memory: Arc<MemoryPool>, connection: ConnectionProgress) -> Self {
        let state = State { held: HeldMemory::none(memory, None), fault: None };
        Self(Arc::new(Shared { connection, is_spooled: AtomicBool::new(false), state: Mutex::new(state) }))
    }

    /// The body, watched.
    pub(crate) fn watch(&self, inner: Body) -> Body {
        if inner.is_end_stream() {
            return inner;
        }
        Body::new(Watched { inner, shared: self.clone(), credit: GRACE, wait: None })
    }

    /// It counts as this principal's; told before it is read.
    pub(crate) fn belongs_to(&self, principal: &Arc<str>) {
        self.state().held.belongs_to(principal);
    }

    /// Whose it is, as far as that was told.
    pub(crate) fn principal(&self) -> Option<Arc<str>> {
        self.state().held.principal().cloned()
    }

    /// Its bytes go to a file, so that only the disk bounds them.
    pub(crate) fn is_spooled(&self) {
        self.0.is_spooled.store(true, Ordering::Relaxed);
    }

    /// All but so many of the bytes that came are on disk by now, or nobody's any more, and count no longer.
    pub(crate) fn passed_on(&self, left_bytes: u64) {
        let bytes = self.state().held.shrink(left_bytes);
        self.0.connection.remove_body_bytes(bytes);
    }

    /// Why it broke off, if it did.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.state().fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many bytes more of the memory, unless that is too much.
    fn hold(&self, bytes: u64) -> Result<(), BodyFault> {
        if bytes == 0 || self.0.is_spooled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (mut state, connection) = (self.state(), &self.0.connection);
        // A connection has a share too, since of strangers it is all that tells them apart.
        if connection.body_bytes() + bytes > state.held.pool().share()
            || !state.held.grow(bytes, Excess::Never)
        {
            return Err(BodyFault::NoMemory);
        }
        connection.add_body_bytes(bytes);
        Ok(())
    }
}

/// A body that is being read.
struct Watched {
    inner: Body,
    shared: RequestBody,
    /// How long it may still be waited for; what arrives buys more.
    credit: Duration,
    /// Since when it is waited for, and until when that may last.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Watched {
    fn fail(&self, fault: BodyFault) -> axum::Error {
        self.shared.state().fault = Some(fault);
        let limit = match fault {
            BodyFault::TooSlow => "progress",
            BodyFault::NoMemory => "body_memory_bytes",
        };
        metrics::counter!("ferry_bodies_refused_total", "limit" => limit).increment(1);
        axum::Error::new(std::io::Error::new(std::io::ErrorKind::TimedOut, "the body was given up"))
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            let credit = this.credit;
            let begin = || (Instant::now(), Box::pin(tokio::time::sleep(credit)));
            let (_, end) = this.wait.get_or_insert_with(begin);
            return match end.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(this.fail(BodyFault::TooSlow)))),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some((since, _)) = this.wait.take() {
            this.credit = this.credit.saturating_sub(since.elapsed());
        }
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            let bought = Duration::from_millis(bytes * 1000 / BODY_BYTES_PER_SECOND);
            this.credit = this.credit.saturating_add(bought).min(CREDIT_MAX);
            if let Err(fault) = this.shared.hold(bytes) {
                return Poll::Ready(Some(Err(this.fail(fault))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.passed_on(0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn request(memory: &Arc<MemoryPool>) -> RequestBody {
        RequestBody::new(Arc::clone(memory), ConnectionProgress::default())
    }

    /// A body that brings `piece` every `pause`.
    fn trickle(piece: &'static [u8], pause: Duration) -> Body {
        Body::from_stream(futures_util::stream::unfold((), move |()| async move {
            let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(piece)), ()))
        }))
    }

    /// How long it is read until it breaks off.
    async fn read(watch: &RequestBody, body: Body) -> Duration {
        let since = Instant::now();
        let mut body = watch.watch(body).into_data_stream();
        while let Ok(Some(Ok(_))) = tokio::time::timeout(Duration::from_secs(500), body.next()).await {}
        since.elapsed()
    }

    // Verifies: WEB-11
    #[tokio::test(start_paused = true)]
    async fn a_body_must_keep_coming() {
        let memory = Arc::new(MemoryPool::new(1 << 20));
        let stalled = request(&memory);
        let took = read(&stalled, trickle(b"", Duration::from_secs(3600))).await;
        assert_eq!((took.as_secs(), stalled.fault()), (10, Some(BodyFault::TooSlow)));
        // A byte now and then buys nothing.
        let slow = request(&memory);
        assert!(read(&slow, trickle(b"x", Duration::from_secs(3))).await <= Duration::from_secs(12));
        // What has come buys a minute at most.
        let large = request(&memory);
        let took = read(&large, trickle(&[0; 200 << 10], Duration::from_secs(100))).await;
        assert_eq!(took.as_secs(), 10);
        let steady = request(&Arc::new(MemoryPool::new(1 << 30)));
        let steadily = trickle(&[0; 4 << 10], Duration::from_secs(4));
        let read = tokio::time::timeout(Duration::from_secs(300), read(&steady, steadily)).await;
        assert!(read.is_err() && steady.fault().is_none(), "it goes on");
    }

    // Verifies: WEB-11
    #[tokio::test]
    async fn bodies_share_the_memory_and_give_it_back() {
        let memory = Arc::new(MemoryPool::new(1000));
        let ada: Arc<str> = "ada".into();
        let held: Vec<RequestBody> = (0..2).map(|_| request(&memory)).collect();
        held.iter().for_each(|body| body.belongs_to(&ada));
        held[0].hold(200).unwrap();
        assert_eq!(held[1].hold(100), Err(BodyFault::NoMemory), "a quarter is one principal's");
        let connection = ConnectionProgress::default();
        let others: Vec<_> =
            (0..2).map(|_| RequestBody::new(Arc::clone(&memory), connection.clone())).collect();
        others[0].hold(250).unwrap();
        assert_eq!(others[1].hold(1), Err(BodyFault::NoMemory), "a quarter is one connection's");
        let strangers: Vec<_> = (0..2).map(|_| request(&memory)).collect();
        strangers[0].hold(250).unwrap();
        strangers[1].hold(250).unwrap();
        assert_eq!(request(&memory).hold(51), Err(BodyFault::NoMemory), "all together");
        let spooled = request(&memory);
        spooled.is_spooled();
        spooled.hold(1 << 40).unwrap();
        // What is on disk by now makes room.
        strangers[0].passed_on(10);
        assert_eq!(strangers[0].state().held.bytes(), 10);
        for body in held.iter().chain(&others).chain(&strangers) {
            body.passed_on(0);
        }
        request(&memory).hold(250).unwrap();
        assert_eq!(connection.body_bytes(), 0);
    }
}
