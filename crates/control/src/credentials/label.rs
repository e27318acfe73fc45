//! Names that callers give to devices, tokens and keys.

use ferry_types::{Error, Reason, Result};

/// Longest name of a device or token, in bytes.
const LABEL_MAX_BYTES: usize = 128;

/// A name that a caller gave to a device or token.
///
/// # Errors
/// When it is too long or has control characters.
pub(crate) fn check_label(label: &str) -> Result<&str> {
    if label.len() > LABEL_MAX_BYTES || label.chars().any(char::is_control) {
        let message = "label must have at most 128 bytes and no control characters";
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    Ok(label)
}
