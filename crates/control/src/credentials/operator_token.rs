//! The token of whoever runs the hub.

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::credentials::bearer::bearer;

/// What an operator token begins with.
pub(crate) const OPERATOR_PREFIX: &str = "fop_";

/// SHA-256 of the operator token.
pub(crate) struct OperatorToken(pub(crate) [u8; 32]);

impl OperatorToken {
    /// Whether `token` is it. Digests are compared, so that the time it takes tells nothing of the token.
    pub(crate) fn is(&self, token: &str) -> bool {
        Sha256::digest(token).as_slice() == self.0
    }

    /// Whether the request carries it.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        matches!(bearer(headers), Ok(Some(token)) if self.is(token))
    }
}
