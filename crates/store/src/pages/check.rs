//! `PRAGMA quick_check` of an image that nobody has opened yet (PAG-07).

use std::path::Path;

use rusqlite::{ErrorCode, OpenFlags, limits::Limit};

use crate::{Result, connection::open_file_with_vfs};

/// Longest value that the check may build; an image it runs on is smaller.
const VALUE_MAX_BYTES: i32 = 256 << 20;

/// What the check found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well-formed, as far as it could be checked.
    Ok,
    /// Damaged or torn; the first finding.
    Damaged(String),
}

/// Checks the file at `path`, which must be in rollback mode and which no one else has open.
///
/// A schema may name functions, collations and modules of an application, which the hub does not have. What
/// cannot be checked for that reason passes: only a finding is a finding.
///
/// # Errors
/// When the file cannot be opened at all.
pub fn quick_check(path: &Path) -> Result<Verdict> {
    // Without locks: the file is ours alone.
    let connection = open_file_with_vfs(path, OpenFlags::SQLITE_OPEN_READ_ONLY, c"unix-none")?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES)?;
    // A row that breaks a CHECK says nothing of pages.
    connection.execute_batch("PRAGMA trusted_schema=OFF; PRAGMA ignore_check_constraints=ON;")?;
    let found: rusqlite::Result<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found {
        Ok(text) if text == "ok" => Ok(Verdict::Ok),
        Ok(text) => Ok(Verdict::Damaged(text)),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Ok(Verdict::Damaged(error.to_string()))
            }
            Some(ErrorCode::Unknown | ErrorCode::TooBig) => {
                tracing::debug!(%error, "an image cannot be checked here");
                Ok(Verdict::Ok)
            }
            _ => Err(error.into()),
        },
    }
}
