//! A session as the dashboard's cookie keeps it (OPR-52): sealed, so that what lies on a browser's disk is a session at the
//! dashboard's door, which opens it, and nothing anywhere else.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ferry_auth::sealing::{self, NONCE_BYTES};
use ferry_types::Result;
use zeroize::Zeroizing;

use crate::{Control, random};

/// What a sealed session is sealed as.
const CONTEXT: &str = "a session of the dashboard";

impl Control {
    /// The value of a cookie for the session token `token`, in base64url.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn seal_session(&self, token: &str) -> Result<String> {
        let nonce: [u8; NONCE_BYTES] = random::bytes()?;
        let sealed = sealing::seal(self.db.keys().signing(), CONTEXT, nonce, token.as_bytes());
        Ok(BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The session token in the value of a cookie; `None`: this hub has not made it, or its signing key has been retired, and the
    /// session with it.
    #[must_use]
    pub fn open_session(&self, cookie: &str) -> Option<Zeroizing<String>> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let token = sealing::open(&self.db.keys(), CONTEXT, &sealed).ok()?;
        std::str::from_utf8(&token).ok().map(|text| Zeroizing::new(text.to_owned()))
    }
}
