//! Hybrid logical clocks of ops (ops specification, section 2.6): `<12 hex ms>-<4 hex counter>-<16 hex origin>`, whose
//! byte order is the order of (ms, counter, origin). Clock and randomness are handed in.

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::UnixMillis;

/// Latest millisecond that twelve hex digits can tell.
pub const HLC_MS_MAX: u64 = (1 << 48) - 1;
/// Length of an [`Hlc`] as text.
pub const HLC_BYTES: usize = 34;

/// Who wrote an op: 64 random bits that a store draws once; as text 16 hex digits. A clone of a store draws anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u64);

impl OriginId {
    /// The origin of what hubs derive from other ops.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for OriginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 16];
        write_hex(&mut text, self.0);
        f.write_str(str::from_utf8(&text).expect("BUG: hex digits are ASCII"))
    }
}

impl fmt::Debug for OriginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is 16 lower-case hex digits")]
pub struct BadOrigin;

impl FromStr for OriginId {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        hex(text, 16).map(Self).ok_or(BadOrigin)
    }
}

/// Time of an op. Later writes of one origin have greater ones, and so has whoever saw an op before writing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc {
    /// Milliseconds since 1970, at most [`HLC_MS_MAX`].
    pub ms: u64,
    /// Tells ops of one millisecond apart.
    pub counter: u16,
    /// Who wrote it.
    pub origin: OriginId,
}

impl Hlc {
    /// The clock that issued it, as far as it shows.
    #[must_use]
    pub const fn state(self) -> HlcState {
        HlcState { ms: self.ms, counter: self.counter }
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; HLC_BYTES];
        write_hex(&mut text[..12], self.ms);
        write_hex(&mut text[13..17], self.counter.into());
        write_hex(&mut text[18..], self.origin.0);
        f.write_str(str::from_utf8(&text).expect("BUG: hex digits are ASCII"))
    }
}

/// Fills `out` with the lowest hex digits of `value`, in lower case. Each op is written with some of them, and the formatting
/// of numbers does more than that.
pub fn write_hex(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an HLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an hlc looks like 01a1f8660d00-0000-a1b2c3d4e5f60718, in lower case")]
pub struct BadHlc;

impl FromStr for Hlc {
    type Err = BadHlc;

    fn from_str(text: &str) -> Result<Self, BadHlc> {
        let read = || {
            if text.len() != HLC_BYTES || !text.is_ascii() || &text[12..13] != "-" || &text[17..18] != "-" {
                return None;
            }
            let counter = u16::try_from(hex(&text[13..17], 4)?).ok()?;
            Some(Self { ms: hex(&text[..12], 12)?, counter, origin: OriginId(hex(&text[18..], 16)?) })
        };
        read().ok_or(BadHlc)
    }
}

/// Exactly `digits` lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u64> {
    let is_strict = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_strict { u64::from_str_radix(text, 16).ok() } else { None }
}

/// The clock ran over its last millisecond: no later op can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hlc_exhausted: the clock stands at its last millisecond; set the device's clock and begin with a new store"
)]
pub struct HlcExhausted;

/// What a store keeps of its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HlcState {
    /// Latest millisecond issued or absorbed.
    pub ms: u64,
    /// Counter within it.
    pub counter: u16,
}

impl HlcState {
    /// The state after writing one op at `now`; the op's time is this state. A clock set back is led by the state.
    ///
    /// # Errors
    /// When there is no later time.
    pub fn issue(self, now: UnixMillis) -> Result<Self, HlcExhausted> {
        let ms = self.ms.max(millis(now));
        let counter = if ms == self.ms { u32::from(self.counter) + 1 } else { 0 };
        Self::carry(ms, counter)
    }

    /// The state after seeing `other` at `now`: what is issued next is later than both.
    ///
    /// # Errors
    /// When there is no later time.
    pub fn absorb(self, other: Self, now: UnixMillis) -> Result<Self, HlcExhausted> {
        let ms = self.ms.max(other.ms).max(millis(now));
        let counter = match (ms.cmp(&self.ms), ms.cmp(&other.ms)) {
            (Ordering::Equal, Ordering::Equal) => u32::from(self.counter.max(other.counter)) + 1,
            (Ordering::Equal, _) => u32::from(self.counter) + 1,
            (_, Ordering::Equal) => u32::from(other.counter) + 1,
            _ => 0,
        };
        Self::carry(ms, counter)
    }

