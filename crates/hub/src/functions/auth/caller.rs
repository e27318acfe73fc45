//! A caller of functions who was let in.

use std::sync::Arc;

use ferry_auth::Principal;
use ferry_types::{ApiKeyId, Error, Reason, Result};
use serde_json::Value;

use crate::entry::RequestContext;

/// Who calls, and what for.
#[derive(Clone)]
pub(in crate::functions) struct FunctionsCaller {
    /// What was entered. Its commits ask for the right to write, or to call where the caller only reads.
    pub(in crate::functions) context: RequestContext,
    /// `ctx.user`: a JSON object; `None`: nobody.
    pub(in crate::functions) claims: Option<Arc<str>>,
    /// The credential lacks `write`: every call is read-only (FUN-52).
    pub(in crate::functions) read_only: bool,
    /// The API key that it carried.
    pub(in crate::functions) api_key: Option<ApiKeyId>,
    /// What texts of guards begin with (specification, 3.5).
    pub(in crate::functions) guard_prefix: &'static str,
    /// Whether the database signs JWTs (FUN-05).
    pub(in crate::functions) can_sign: bool,
}

impl FunctionsCaller {
    /// Refuses a function that an `fn` caveat or the API key's list leaves out (FUN-52).
    ///
    /// # Errors
    /// Permission denied.
    pub(in crate::functions) fn check_function(&self, name: &str) -> Result<()> {
        if self.context.auth.allows_function(name) {
            return Ok(());
        }
        let message = format!("this credential may not call {name:?}: use one that names the function");
        Err(Error::new(Reason::PermissionDenied, message))
    }

    /// The Unix second at which the credential expires, as its issuer wrote it: without leeway.
    pub(in crate::functions) fn expires_unix(&self) -> Option<i64> {
        let deadline = self.context.auth.deadline_unix;
        let Principal::Jwt(_) = &self.context.auth.principal else { return deadline };
        let claims: Option<Value> = self.claims.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let expires = claims.and_then(|claims| claims["exp"].as_f64()).map(|expires| expires.floor() as i64);
        expires.into_iter().chain(deadline).min()
    }
}
