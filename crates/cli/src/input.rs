//! Secrets that a command takes: others can read command lines, so that standard input is another way.

use std::io::Read as _;

use crate::failure::Failure;

/// The text itself or, for `-`, what standard input holds.
pub(crate) fn given(text: String, what: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text);
    }
    let mut input = String::new();
    std::io::stdin()
        .read_to_string(&mut input)
        .map_err(|error| Failure::Usage(format!("cannot read the {what} from stdin: {error}")))?;
    Ok(input.trim().to_owned())
}
