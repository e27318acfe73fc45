//! The body of a request on its way in: it must keep coming, and what of all bodies waits in memory is bounded (WEB-11).
//! Whoever reads the body sees it break off; the envelope then answers with the reason.

use std::{
    collections::HashMap,
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

use super::timed_stream::ConnectionProgress;

const GRACE: Duration = Duration::from_millis(BODY_GRACE_MS);
const CREDIT_MAX: Duration = Duration::from_millis(TRANSFER_STALL_MAX_MS);
/// Of the hub's memory for bodies, what one connection or one principal may have.
const SHARE: u64 = 4;

/// Memory of all request bodies that have not arrived whole.
pub struct BodyMemory {
    max_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: u64,
    by_principal: HashMap<Arc<str>, u64>,
}

impl BodyMemory {
    /// At most so much.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    memory: Arc<BodyMemory>,
    connection: ConnectionProgress,
    /// Its bytes go to a file.
    is_spooled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held_bytes: u64,
    principal: Option<Arc<str>>,
    fault: Option<BodyFault>,
}

impl RequestBody {
    pub(crate) fn new(memory: Arc<BodyMemory>, connection: ConnectionProgress) -> Self {
        Self(Arc::new(Shared {
            memory,
            connection,
            is_spooled: AtomicBool::new(false),
            state: Mutex::default(),
        }))
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
        let mut state = self.state();
        if state.held_bytes == 0 {
            state.principal = Some(Arc::clone(principal));
        }
    }

    /// Whose it is, as far as that was told.
    pub(crate) fn principal(&self) -> Option<Arc<str>> {
        self.state().principal.clone()
    }

    /// Its bytes go to a file, so that only the disk bounds them.
    pub(crate) fn is_spooled(&self) {
        self.0.is_spooled.store(true, Ordering::Relaxed);
    }

    /// All but so many of the bytes that came are on disk by now, and count no more.
    pub(crate) fn passed_on(&self, left_bytes: u64) {
        let (mut state, mut held) = (self.state(), self.0.memory.lock());
        let bytes = state.held_bytes.saturating_sub(left_bytes);
        state.held_bytes -= bytes;
        self.give_back(&state, &mut held, bytes);
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
        let (mut state, mut held) = (self.state(), self.0.memory.lock());
        let share = self.0.memory.max_bytes / SHARE;
        let of_principal = state.principal.as_ref().map(|principal| {
            let own = held.by_principal.get(principal).copied().unwrap_or(0);
            (Arc::clone(principal), own)
        });
        let fits = held.bytes + bytes <= self.0.memory.max_bytes
            && self.0.connection.body_bytes() + bytes <= share
            && of_principal.as_ref().is_none_or(|(_, own)| own + bytes <= share);
        if !fits {
            return Err(BodyFault::NoMemory);
        }
        held.bytes += bytes;
        self.0.connection.add_body_bytes(bytes);
        if let Some((principal, own)) = of_principal {
            held.by_principal.insert(principal, own + bytes);
        }
        state.held_bytes += bytes;
        Ok(())
    }

    fn release(&self) {
        let (mut state, mut held) = (self.state(), self.0.memory.lock());
        let bytes = std::mem::take(&mut state.held_bytes);
        self.give_back(&state, &mut held, bytes);
    }

    fn give_back(&self, state: &State, held: &mut Held, bytes: u64) {
        held.bytes -= bytes;
        self.0.connection.remove_body_bytes(bytes);
        if let Some(principal) = &state.principal
            && let Some(own) = held.by_principal.get_mut(principal)
        {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                held.by_principal.remove(principal);
            }
        }
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
        self.shared.release();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn request(memory: &Arc<BodyMemory>) -> RequestBody {
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
        let memory = Arc::new(BodyMemory::new(1 << 20));
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
        let steady = request(&Arc::new(BodyMemory::new(1 << 30)));
        let steadily = trickle(&[0; 4 << 10], Duration::from_secs(4));
        let read = tokio::time::timeout(Duration::from_secs(300), read(&steady, steadily)).await;
        assert!(read.is_err() && steady.fault().is_none(), "it goes on");
    }

    // Verifies: WEB-11
    #[tokio::test]
    async fn bodies_share_the_memory_and_give_it_back() {
        let memory = Arc::new(BodyMemory::new(1000));
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
        assert_eq!((strangers[0].state().held_bytes, memory.lock().bytes), (10, 710));
        for body in held.iter().chain(&others).chain(&strangers) {
            body.release();
        }
        let left = memory.lock();
        assert!(left.bytes == 0 && left.by_principal.is_empty());
        assert_eq!(connection.body_bytes(), 0);
    }
}
