//! When to try again after a failure (OPS-65): after a random part of a time that doubles.

use std::time::Duration;

/// The first time.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest that a hub may ask for: what is beyond it is a mistake of the hub's.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next try after one more failure: a share of the time, by `random`, and no sooner than the hub asked for.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>, random: u64) -> Duration {
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let drawn = share(doubled.min(LONGEST), random);
        drawn.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }

    /// What was tried worked.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether the last try failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

/// The longest time between two tries, for what only a person can mend.
pub(super) const fn longest() -> Duration {
    LONGEST
}

/// `interval`, a fifth less to a fifth more by `random`, so that spokes that were started together part.
pub(super) fn jittered(interval: Duration, random: u64) -> Duration {
    let spread = interval / 5;
    interval.saturating_sub(spread) + share(spread * 2, random)
}

/// A part of `time`, of which `random` has all values with the same chance.
fn share(time: Duration, random: u64) -> Duration {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % ms.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-65
    #[test]
    fn tries_are_further_apart_after_each_failure_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        // The largest share of the time: a random number is taken modulo one more.
        let longest = |backoff: &mut Backoff, ms: u64| backoff.failed(None, ms).as_millis();
        let tries = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000];
        for ms in tries {
            assert_eq!(longest(&mut backoff, ms), u128::from(ms));
        }
        for _ in 0..100 {
            assert_eq!(longest(&mut backoff, 300_000), 300_000);
        }
        assert_eq!(backoff.failed(Some(Duration::from_secs(7)), 0), Duration::from_secs(7));
        assert_eq!(backoff.failed(Some(Duration::MAX), 0), RETRY_AFTER_MAX);
        backoff.succeeded();
        assert!(!backoff.is_failing());
        assert_eq!(longest(&mut backoff, 1_000), 1_000);
    }

    // Verifies: OPS-65
    #[test]
    fn exchanges_are_a_fifth_sooner_or_later_than_the_interval() {
        let interval = Duration::from_secs(30);
        assert_eq!(jittered(interval, 0), Duration::from_secs(24));
        assert_eq!(jittered(interval, 12_000), Duration::from_secs(36));
        assert_eq!(jittered(interval, 12_001), Duration::from_secs(24));
    }
}
