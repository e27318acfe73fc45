//! What time it is at the hub (OPS-11).

use ferry_types::UnixMillis;

/// A clock that is off by less is taken as it is.
const OFFSET_MIN_MS: i64 = 30_000;

/// How far the hub's clock is ahead of this machine's, if one answer can tell: it read its clock between the two moments.
#[must_use]
pub fn clock_offset_ms(hub_time_ms: i64, sent: UnixMillis, received: UnixMillis) -> i64 {
    let middle = sent.0.midpoint(received.0);
    hub_time_ms.saturating_sub(middle)
}

/// The time to write ops with: the clock's, or the hub's if they are far apart.
#[must_use]
pub fn corrected(clock: UnixMillis, offset_ms: i64) -> UnixMillis {
    if offset_ms.saturating_abs() > OFFSET_MIN_MS {
        UnixMillis(clock.0.saturating_add(offset_ms).max(0))
    } else {
        clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-11
    #[test]
    fn a_clock_that_is_far_off_is_corrected_by_the_hubs() {
        let offset = clock_offset_ms(100_000, UnixMillis(10_000), UnixMillis(10_200));
        assert_eq!(offset, 89_900);
        assert_eq!(corrected(UnixMillis(11_000), offset), UnixMillis(100_900));
        assert_eq!(corrected(UnixMillis(11_000), 30_000), UnixMillis(11_000));
        assert_eq!(corrected(UnixMillis(40_000), -40_001), UnixMillis(0));
        assert_eq!(corrected(UnixMillis(i64::MAX), i64::MAX), UnixMillis(i64::MAX));
    }
}
