//! The system clock: the only place of the hub that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use ferry_types::{Clock, UnixMillis};

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the shell's clock, handed to everything else")]
    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        UnixMillis(now_ms.saturating_add(ferry_store::fault::clock_ahead_ms()))
    }
}
