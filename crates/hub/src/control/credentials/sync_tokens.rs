//! Who holds a sync token, checked in the order of TOK-03.

use std::sync::Arc;

use ferry_auth::{AuthContext, Purpose, TokenError, Verified, token};
use ferry_types::{Error, Reason, Result};
use http::HeaderMap;

use crate::control::origin::ClientIp;
use crate::control::{
    Control,
    credentials::{bearer::bearer, caller::database_not_found, carried::ClientInfo, watch},
    directory::entries::Lost,
};

impl Control {
    /// The rights of the sync token or secret API key in the `Authorization` header, for endpoints that take nothing
    /// else.
    ///
    /// # Errors
    /// 401 `missing bearer token` or `invalid sync token: <reason>`; 403 for a session token or a forbidden
    /// address; 404 `database not found`.
    pub fn authenticate_sync(&self, headers: &HeaderMap, client_ip: ClientIp) -> Result<AuthContext> {
        let outcome = self.verify_sync(headers, client_ip);
        let result = outcome.as_ref().map_or_else(|error| error.reason.as_str(), |_| "OK");
        metrics::counter!("ferry_auth_verifications_total", "kind" => "token", "result" => result)
            .increment(1);
        outcome
    }

    fn verify_sync(&self, headers: &HeaderMap, client_ip: ClientIp) -> Result<AuthContext> {
        let text =
            bearer(headers)?.ok_or_else(|| Error::new(Reason::Unauthenticated, "missing bearer token"))?;
        if self.is_secret_key(text) {
            let client = ClientInfo::of(client_ip, headers);
            return Ok(AuthContext::of_key(self.key_rights(text, &client)?));
        }
        let opened = self.open_token(text).map_err(refusal)?;
        self.of_sync_token(&opened, client_ip)
    }

    /// A macaroon with a good signature, checked now or a moment ago.
    pub(crate) fn open_token(&self, text: &str) -> std::result::Result<Arc<Verified>, TokenError> {
        if let Some(known) = self.known_token(text) {
            return Ok(known);
        }
        let opened = Arc::new(token::open(text, &self.db.keys())?);
        self.tokens.keep(text, Arc::clone(&opened), self.now());
        Ok(opened)
    }

    /// A macaroon that was checked a moment ago, if the ring still knows its key.
    pub(crate) fn known_token(&self, text: &str) -> Option<Arc<Verified>> {
        let known = self.tokens.get(text, self.now())?;
        self.db.directory().ring().knows(known.claims.kid).then_some(known)
    }

    /// Purpose, times, epochs, revocation, membership and caveats of a sync token.
    pub(crate) fn of_sync_token(&self, token: &Verified, client_ip: ClientIp) -> Result<AuthContext> {
        token.check(Purpose::Sync, self.now().as_secs()).map_err(refusal)?;
        let claims = &token.claims;
        let directory = self.db.directory();
        // Without a membership no operation is left, and the standing is lost.
        let role = directory.role(claims.user_id, claims.org_id);
        let context =
            AuthContext::of_sync_token(token, role.map_or_else(Default::default, ferry_auth::Role::ops));
        let context =
            context.ok_or_else(|| invalid(Reason::Unauthenticated, "caveat db names another database"))?;
        match watch::standing(&context, &directory) {
            Ok(()) => {}
            Err(Lost::Database) => return Err(database_not_found()),
            Err(Lost::Revoked) => return Err(revoked()),
        }
        if !context.restrictions.allows_address(client_ip.0) {
            let message = "this sync token may not be used from your address (caveat ip)";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        Ok(context)
    }
}

fn invalid(reason: Reason, why: &str) -> Error {
    Error::new(reason, format!("invalid sync token: {why}"))
}

/// A token that was revoked, or whose holder has left.
pub(crate) fn revoked() -> Error {
    invalid(Reason::TokenRevoked, "token revoked")
}

/// A token's refusal as callers see it.
pub(crate) fn refusal(error: TokenError) -> Error {
    match error {
        TokenError::WrongPurpose => Error::new(
            Reason::WrongPurpose,
            "a session token cannot sync: issue a sync token for the database and use that",
        ),
        TokenError::Expired => invalid(Reason::TokenExpired, "token expired"),
        other => invalid(Reason::Unauthenticated, &other.to_string()),
    }
}
