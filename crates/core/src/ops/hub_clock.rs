//! What a hub holds to be the time of an op, and what lies too far ahead of it (OPS-10).

use ferry_types::{Hlc, UnixMillis};

use super::pushing::Clocks;
use crate::sql::Sql;

const LAST_RECEIVED: &str = "SELECT received_ms FROM _ferry_ops ORDER BY op_seq DESC LIMIT 1";

/// How far a foreign op's clock may differ from the hub's before it is held to be no clock in milliseconds.
const FOREIGN_CLOCK_MAX_MS: u128 = 10 * 366 * 86_400_000;

/// The hub's time within a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HubClock {
    /// Never before what was received last: a clock set back moves no bound.
    pub(super) now: UnixMillis,
    max_skew_ms: i64,
}

pub(super) fn read<S: Sql>(sql: &S, clocks: &Clocks) -> Result<HubClock, S::Error> {
    let last = sql.first(LAST_RECEIVED, &[], |row| Ok(UnixMillis(row.integer(0)?)))?;
    let now = last.map_or(clocks.now, |last| last.max(clocks.now));
    Ok(HubClock { now, max_skew_ms: clocks.max_skew_ms })
}

impl HubClock {
    /// When an op of this time may be stored; `None`: now.
    pub(super) fn release(&self, hlc: Hlc) -> Option<i64> {
        self.release_ms(i64::try_from(hlc.ms).unwrap_or(i64::MAX))
    }

    /// The same of a foreign op, if its clock is one in milliseconds.
    pub(super) fn foreign_release(&self, hlc: &str) -> Option<i64> {
        let digits = hlc.bytes().take_while(u8::is_ascii_digit).count();
        if !(13..=20).contains(&digits) || digits == hlc.len() {
            return None;
        }
        let ms: u128 = hlc[..digits].parse().ok()?;
        let now = u128::try_from(self.now.0).unwrap_or(0);
        if ms.abs_diff(now) > FOREIGN_CLOCK_MAX_MS {
            return None;
        }
        self.release_ms(i64::try_from(ms).ok()?)
    }

    fn release_ms(&self, ms: i64) -> Option<i64> {
        let at = ms.saturating_sub(self.max_skew_ms);
        (at > self.now.0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_clocks_are_judged_if_they_are_some() {
        let clock = HubClock { now: UnixMillis(1_795_168_800_000), max_skew_ms: 2_000 };
        for (hlc, release_ms) in [
            ("00001795168800000-0000-laptop", None),
            ("00001795168804000-0000-laptop", Some(1_795_168_802_000)),
            ("1795168804000-0", Some(1_795_168_802_000)),
            ("1795168804000", None),
            ("179516880400-0", None),
            ("1795168804000000-0", None),
            ("99999999999999999999-0", None),
            ("laptop-1795168804000", None),
        ] {
            assert_eq!(clock.foreign_release(hlc), release_ms, "{hlc}");
        }
    }
}
