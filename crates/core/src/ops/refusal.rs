//! Why a call on entities or conflicts cannot be done.

use std::borrow::Cow;

use ferry_protocol::ops::SpokeErrorCode;

/// Why a call cannot be done. What it had written is rolled back by its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpsRefusal {
    /// The word on the wire.
    pub code: SpokeErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
}

impl OpsRefusal {
    /// A refusal with `message`.
    pub fn new(code: SpokeErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// What was asked for breaks a rule.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SpokeErrorCode::Invalid, message)
    }
}
