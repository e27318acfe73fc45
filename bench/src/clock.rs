//! The one clock of the benchmarks.

use std::time::Instant;

/// The time now, for differences.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
