//! CPU time of one call, summed over its steps, on whichever threads they run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Stands in `started_us` between steps.
const NOT_RUNNING: u64 = u64::MAX;

/// Measures the CPU time of a call by the clock of the thread that runs its step. JavaScript is stopped by it, and SQL
/// can be: [`Self::left`] tells what is left, on the thread of the step.
#[derive(Clone, Debug)]
pub struct CpuMeter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What the call may use, microseconds.
    limit_us: AtomicU64,
    /// What its earlier steps used.
    before_us: AtomicU64,
    /// The thread's clock when the step began.
    started_us: AtomicU64,
    /// What the call used in the process at the other end, where it runs in two.
    outside_us: AtomicU64,
}

impl CpuMeter {
    pub(crate) fn new(limit_ms: u64) -> Self {
        Self(Arc::new(Inner {
            limit_us: AtomicU64::new(limit_ms.saturating_mul(1000)),
            before_us: AtomicU64::new(0),
            started_us: AtomicU64::new(NOT_RUNNING),
            outside_us: AtomicU64::new(0),
        }))
    }

    /// A new call begins.
    pub(crate) fn reset(&self) {
        self.0.before_us.store(0, Ordering::Relaxed);
        self.0.started_us.store(NOT_RUNNING, Ordering::Relaxed);
        self.0.outside_us.store(0, Ordering::Relaxed);
    }

    /// A step begins on this thread.
    pub(crate) fn start(&self) {
        self.0.started_us.store(thread_us(), Ordering::Relaxed);
    }

    /// The step is over.
    pub(crate) fn stop(&self) {
        let own = self.own_us();
        self.0.started_us.store(NOT_RUNNING, Ordering::Relaxed);
        self.0.before_us.store(own, Ordering::Relaxed);
    }

    /// The process at the other end has used so much of the call's CPU.
    pub(crate) fn set_outside(&self, us: u64) {
        self.0.outside_us.store(us, Ordering::Relaxed);
    }

    /// What the process at the other end used.
    pub(crate) fn outside_us(&self) -> u64 {
        self.0.outside_us.load(Ordering::Relaxed)
    }

    /// CPU time of the step that runs, microseconds.
    pub(crate) fn step_us(&self) -> u64 {
        let started = self.0.started_us.load(Ordering::Relaxed);
        if started == NOT_RUNNING { 0 } else { thread_us().saturating_sub(started) }
    }

    /// CPU time of the call in this process, microseconds.
    pub(crate) fn own_us(&self) -> u64 {
        self.0.before_us.load(Ordering::Relaxed) + self.step_us()
    }

    /// CPU time of the call, microseconds.
    pub(crate) fn used_us(&self) -> u64 {
        self.own_us() + self.outside_us()
    }

    /// CPU time of the call so far; during a step it is to be asked on the step's thread.
    #[must_use]
    pub fn used(&self) -> Duration {
        Duration::from_micros(self.used_us())
    }

    /// What the call may still use. During a step it is to be asked on the step's thread.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_micros(self.0.limit_us.load(Ordering::Relaxed).saturating_sub(self.used_us()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

/// CPU time of this thread, microseconds.
fn thread_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}
