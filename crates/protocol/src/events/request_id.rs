//! Ids of requests: a string in LiveStore 0.4, a number in the release after it.

use std::fmt::Write as _;

use serde_json::value::RawValue;

/// Longest id that is echoed; clients count from 0.
const ID_MAX_BYTES: usize = 128;

/// Which shape outcomes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LiveStoreDialect {
    /// LiveStore 0.4: ids are strings, a cause is an object.
    A,
    /// The release after it: ids are numbers, a cause is an array.
    B,
}

impl LiveStoreDialect {
    /// For metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// Id of a request, echoed with its JSON type: `"1"` and `1` differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// Dialect A.
    Text(Box<str>),
    /// Dialect B.
    Number(i64),
}

impl RequestId {
    /// The dialect that the id chooses.
    #[must_use]
    pub const fn dialect(&self) -> LiveStoreDialect {
        match self {
            Self::Text(_) => LiveStoreDialect::A,
            Self::Number(_) => LiveStoreDialect::B,
        }
    }

    /// Reads a string or an integer; `None` for anything else.
    pub(super) fn parse(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        if text.len() > ID_MAX_BYTES {
            return None;
        }
        if text.starts_with('"') {
            return serde_json::from_str(text).ok().map(Self::Text);
        }
        text.parse().ok().map(Self::Number)
    }

    /// Appends the id as JSON.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => super::encode::string(out, text),
            Self::Number(number) => {
                let _ = write!(out, "{number}");
            }
        }
    }
}
