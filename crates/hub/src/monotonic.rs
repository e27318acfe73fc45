//! Time that never goes back, in this process: what deadlines, timers and token buckets count in.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

/// From here it is counted: the first time that anybody asks.
static START: OnceLock<Instant> = OnceLock::new();

fn start() -> Instant {
    *START.get_or_init(Instant::now)
}

/// Milliseconds.
pub(crate) fn now_ms() -> u64 {
    now_us() / 1000
}

/// Microseconds.
pub(crate) fn now_us() -> u64 {
    u64::try_from(start().elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Nanoseconds.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// When it is so many milliseconds.
pub(crate) fn instant(at_ms: u64) -> Instant {
    start() + Duration::from_millis(at_ms)
}
