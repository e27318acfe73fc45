//! What became of an op, and why: the words of results (section 2.2).

use ferry_types::OpSeq;
use serde::{Deserialize, Serialize};

/// What became of a pushed op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpStatus {
    /// It is stored.
    Accepted,
    /// It was stored before.
    Duplicate,
    /// It is set aside; it may be delivered later.
    Quarantined,
    /// It is not stored.
    Rejected,
}

impl OpStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Duplicate, Self::Quarantined, Self::Rejected];

    /// The word on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
        }
    }
}

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $word:literal;)+) => {
        /// Why an op was rejected or quarantined.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum OpCode {
            $($(#[$meta])* $variant,)+
            /// A word of a newer hub.
            Unknown,
        }

        impl OpCode {
            /// Every code that a hub gives.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire, in storage and in metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ Self::Unknown => "unknown" }
            }

            /// The code of a word.
            #[must_use]
            pub fn of(word: &str) -> Self {
                match word { $($word => Self::$variant,)+ _ => Self::Unknown }
            }
        }
    };
}

codes! {
    /// Its shape is wrong, or a hub alone may write it.
    BadOp = "bad_op";
    /// Its HLC is none.
    BadHlc = "bad_hlc";
    /// It claims to have seen what is later than itself (OPS-21).
    BadBase = "bad_base";
    /// Its text update cannot be decoded (OPS-24).
    BadText = "bad_text";
    /// The text of its field would grow beyond the limit.
    TextTooLarge = "text_too_large";
    /// It is longer than an op may be.
    OpTooLarge = "op_too_large";
    /// Its origin belongs to another principal (OPS-51).
    OriginForbidden = "origin_forbidden";
    /// Its entity lies outside what the credential may write (OPS-52).
    EntityForbidden = "entity_forbidden";
    /// Its time lies too far ahead (OPS-10).
    ClockAhead = "clock_ahead";
    /// It is older than what was purged (OPS-43).
    BeforeHorizon = "before_horizon";
    /// Through the shim: nothing with a usable HLC.
    Unreadable = "unreadable";
    /// Through the shim: what `/v1` would reject.
    Invalid = "invalid";
    /// Through the shim: longer than an op may be.
    TooLarge = "too_large";
}

impl Serialize for OpCode {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for OpCode {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::of(&String::deserialize(from)?))
    }
}

/// What a push tells of one op, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpResult {
    /// Its id; `None` if it has none that can be read.
    pub id: Option<String>,
    /// What became of it.
    pub status: OpStatus,
    /// Its number, of what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seq")]
    pub seq: Option<OpSeq>,
    /// Why it is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<OpCode>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When a quarantined op is due to be released: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_at_ms: Option<i64>,
    /// False: of a kind that is not merged.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub merged: bool,
    /// A duplicate whose content is another than what is stored (OPS-03).
    #[serde(default, skip_serializing_if = "is_false")]
    pub differs: bool,
}

impl OpResult {
    /// A stored op.
    #[must_use]
    pub fn stored(id: &str, status: OpStatus, seq: OpSeq) -> Self {
        Self {
            id: Some(id.to_owned()),
            status,
            seq: Some(seq),
            code: None,
            message: None,
            release_at_ms: None,
            merged: true,
            differs: false,
        }
    }

    /// An op that is not stored, and why.
    #[must_use]
    pub fn refused(id: Option<String>, status: OpStatus, code: OpCode, message: impl Into<String>) -> Self {
        Self {
            id,
            status,
            seq: None,
            code: Some(code),
            message: Some(message.into()),
            release_at_ms: None,
            merged: true,
            differs: false,
        }
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// [`OpSeq`] as a JSON number.
pub(super) mod seq {
    use super::{Deserialize, OpSeq};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
    pub(crate) fn serialize<S: serde::Serializer>(seq: &OpSeq, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(seq.0)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<OpSeq, D::Error> {
        u64::deserialize(from).map(OpSeq)
    }
}

mod optional_seq {
    use super::{Deserialize, OpSeq};

    #[expect(clippy::ref_option, reason = "serde hands references")]
    pub(super) fn serialize<S: serde::Serializer>(seq: &Option<OpSeq>, to: S) -> Result<S::Ok, S::Error> {
        match seq {
            Some(seq) => to.serialize_u64(seq.0),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<OpSeq>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(OpSeq))
    }
}
