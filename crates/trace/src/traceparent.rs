//! The header `traceparent` (W3C Trace Context, section 3.2): which trace a request is of.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
    str::FromStr,
};

use crate::{SpanId, TraceId};

/// What the caller says of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span in it.
    pub parent: SpanId,
    /// Whether the caller records it.
    pub is_sampled: bool,
}

impl FromStr for Traceparent {
    type Err = ();

    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`, and of later versions what they have in common with that.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            is_hex.then_some(part)
        };
        let (version, trace, span, flags) =
            (part(2).ok_or(())?, part(32).ok_or(())?, part(16).ok_or(())?, part(2).ok_or(())?);
        if version == "ff" || version == "00" && parts.next().is_some() {
            return Err(());
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().and_then(NonZeroU128::new).ok_or(())?;
        let span_id = u64::from_str_radix(span, 16).ok().and_then(NonZeroU64::new).ok_or(())?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| ())?;
        Ok(Self { trace_id: TraceId(trace_id), parent: SpanId(span_id), is_sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.parent, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    // Verifies: OPR-80
    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let read: Traceparent = GOOD.parse().unwrap();
        assert_eq!(read.to_string(), GOOD);
        assert!(read.is_sampled);
        let unsampled: Traceparent = GOOD.replace("-01", "-02").parse().unwrap();
        assert!(!unsampled.is_sampled);
        let later = format!("{}-what-comes-later", GOOD.replace("00-4", "01-4"));
        assert_eq!(later.parse::<Traceparent>().unwrap(), read);
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<Traceparent>(), Err(()), "{bad}");
        }
    }
}
