//! Files that other users of the machine must not read.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use ferry_types::Result;

use crate::config::StartError;

/// Refuses a file or folder that grants more than `mode`.
///
/// # Errors
/// Names the path, what it grants and the command that mends it.
pub fn refuse_wider(path: &Path, mode: u32) -> Result<(), StartError> {
    let metadata = path.metadata().map_err(|error| StartError(format!("{}: {error}", path.display())))?;
    let granted = metadata.permissions().mode() & 0o777;
    if granted & !mode != 0 {
        return Err(StartError(format!(
            "{} is open to other users (mode {granted:04o}); run: chmod {mode:o} {}",
            path.display(),
            shell_word(path)
        )));
    }
    Ok(())
}

/// The path as a shell takes it for one word.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
