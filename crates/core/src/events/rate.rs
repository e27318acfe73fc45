//! Token buckets (EVT-55): how long a push must wait for its turn.

use std::{fmt, str::FromStr};

/// So many per so many milliseconds, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_ms: f64,
    burst: f64,
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a rate such as 50/1s, 100/1m or 50/1s:200 (the last number comes at once), or none")]
pub struct BadRate;

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let (count, period) = rate.split_once('/').ok_or(BadRate)?;
        let unit_at = period.find(|c: char| !c.is_ascii_digit()).ok_or(BadRate)?;
        let (number, unit) = period.split_at(unit_at);
        let unit_ms = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return Err(BadRate),
        };
        let positive = |text: &str| match text.parse::<u32>() {
            Ok(number) if number > 0 => Ok(f64::from(number)),
            _ => Err(BadRate),
        };
        let (count, number) = (positive(count)?, positive(number)?);
        let burst = burst.map_or(Ok(count), positive)?;
        Ok(Self { per_ms: count / (number * unit_ms), burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}/1s:{:.0}", self.per_ms * 1000.0, self.burst)
    }
}

impl Rate {
    /// The same, `scale` times as generous.
    #[must_use]
    pub fn scaled(self, scale: f64) -> Self {
        Self { per_ms: self.per_ms * scale, burst: (self.burst * scale).max(1.0) }
    }
}

/// What is left of a rate. It may be overdrawn: who takes more than there is waits until it is paid back.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    level: f64,
    at_ms: u64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(rate: Rate, now_ms: u64) -> Self {
        Self { rate, level: rate.burst, at_ms: now_ms }
    }

    /// Takes `count` and tells how many milliseconds the taker must wait; takes nothing if that is over `wait_max_ms`.
    ///
    /// # Errors
    /// The milliseconds after which it would have its turn.
    pub fn take(&mut self, count: u32, now_ms: u64, wait_max_ms: u64) -> Result<u64, u64> {
        let level = self.level_at(now_ms);
        let after = level - f64::from(count);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and capped"
        )]
        let wait_ms = (-after / self.rate.per_ms).clamp(0.0, 1e12).ceil() as u64;
        if wait_ms > wait_max_ms {
            return Err(wait_ms);
        }
        (self.level, self.at_ms) = (after, now_ms);
        Ok(wait_ms)
    }

    /// Whether it is full again, so that forgetting it changes nothing.
    #[must_use]
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.level_at(now_ms) >= self.rate.burst
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a process fit a double")]
    fn level_at(&self, now_ms: u64) -> f64 {
        let passed = now_ms.saturating_sub(self.at_ms) as f64;
        passed.mul_add(self.rate.per_ms, self.level).min(self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: EVT-55
    #[test]
    fn a_burst_passes_then_takers_wait_and_then_are_refused() {
        let mut bucket = Bucket::new("50/1s:200".parse().unwrap(), 0);
        assert!((0..200).all(|_| bucket.take(1, 0, 5000) == Ok(0)));
        assert_eq!(bucket.take(1, 0, 5000), Ok(20));
        assert!((0..249).all(|_| bucket.take(1, 0, 5000).is_ok()));
        assert_eq!(bucket.take(1, 0, 5000), Err(5020));
        assert_eq!(bucket.take(1, 100, 5000), Ok(4920), "what was refused was not taken");
        assert!(!bucket.is_full(1000) && bucket.is_full(60_000));
    }

    #[test]
    fn rates_are_read_as_documented() {
        let mut per_minute = Bucket::new("100/1m".parse().unwrap(), 0);
        assert_eq!(per_minute.take(100, 0, 0), Ok(0));
        assert_eq!(per_minute.take(1, 0, 5000), Ok(600));
        for bad in ["", "5", "5/", "5/1", "0/1s", "5/0s", "5/1d", "-5/1s", "5/1s:", "5/1s:0", "x/1s"] {
            assert_eq!(bad.parse::<Rate>(), Err(BadRate), "{bad}");
        }
    }
}
