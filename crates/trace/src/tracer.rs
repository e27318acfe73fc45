//! Which requests are traced, and where their spans wait for whoever exports them.

pub(crate) mod span;

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{TraceId, Traceparent, sample::Sample};
use span::{FinishedSpan, Span, SpanKind, Trace};

/// Spans that may wait; further ones are dropped, and counted.
pub const WAITING_MAX: usize = 2_048;

/// Where a tracer gets what it must not read itself.
pub trait SpanTime: Send + Sync + 'static {
    /// The present moment, in nanoseconds that never go back, from a moment that stays.
    fn now_ns(&self) -> u64;

    /// When that moment was, Unix nanoseconds, as the wall clock stands now. It is asked once for each trace, so that a clock
    /// that is set meanwhile changes no duration.
    fn zero_unix_ns(&self) -> u64;

    /// 16 random bytes.
    fn random(&self) -> [u8; 16];
}

/// Chooses requests, and keeps their spans until they are taken.
pub struct Tracer {
    time: Box<dyn SpanTime>,
    sample: Sample,
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
    /// Somebody may want to take what waits.
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<FinishedSpan>,
    /// How many were taken and are not done with.
    taken: usize,
}

impl Tracer {
    /// Chooses a `share` of the requests, between 0 and 1.
    #[must_use]
    pub fn new(share: f64, time: impl SpanTime) -> Arc<Self> {
        let random = time.random();
        let seed = u64::from_be_bytes(random[..8].try_into().expect("BUG: 8 of 16 bytes"));
        Arc::new(Self {
            time: Box::new(time),
            sample: Sample::new(share, seed),
            waiting: Mutex::default(),
            dropped: AtomicU64::new(0),
            filled: Notify::new(),
        })
    }

    /// The span of a request, if it is chosen. It goes on in the caller's trace, if the caller names one; whether the caller
    /// records it decides for callers that `is_trusted` alone.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        name: impl Into<Cow<'static, str>>,
        caller: Option<Traceparent>,
        is_trusted: bool,
    ) -> Span {
        let is_chosen = match caller {
            Some(caller) if is_trusted => caller.is_sampled,
            _ => self.sample.is_chosen(),
        };
        if !is_chosen {
            return Span::none();
        }
        let random = self.time.random();
        // In a trace of others the ids of our spans must differ from theirs.
        let seed = u64::from_be_bytes(random[..8].try_into().expect("BUG: 8 of 16 bytes"));
        let id = caller.map_or_else(|| TraceId::of_random(random), |caller| caller.trace_id);
        let trace = Arc::new(Trace::new(Arc::clone(self), id, seed));
        Span::root(trace, caller.map(|caller| caller.parent), name.into(), SpanKind::Server)
    }

    fn now_ns(&self) -> u64 {
        self.time.now_ns()
    }

    fn finished(&self, span: FinishedSpan) {
        let is_full = {
            let mut waiting = self.waiting();
            let is_full = waiting.spans.len() + waiting.taken >= WAITING_MAX;
            if !is_full {
                waiting.spans.push_back(span);
            }
            is_full
        };
        match is_full {
            true => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
            false => self.filled.notify_one(),
        }
    }

    /// Takes up to `most` of what waits, the oldest first. They count as waiting until [`Self::done`].
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<FinishedSpan> {
        let mut waiting = self.waiting();
        let count = waiting.spans.len().min(most);
        waiting.taken += count;
        waiting.spans.drain(..count).collect()
    }

    /// So many of those that were taken are not needed any more.
    pub fn done(&self, count: usize) {
        let mut waiting = self.waiting();
        waiting.taken = waiting.taken.saturating_sub(count);
    }

    /// How many were dropped since the last question, for want of room.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Waits until something may wait.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
