//! What the daemon is handed from outside: clock and randomness. And what it has learnt of the hub's clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use ferry_core::ops::spoke::{SpokeStep, corrected};
use ferry_types::{Clock, Seq, UnixMillis};

/// Randomness, 64 bits at a time.
pub type RandomSource = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Clock and randomness of one daemon.
#[derive(Clone)]
pub(super) struct Environment {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: RandomSource,
    /// How far the hub's clock is ahead (OPS-11).
    offset_ms: Arc<AtomicI64>,
}

impl Environment {
    pub(super) fn new(clock: Arc<dyn Clock>, random: RandomSource) -> Self {
        Self { clock, random, offset_ms: Arc::default() }
    }

    pub(super) fn set_offset(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    pub(super) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// The time to write ops with.
    pub(super) fn now(&self) -> UnixMillis {
        corrected(self.clock.now(), self.offset_ms())
    }

    /// Runs a step of the engine.
    pub(super) fn step<T>(&self, commit: Seq, work: impl FnOnce(&mut SpokeStep<'_>) -> T) -> T {
        let mut random = || (self.random)();
        work(&mut SpokeStep { now: self.now(), commit, random: &mut random })
    }
}
