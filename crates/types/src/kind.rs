//! Who may write a database.

use std::{fmt, str::FromStr};

/// Who is the authority of a database's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseKind {
    /// Written by the hub's own models (events, records, ops, functions); its file is pulled, never pushed.
    Hub,
    /// Its file is pushed by a client and holds nothing of Ferry's.
    Replica,
}

impl DatabaseKind {
    /// The word on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is neither `hub` nor `replica`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("kind must be \"hub\" or \"replica\"")]
pub struct UnknownDatabaseKind;

impl FromStr for DatabaseKind {
    type Err = UnknownDatabaseKind;

    fn from_str(text: &str) -> Result<Self, UnknownDatabaseKind> {
        match text {
            "hub" => Ok(Self::Hub),
            "replica" => Ok(Self::Replica),
            _ => Err(UnknownDatabaseKind),
        }
    }
}
