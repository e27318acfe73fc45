//! What a span says beside its name and its times.

use std::borrow::Cow;

/// Longest text, bytes: longer ones are cut.
const TEXT_MAX_BYTES: usize = 256;

/// A name that the program gives, and what it is.
pub type Attribute = (&'static str, AttributeValue);

/// What an attribute is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A word.
    Text(Cow<'static, str>),
    /// A count, a size, a status.
    Number(i64),
}

impl From<&'static str> for AttributeValue {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for AttributeValue {
    fn from(mut text: String) -> Self {
        let end = text.floor_char_boundary(TEXT_MAX_BYTES);
        text.truncate(end);
        Self::Text(Cow::Owned(text))
    }
}

impl From<u64> for AttributeValue {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for AttributeValue {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<u16> for AttributeValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let AttributeValue::Text(text) = AttributeValue::from("ä".repeat(200)) else { panic!("a text") };
        assert_eq!(text, "ä".repeat(128));
        let AttributeValue::Text(text) = AttributeValue::from(format!("a{}", "ä".repeat(200))) else {
            panic!("a text")
        };
        assert_eq!(text.len(), 255);
    }
}
