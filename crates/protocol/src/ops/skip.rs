//! Op numbers that a puller holds already, as ranges: `3-9,12` (section 2.2, OPS-09).

use std::{fmt, ops::RangeInclusive, str::FromStr};

use ferry_types::OpSeq;

/// Ranges of one query.
pub const SKIP_RANGES_MAX: usize = 64;

/// Numbers to be left out: ranges in order, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    ranges: Vec<RangeInclusive<u64>>,
}

/// The text is no list of ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("skip must be at most 64 ranges of op numbers, such as 3-9,12")]
pub struct BadSkip;

impl Skip {
    /// The first ranges, as many as one query may have, of numbers in any order.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = OpSeq>) -> Self {
        let mut skip = Self::joined(numbers.into_iter().map(|seq| seq.0..=seq.0).collect());
        skip.ranges.truncate(SKIP_RANGES_MAX);
        skip
    }

    fn joined(mut ranges: Vec<RangeInclusive<u64>>) -> Self {
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut joined: Vec<RangeInclusive<u64>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => joined.push(range),
            }
        }
        Self { ranges: joined }
    }

    /// Whether nothing is left out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, in order.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u64>] {
        &self.ranges
    }

    /// The last number of the range that holds `seq`.
    #[must_use]
    pub fn end_of(&self, seq: OpSeq) -> Option<OpSeq> {
        let at = self.ranges.partition_point(|range| *range.end() < seq.0);
        let range = self.ranges.get(at).filter(|range| range.contains(&seq.0))?;
        Some(OpSeq(*range.end()))
    }

    /// Whether `seq` is left out.
    #[must_use]
    pub fn contains(&self, seq: OpSeq) -> bool {
        self.end_of(seq).is_some()
    }
}

impl FromStr for Skip {
    type Err = BadSkip;

    fn from_str(text: &str) -> Result<Self, BadSkip> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let number = |text: &str| -> Result<u64, BadSkip> {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if is_number { text.parse().map_err(|_| BadSkip) } else { Err(BadSkip) }
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first)?..=number(last)?;
            if range.is_empty() || ranges.len() == SKIP_RANGES_MAX {
                return Err(BadSkip);
            }
            ranges.push(range);
        }
        Ok(Self::joined(ranges))
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}
