//! Which versions are kept as they grow old (PAG-49): all for an hour, one a minute for a day, then one an hour. What a version
//! that goes had replaced is from then on what the next one replaced; of two images of a page the older one stays.

use std::collections::BTreeSet;

use ferry_types::UnixMillis;
use rusqlite::Connection;

use super::index;
use crate::Result;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Versions that are looked at in one go: a push waits for that.
const AT_ONCE: usize = 1000;

/// From which age on how many are kept: the last of each span.
const STEPS: [(i64, i64); 2] = [(HOUR_MS, MINUTE_MS), (DAY_MS, HOUR_MS)];

/// How far the thinning is.
#[derive(Debug, Default)]
pub(super) struct Thinning {
    /// Of each step the version from which it goes on.
    from: [u64; STEPS.len()],
    /// When there is something to do again.
    due: UnixMillis,
}

impl Thinning {
    /// Thins out versions, but for those that `is_needed`. Gives the segments whose images are fewer now.
    pub(super) fn run(
        &mut self,
        writer: &Connection,
        now: UnixMillis,
        is_needed: impl Fn(u64) -> bool,
    ) -> Result<BTreeSet<u32>> {
        let mut touched = BTreeSet::new();
        if now < self.due {
            return Ok(touched);
        }
        let mut is_done = true;
        for (step, (age_ms, span_ms)) in STEPS.into_iter().enumerate() {
            let old =
                index::versions_made_before(writer, self.from[step], UnixMillis(now.0 - age_ms), AT_ONCE)?;
            is_done &= old.len() < AT_ONCE;
            let Some((last, _)) = old.last() else { continue };
            let last = *last;
            // From the newest on, so that an image is moved once, whatever goes.
            let mut follower = index::version_after(writer, last)?;
            for (version, time) in old.into_iter().rev() {
                let is_one_span =
                    |later: UnixMillis| time.0.div_euclid(span_ms) == later.0.div_euclid(span_ms);
                match follower {
                    Some((kept, later)) if is_one_span(later) && !is_needed(version) => {
                        index::merge_version(writer, version, kept, &mut touched)?;
                    }
                    _ => follower = Some((version, time)),
                }
            }
            self.from[step] = last;
        }
        self.due = if is_done { UnixMillis(now.0 + MINUTE_MS) } else { now };
        Ok(touched)
    }
}
