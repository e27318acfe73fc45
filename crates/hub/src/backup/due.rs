//! When snapshots are due.

use std::time::Duration;

use crate::config::BackupConfig;

/// So long after it was due a snapshot is late.
pub(super) const LATE_MS: i64 = 15 * MINUTE_MS;
const MINUTE_MS: i64 = 60_000;

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When the next snapshot is due, the last one being of `last_ms`; 0: at once. `None`: never.
pub(super) fn next_due(config: &BackupConfig, last_ms: Option<i64>) -> Option<i64> {
    let every = millis(config.every?);
    let Some(last) = last_ms else { return Some(0) };
    let Some(at) = config.at else { return Some(last.saturating_add(every)) };
    // Moments that the time of day fixes; with `every` of some days each of those days has one.
    let phase = at * MINUTE_MS;
    Some(((last - phase).div_euclid(every) + 1) * every + phase)
}

#[cfg(test)]
mod tests {
    use ferry_types::UnixMillis;

    use super::*;

    fn config(every: Option<u64>, at: Option<i64>) -> BackupConfig {
        BackupConfig {
            targets: Vec::new(),
            access: ferry_backup::TargetAccess::default(),
            every: every.map(|hours| Duration::from_secs(hours * 3600)),
            at,
            verify_every: None,
            keep: ferry_core::backup::retention::Retention::default(),
            restore_if_empty: false,
            log: None,
            log_days: 7,
            settings: String::new(),
        }
    }

    #[test]
    fn a_time_of_day_fixes_when_snapshots_are_due() {
        // 2026-11-29T05:00Z
        let last = 1_795_928_400_000;
        let next = |every, at| next_due(&config(every, at), Some(last)).map(|ms| UnixMillis(ms).to_string());
        assert_eq!(next(Some(6), None).unwrap(), "2026-11-29T11:00:00.000Z");
        assert_eq!(next(Some(6), Some(210)).unwrap(), "2026-11-29T09:30:00.000Z");
        assert_eq!(next(Some(24), Some(210)).unwrap(), "2026-11-30T03:30:00.000Z");
        assert_eq!(next(Some(24), Some(600)).unwrap(), "2026-11-29T10:00:00.000Z");
        assert_eq!(next(None, Some(600)), None);
        assert_eq!(next_due(&config(Some(6), Some(600)), None), Some(0), "the first at once");
    }
}
