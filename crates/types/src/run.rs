//! The name of one start of the hub.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// One start of the hub, by which its files tell whether they belong together: 64 random bits, 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// A text that names no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run is 16 hexadecimal digits, in lower case")]
pub struct BadRunId;

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let run = u64::from_str_radix(text, 16).map(Self).map_err(|_| BadRunId)?;
        // Only its one spelling.
        if run.to_string() == text { Ok(run) } else { Err(BadRunId) }
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_spelling() {
        let run = RunId(0x00ab_cdef_0123_4567);
        assert_eq!(run.to_string(), "00abcdef01234567");
        assert_eq!(run.to_string().parse(), Ok(run));
        for bad in ["", "0", "00ABCDEF01234567", "00abcdef012345678", "+0abcdef01234567", "00abcdef0123456g"]
        {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
