//! Ids of the control plane: a prefix that tells the kind, then a UUID. The hub draws the UUID (version 7);
//! nothing here is random.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The text is not an id of the expected kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that begins with {0:?}, followed by a UUID")]
pub struct BadId(&'static str);

macro_rules! prefixed_id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text of every such id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id that carries this UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID alone.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.as_hyphenated())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let uuid = text.strip_prefix($prefix).ok_or(BadId($prefix))?;
                // Only the hyphenated lower-case form, so that an id has one spelling.
                match Uuid::try_parse(uuid) {
                    Ok(parsed) if parsed.as_hyphenated().to_string() == uuid => Ok(Self(parsed)),
                    _ => Err(BadId($prefix)),
                }
            }
        }
    };
}

prefixed_id!(
    /// A user.
    UserId,
    "u_"
);
prefixed_id!(
    /// An organisation.
    OrgId,
    "o_"
);
prefixed_id!(
    /// A database.
    DatabaseId,
    "db_"
);
prefixed_id!(
    /// A login of a user on a device.
    SessionId,
    "s_"
);
prefixed_id!(
    /// An API key of a database.
    ApiKeyId,
    "k_"
);
prefixed_id!(
    /// An invitation to an organisation.
    InvitationId,
    "inv_"
);
prefixed_id!(
    /// A row that has no id type of its own: an identity of a user.
    IdentityId,
    "i_"
);

/// A minted token: the 16 bytes of a UUID of version 7, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId(pub [u8; 16]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for TokenId {
    type Err = BadTokenId;

    fn from_str(text: &str) -> Result<Self, BadTokenId> {
        // Only lower case, so that an id has one spelling.
        let canonical = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| canonical).ok_or(BadTokenId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// The text is not the id of a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of a token: 32 hex digits")]
pub struct BadTokenId;

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_id_has_one_spelling() {
        let text = "00ff3a0000000000000000000000000b";
        assert_eq!(text.parse::<TokenId>().unwrap().to_string(), text);
        let upper = text.to_uppercase();
        for bad in ["", "00", &text[1..], upper.as_str(), "+0ff3a0000000000000000000000000b"] {
            assert_eq!(bad.parse::<TokenId>(), Err(BadTokenId), "{bad}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let text = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
        assert_eq!(text.parse::<DatabaseId>().unwrap().to_string(), text);
        for bad in [
            "3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153",
            "u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153",
            "db_",
            "db_3F2B9C1E-5d44-4a7b-8e11-0a6c7d902153",
            "db_3f2b9c1e5d444a7b8e110a6c7d902153",
        ] {
            assert!(bad.parse::<DatabaseId>().is_err(), "{bad}");
        }
    }
}
