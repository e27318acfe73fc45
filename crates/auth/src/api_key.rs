//! API keys: what a value looks like, and what is stored of it (KEY-01). A key names an app, not a user; it is
//! random or was random when another system made it, so that its SHA-256 alone finds it.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

/// Random bytes of a key that Ferry makes: 26 characters of base32.
pub const RANDOM_BYTES: usize = 16;
/// Characters of a value that lists show.
const PREFIX_CHARS: usize = 12;
/// Values of at least so many bytes show [`PREFIX_CHARS`].
const LONG_BYTES: usize = 32;
/// Shortest static token that is taken over.
const STATIC_MIN_BYTES: usize = 8;
/// Longest static token that is taken over.
const STATIC_MAX_BYTES: usize = 256;
/// What operator tokens begin with; a key that did would be taken for one.
const OPERATOR_PREFIX: &str = "fop_";
/// What publishable keys of EdgePod begin with, before a UUID.
const EDGEPOD_PREFIX: &str = "ep_pk_";
/// Lower-case alphabet of RFC 4648, section 6.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Who may know a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Stands in what everyone can read, as a web page.
    Publishable,
    /// Stays on servers; may stand where a bearer token stands.
    Secret,
}

/// The word is no kind of key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("kind must be publishable or secret")]
pub struct UnknownKeyKind;

impl KeyKind {
    /// The word on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publishable => "publishable",
            Self::Secret => "secret",
        }
    }

    /// What values of this kind begin with, unless they were imported.
    #[must_use]
    pub const fn value_prefix(self) -> &'static str {
        match self {
            Self::Publishable => "fy_pk_",
            Self::Secret => "fy_sk_",
        }
    }
}

impl FromStr for KeyKind {
    type Err = UnknownKeyKind;

    fn from_str(text: &str) -> Result<Self, UnknownKeyKind> {
        match text {
            "publishable" => Ok(Self::Publishable),
            "secret" => Ok(Self::Secret),
            _ => Err(UnknownKeyKind),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a value of another system cannot be taken over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyValue {
    /// Publishable, and no key of EdgePod.
    #[error("value of a publishable key must be ep_pk_ and a UUID; leave it out to have one made")]
    Publishable,
    /// Secret, and not fit to stand in a header.
    #[error("value of a secret key must have 8 to 256 printable ASCII characters without spaces")]
    Secret,
    /// Secret, and it would be taken for an operator token.
    #[error("value of a secret key must not begin with fop_, as operator tokens do")]
    Operator,
}

/// The value of a new key.
#[must_use]
pub fn compose(kind: KeyKind, random: [u8; RANDOM_BYTES]) -> String {
    let mut value = kind.value_prefix().to_owned();
    let bits = u128::from_be_bytes(random);
    // 128 bits in 26 groups of five: the last one has two bits of padding.
    for group in 0..26_u32 {
        let five = if group == 25 { bits << 2 } else { bits >> (123 - 5 * group) };
        value.push(char::from(BASE32[(five & 31) as usize]));
    }
    value
}

/// Checks a value that another system made.
///
/// # Errors
/// When it has not the form that its kind asks for.
pub fn check_import(kind: KeyKind, value: &str) -> Result<(), InvalidKeyValue> {
    match kind {
        KeyKind::Publishable => match value.strip_prefix(EDGEPOD_PREFIX) {
            Some(uuid) if is_uuid(uuid) => Ok(()),
            _ => Err(InvalidKeyValue::Publishable),
        },
        KeyKind::Secret if value.starts_with(OPERATOR_PREFIX) => Err(InvalidKeyValue::Operator),
        KeyKind::Secret => {
            let printable = value.bytes().all(|byte| byte.is_ascii_graphic());
            let fits = (STATIC_MIN_BYTES..=STATIC_MAX_BYTES).contains(&value.len());
            if printable && fits { Ok(()) } else { Err(InvalidKeyValue::Secret) }
        }
    }
}

/// A hyphenated UUID; hex digits of either case.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What finds a key: the SHA-256 of its value.
#[must_use]
pub fn digest(value: &str) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// The beginning of a value, which lists show. A static token shorter than Ferry's own keys shows a quarter, so that
/// the rest still has to be guessed.
#[must_use]
pub fn prefix(value: &str) -> String {
    let shown = if value.len() < LONG_BYTES { value.len() / 4 } else { PREFIX_CHARS };
    value.chars().take(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: KEY-01
    #[test]
    fn values_carry_their_kind_and_all_their_randomness() {
        assert_eq!(compose(KeyKind::Publishable, [0; 16]), format!("fy_pk_{}", "a".repeat(26)));
        // Every bit set: 25 digits of 31, and a last one of three bits and two of padding.
        assert_eq!(compose(KeyKind::Secret, [255; 16]), format!("fy_sk_{}4", "7".repeat(25)));
        // RFC 4648, section 10: "foobar" is MZXW6YTBOI.
        let mut random = [0; 16];
        random[..6].copy_from_slice(b"foobar");
        assert!(compose(KeyKind::Secret, random).starts_with("fy_sk_mzxw6ytbo"));
        let mut seen = std::collections::HashSet::new();
        for bit in 0..128 {
            assert!(seen.insert(compose(KeyKind::Secret, (1_u128 << bit).to_be_bytes())), "bit {bit}");
        }
    }

    // Verifies: KEY-01
    #[test]
    fn values_of_other_systems_are_not_api_keys() {
        let uuid = "3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
        assert_eq!(check_import(KeyKind::Publishable, &format!("ep_pk_{uuid}")), Ok(()));
        for bad in ["", "ep_pk_", uuid, "ep_pk_3f2b9c1e5d444a7b8e110a6c7d902153", "static-token"] {
            assert_eq!(check_import(KeyKind::Publishable, bad), Err(InvalidKeyValue::Publishable), "{bad}");
        }
        for good in ["12345678", "a.b.c:d$(x)", &"x".repeat(256)] {
            assert_eq!(check_import(KeyKind::Secret, good), Ok(()), "{good}");
        }
        for bad in ["", "1234567", "with space", "tab\tinside", "größer-als", &"x".repeat(257)] {
            assert_eq!(check_import(KeyKind::Secret, bad), Err(InvalidKeyValue::Secret), "{bad}");
        }
        assert_eq!(check_import(KeyKind::Secret, "fop_12345678"), Err(InvalidKeyValue::Operator));
    }

    #[test]
    fn a_prefix_never_tells_the_value() {
        assert_eq!(prefix(&compose(KeyKind::Publishable, [0; 16])), "fy_pk_aaaaaa");
        assert_eq!(prefix("ep_pk_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"), "ep_pk_3f2b9c");
        assert_eq!(prefix("12345678"), "12");
        assert_ne!(digest("a"), digest("b"));
    }
}
