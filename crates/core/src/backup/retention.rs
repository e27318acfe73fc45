//! Which snapshots are kept (OPR-09): of each of the newest hours, days, weeks and months, by UTC, the last one.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::{MalformedBackup, SnapshotId};

/// How many of each are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The newest, whenever they were taken.
    pub last: u32,
    /// Hours of which one is kept.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// Weeks, from Monday.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { last: 3, hourly: 24, daily: 7, weekly: 4, monthly: 6 }
    }
}

/// Most of a kind: a hundred years of days.
const MOST: u32 = 36_525;

impl FromStr for Retention {
    type Err = MalformedBackup;

    fn from_str(text: &str) -> Result<Self, MalformedBackup> {
        let bad = || {
            MalformedBackup::new(format!(
                "expected counts such as last=3,hourly=24,daily=7,weekly=4,monthly=6, each from 0 to {MOST}"
            ))
        };
        let mut keep = Self { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, count) = part.split_once('=').ok_or_else(bad)?;
            let count = count.trim().parse().ok().filter(|count| *count <= MOST).ok_or_else(bad)?;
            match name.trim() {
                "last" => keep.last = count,
                "hourly" => keep.hourly = count,
                "daily" => keep.daily = count,
                "weekly" => keep.weekly = count,
                "monthly" => keep.monthly = count,
                _ => return Err(bad()),
            }
        }
        Ok(keep)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last, hourly, daily, weekly, monthly } = self;
        write!(f, "last={last},hourly={hourly},daily={daily},weekly={weekly},monthly={monthly}")
    }
}

/// Those of `all` that are kept. All are whole and of one scope; the newest stays, whatever the counts.
#[must_use]
pub fn kept(keep: &Retention, all: &BTreeSet<SnapshotId>) -> BTreeSet<SnapshotId> {
    type Period = fn(i64) -> i64;
    let periods: [(u32, Period); 4] = [
        (keep.hourly, |s| s.div_euclid(3600)),
        (keep.daily, day),
        (keep.weekly, week),
        (keep.monthly, month),
    ];
    let newest_first = || all.iter().rev();
    let mut kept: BTreeSet<SnapshotId> = newest_first().take(keep.last.max(1) as usize).copied().collect();
    for (count, period) in periods {
        let (mut left, mut last) = (count, None);
        for id in newest_first() {
            let period = Some(period(id.seconds()));
            if left == 0 {
                break;
            }
            if period != last {
                (left, last) = (left - 1, period);
                kept.insert(*id);
            }
        }
    }
    kept
}

const fn day(seconds: i64) -> i64 {
    seconds.div_euclid(86_400)
}

/// 1970-01-01 was a Thursday.
const fn week(seconds: i64) -> i64 {
    (day(seconds) + 3).div_euclid(7)
}

/// Months since year 0 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
const fn month(seconds: i64) -> i64 {
    let shifted = day(seconds) + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months are counted from March.
    (era * 400 + year_of_era) * 12 + (5 * of_year + 2) / 153
}

#[cfg(test)]
mod tests {
    use ferry_types::UnixMillis;
    use proptest::prelude::*;

    use super::*;

    fn ids(seconds: impl IntoIterator<Item = i64>) -> BTreeSet<SnapshotId> {
        seconds.into_iter().map(|second| SnapshotId::new(UnixMillis(second * 1000), 7)).collect()
    }

    fn names(ids: &BTreeSet<SnapshotId>) -> Vec<String> {
        ids.iter().map(|id| id.to_string()[..13].to_owned()).collect()
    }

    #[test]
    fn counts_are_read_as_they_are_written() {
        let default = Retention::default();
        assert_eq!(default.to_string().parse(), Ok(default));
        assert_eq!(
            "daily = 2".parse(),
            Ok(Retention { last: 0, hourly: 0, daily: 2, weekly: 0, monthly: 0 })
        );
        for bad in ["daily", "daily=-1", "yearly=1", "daily=99999999", "3"] {
            assert!(bad.parse::<Retention>().is_err(), "{bad}");
        }
    }

    // Verifies: OPR-09
    #[test]
    fn borders_are_those_of_utc() {
        // Every 6 hours from Sunday 2026-11-29T00:00Z for two days and a bit.
        let from = 1_795_910_400;
        let all = ids((0..10).map(|n| from + n * 21_600));
        let kept_by = |text: &str| names(&kept(&text.parse().unwrap(), &all));
        assert_eq!(kept_by("daily=2"), ["20261130T1800", "20261201T0600"]);
        assert_eq!(kept_by("weekly=9"), ["20261129T1800", "20261201T0600"]);
        assert_eq!(kept_by("monthly=9"), ["20261130T1800", "20261201T0600"]);
        assert_eq!(kept_by("last=2"), ["20261201T0000", "20261201T0600"]);
        assert_eq!(kept_by("last=0"), ["20261201T0600"], "the newest stays");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Two hundred days, with a prune now and then: what the counts name is there, as if nothing had been pruned
        /// before, as long as the counts do not grow.
        // Verifies: OPR-09
        #[test]
        fn pruning_again_and_again_keeps_what_pruning_once_would(
            every in 1_i64..40_000, prunes in prop::collection::vec(any::<bool>(), 200), offset in 0_i64..86_400
        ) {
            let keep = Retention::default();
            let (mut present, mut ever) = (BTreeSet::new(), BTreeSet::new());
            for (day, prune) in (0_i64..).zip(prunes) {
                let taken = ids((0..86_400 / every + 1).map(|n| offset + day * 86_400 + n * every));
                ever.extend(&taken);
                present.extend(&taken);
                if prune {
                    present = kept(&keep, &present);
                }
                prop_assert!(kept(&keep, &ever).is_subset(&present));
            }
            prop_assert!(kept(&keep, &ever).len() <= 3 + 24 + 7 + 4 + 6);
        }
    }
}
