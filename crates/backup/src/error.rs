//! Why a backup was not taken, or does not restore.

use std::{io, path::Path};

use ferry_core::backup::MalformedBackup;

/// A failure of a backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of the target is missing, cut off, or not what it was.
    #[error("{object}: {what}")]
    Damaged {
        /// Its path.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// The target is another hub's.
    #[error("{0}")]
    Foreign(String),
    /// The target is encrypted with another key than the one that is set, or none is.
    #[error("{0}")]
    WrongKey(String),
    /// There is no such snapshot, database or target.
    #[error("{0}")]
    NotFound(String),
    /// Something stands where a restore would write.
    #[error("{0}")]
    Occupied(String),
    /// What was asked for cannot be done so.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else changes the target.
    #[error("{0}")]
    Busy(String),
    /// The target did not answer, or only that it is busy.
    #[error("{0}")]
    Unreachable(String),
    /// The target refuses what is asked of it.
    #[error("{0}")]
    Refused(String),
    /// What waits for the targets takes more room than it may.
    #[error("{0}")]
    SpoolFull(String),
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The file system reported it.
    #[error("{what}: {error}")]
    Io {
        /// What was done, and with what.
        what: String,
        /// What it reported.
        error: io::Error,
    },
    /// A database could not be read or written.
    #[error(transparent)]
    Sqlite(#[from] ferry_sqlite::Error),
}

/// The result of work on backups.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn damaged(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { object: object.into(), what: what.into() }
    }

    pub(crate) fn malformed(object: impl Into<String>, malformed: &MalformedBackup) -> Self {
        Self::damaged(object, malformed.to_string())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

/// Says with which file it failed.
pub(crate) trait AtPath<T> {
    /// `what` was done with `path`.
    fn at(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|error| Error::Io { what: format!("{what} {}", path.display()), error })
    }
}
