//! Whose JWTs a database's functions take.

use std::{fmt, str::FromStr};

/// Whose JWTs name the users of a database's functions (FUN-50).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FunctionAuth {
    /// Nobody's.
    #[default]
    None,
    /// Those of the issuer that the database's JWT settings name.
    Remote,
    /// Its own, which functions sign.
    Local,
}

/// The text is none of the modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auth mode must be none, remote or local")]
pub struct UnknownFunctionAuth;

impl FunctionAuth {
    /// Its name on the wire and at rest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Remote => "remote",
            Self::Local => "local",
        }
    }
}

impl FromStr for FunctionAuth {
    type Err = UnknownFunctionAuth;

    fn from_str(text: &str) -> Result<Self, UnknownFunctionAuth> {
        let modes = [Self::None, Self::Remote, Self::Local];
        modes.into_iter().find(|mode| mode.as_str() == text).ok_or(UnknownFunctionAuth)
    }
}

impl fmt::Display for FunctionAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
