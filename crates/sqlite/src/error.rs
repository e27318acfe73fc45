//! Errors of storage, and the errors that callers get for them.

use std::io;

use ferry_types::Reason;

/// A failure inside storage, or a refusal that an engine gave while it ran there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite reported it.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file system reported it.
    #[error("file system: {0}")]
    Io(#[from] io::Error),
    /// Not a failure: the request is refused, and the caller may know why.
    #[error("{0}")]
    Refused(#[from] ferry_types::Error),
    /// A file of ours does not hold what it must; the text says which and how.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The request panicked; its effects are rolled back.
    #[error("panicked: {0}")]
    Panicked(String),
}

/// The result of storage work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// When somebody may have freed space.
const FULL_RETRY_MS: u64 = 30_000;

impl Error {
    /// Whether the disk is full or failing, so that an operator must act and a retry may then succeed.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure)
            ),
            Self::Io(error) => {
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Refused(error) => error.reason == Reason::StorageFull,
            Self::Damaged(_) | Self::Panicked(_) => false,
        }
    }

    /// Whether the process, or the system, has as many files open as it may.
    fn is_out_of_descriptors(&self) -> bool {
        let is_full = |error: &io::Error| {
            let errno = rustix::io::Errno::from_io_error(error);
            matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
        };
        match self {
            Self::Io(error) => is_full(error),
            // SQLite does not tell why it cannot open a file: another one is tried.
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::CannotOpen))
                    && std::fs::File::open("/").is_err_and(|error| is_full(&error))
            }
            Self::Refused(_) | Self::Damaged(_) | Self::Panicked(_) => false,
        }
    }

    /// Whether it is the file itself that cannot be read, most likely: others can be, as they are.
    #[must_use]
    pub fn is_of_the_file(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseCorrupt, NotADatabase, PermissionDenied, SystemIoFailure,
        };
        match self {
            Self::Sqlite(error) => error.sqlite_error_code().is_some_and(|code| {
                matches!(code, DatabaseCorrupt | NotADatabase | PermissionDenied | SystemIoFailure)
                    || (code == CannotOpen && !self.is_out_of_descriptors())
            }),
            Self::Io(error) => {
                use rustix::io::Errno;
                let errno = Errno::from_io_error(error);
                matches!(errno, Some(Errno::IO | Errno::ACCESS | Errno::PERM | Errno::UCLEAN | Errno::STALE))
            }
            // What is told of it to those who ask for it: an error of reading is told as a failing disk.
            Self::Refused(error) => {
                matches!(error.reason, Reason::Unavailable | Reason::Internal | Reason::StorageFull)
            }
            Self::Damaged(_) => true,
            Self::Panicked(_) => false,
        }
    }

    /// Whether somebody else holds the database, so that a retry may succeed.
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy))
            }
            Self::Refused(error) => error.reason == Reason::Busy,
            Self::Io(_) | Self::Damaged(_) | Self::Panicked(_) => false,
        }
    }

    /// The error for callers when there is no room for what they write.
    #[must_use]
    pub fn storage_full() -> ferry_types::Error {
        let message = "the hub's disk is full or failing: free space on it, then try again";
        ferry_types::Error::new(Reason::StorageFull, message).retry_after_ms(FULL_RETRY_MS)
    }

    /// The error for callers when another process holds the database.
    pub(crate) fn busy() -> ferry_types::Error {
        ferry_types::Error::new(Reason::Busy, "the database is busy: try again").retry_after_ms(1000)
    }

    /// The error for the caller. The cause is logged here, once, and stays in the log (WEB-08).
    #[must_use]
    pub fn into_refusal(self) -> ferry_types::Error {
        if let Self::Refused(refusal) = self {
            return refusal;
        }
        tracing::error!(error = %self, "storage failed");
        if self.is_storage_full() {
            return Self::storage_full();
        }
        if self.is_busy() {
            return Self::busy();
        }
        if self.is_out_of_descriptors() {
            let message = "the hub has as many files open as it may: try again in a second";
            return ferry_types::Error::new(Reason::Busy, message).retry_after_ms(1000);
        }
        ferry_types::Error::internal()
    }
}
