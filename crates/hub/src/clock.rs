//! The system clock: the only place of the hub that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use ferry_types::{Clock, UnixMillis};
use uuid::{NoContext, Timestamp, Uuid};

/// The latest moment that the hub works with, the end of the year 2199. Every time that follows from it can be computed
/// and written: nanoseconds since 1970 end in 2262, four digits of a year in 9999.
pub const LATEST: UnixMillis = UnixMillis(7_258_118_399_999);

/// The system's wall clock, kept between 1970 and [`LATEST`]: a clock that is set wrong must not stop the hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the shell's clock, handed to everything else")]
    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        UnixMillis(now_ms.saturating_add(ferry_sqlite::fault::clock_ahead_ms()).clamp(0, LATEST.0))
    }
}

/// The present moment in Unix nanoseconds, as the wall clock has it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the shell's clock, handed to everything else")]
pub fn unix_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// A new id that follows the time.
#[must_use]
pub fn new_id() -> Uuid {
    let ms = u64::try_from(SystemClock.now().0).unwrap_or(0);
    let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos))
}

/// The time as HTTP's headers have it: `Sun, 29 Nov 2026 05:58:17 GMT` (RFC 9110, section 5.6.7).
#[must_use]
pub fn http_date(at: UnixMillis) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates() {
        assert_eq!(http_date(UnixMillis(784_111_777_000)).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(http_date(LATEST).as_deref(), Some("Tue, 31 Dec 2199 23:59:59 GMT"));
        assert_eq!(http_date(UnixMillis(i64::MAX)), None);
        assert_eq!(LATEST.to_string(), "2199-12-31T23:59:59.999Z");
    }
}
