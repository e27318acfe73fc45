//! Secrets that are handed out once: invitations, password resets, logins at a provider.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ferry_types::Result;
use sha2::{Digest as _, Sha256};

use crate::random;

/// Life of a code that resets a password (PWD-06), seconds.
pub(crate) const RESET_TTL_SECONDS: i64 = 3600;

/// A secret that is handed out once: 32 random bytes.
pub(crate) fn new_code() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<32>()?))
}

/// What is stored of a code.
pub(crate) fn code_hash(code: &str) -> [u8; 32] {
    Sha256::digest(code).into()
}
