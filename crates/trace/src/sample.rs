//! Which requests are traced.

use std::sync::atomic::{AtomicU64, Ordering};

/// Chooses a share of what it is asked for, by numbers that look random: who times his requests well must not see his own
/// traced, or never.
pub(crate) struct Sample {
    /// Numbers below it are chosen.
    below: u64,
    is_all: bool,
    next: AtomicU64,
}

impl Sample {
    /// A `share` between 0 and 1, with a random `seed`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of all u64")]
    pub(crate) fn new(share: f64, seed: u64) -> Self {
        let below = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        Self { below, is_all: share >= 1.0, next: AtomicU64::new(seed) }
    }

    /// Whether this one is.
    pub(crate) fn is_chosen(&self) -> bool {
        if self.is_all || self.below == 0 {
            return self.is_all;
        }
        mix(self.next.fetch_add(STEP, Ordering::Relaxed)) < self.below
    }
}

/// By which SplitMix64 counts.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output for a state: each input has an output of its own, and neighbours look unrelated.
pub(crate) const fn mix(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept() {
        let count = |share: f64| {
            let sample = Sample::new(share, 7);
            (0..100_000).filter(|_| sample.is_chosen()).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 100_000));
        assert!((4_500..5_500).contains(&count(0.05)), "{}", count(0.05));
    }
}