    /// The time that this state gives an op of `origin`.
    #[must_use]
    pub const fn stamp(self, origin: OriginId) -> Hlc {
        Hlc { ms: self.ms, counter: self.counter, origin }
    }

    fn carry(ms: u64, counter: u32) -> Result<Self, HlcExhausted> {
        let state =
            u16::try_from(counter).map_or(Self { ms: ms + 1, counter: 0 }, |counter| Self { ms, counter });
        if state.ms > HLC_MS_MAX { Err(HlcExhausted) } else { Ok(state) }
    }
}

/// A clock before 1970 counts as 1970, one beyond what an HLC tells as its last millisecond.
fn millis(now: UnixMillis) -> u64 {
    u64::try_from(now.0).unwrap_or(0).min(HLC_MS_MAX)
}

/// Arrival number of an op in its database: 1, 2, 3, …; 0: before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpSeq(pub u64);

impl OpSeq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for OpSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ms: u64, counter: u16) -> HlcState {
        HlcState { ms, counter }
    }

    /// The vectors of example E1 of the specification.
    // Verifies: OPS-11
    #[test]
    fn the_clock_gives_the_vectors_of_the_specification() {
        const T: u64 = 0x01a1_f866_0d00;
        let at = |ms: u64| UnixMillis(i64::try_from(ms).unwrap());
        for (from, now, to) in [
            (state(T, 0), T, state(T, 1)),
            (state(T, 0xffff), T, state(T + 1, 0)),
            (state(T, 7), 0, state(T, 8)),
        ] {
            assert_eq!(from.issue(at(now)), Ok(to));
        }
        for (from, other, now, to) in [
            (state(T, 3), state(T, 9), T - 1, state(T, 0xa)),
            (state(T, 3), state(0x01a1_f866_2088, 2), T, state(0x01a1_f866_2088, 3)),
            (state(T, 3), state(T, 2), 0x01a1_f866_2088, state(0x01a1_f866_2088, 0)),
        ] {
            assert_eq!(from.absorb(other, at(now)), Ok(to));
        }
    }

    #[test]
    fn the_last_millisecond_is_the_end() {
        let last = state(HLC_MS_MAX, 0xffff);
        assert_eq!(last.issue(UnixMillis(0)), Err(HlcExhausted));
        assert_eq!(state(5, 0).absorb(last, UnixMillis(-1)), Err(HlcExhausted));
        assert_eq!(state(5, 0).issue(UnixMillis(i64::MAX)), Ok(state(HLC_MS_MAX, 0)));
    }

    #[test]
    fn an_hlc_has_one_spelling_and_sorts_as_its_bytes() {
        let text = "01a1f8660d00-0000-a1b2c3d4e5f60718";
        let hlc: Hlc = text.parse().unwrap();
        assert_eq!(hlc.to_string(), text);
        assert_eq!(hlc.origin.to_string(), "a1b2c3d4e5f60718");
        for bad in [
            "",
            &text[1..],
            "01A1f8660d00-0000-a1b2c3d4e5f60718",
            "01a1f8660d00_0000-a1b2c3d4e5f60718",
            "+1a1f8660d00-0000-a1b2c3d4e5f60718",
            "01a1f8660d00-0000-a1b2c3d4e5f6071é",
            "é1a1f8660d0-0000-a1b2c3d4e5f60718",
        ] {
            assert_eq!(bad.parse::<Hlc>(), Err(BadHlc), "{bad}");
        }
        let mut hlcs = Vec::new();
        for ms in [0, 9, 16, 255, HLC_MS_MAX] {
            for counter in [0, 10, 0xffff] {
                for origin in [0, 1, u64::MAX] {
                    hlcs.push(Hlc { ms, counter, origin: OriginId(origin) });
                }
            }
        }
        let mut by_text: Vec<String> = hlcs.iter().map(Hlc::to_string).collect();
        by_text.sort();
        hlcs.sort();
        assert_eq!(hlcs.iter().map(Hlc::to_string).collect::<Vec<_>>(), by_text);
    }
}
