//! Ids of traces and spans (W3C Trace Context, section 3.2.2).

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

/// Id of a trace: one for all that happens because of one request, in all programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub(crate) NonZeroU128);

/// Id of a span in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub(crate) NonZeroU64);

impl TraceId {
    /// As it travels.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    /// The id that 16 random bytes are. All zeros are none by the standard, and become another one.
    pub(crate) fn of_random(bytes: [u8; 16]) -> Self {
        Self(NonZeroU128::new(u128::from_be_bytes(bytes)).unwrap_or(NonZeroU128::MIN))
    }
}

impl SpanId {
    /// As it travels.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
