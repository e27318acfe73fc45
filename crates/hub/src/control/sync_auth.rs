//! Who uses a data endpoint: a sync token, checked in the order of TOK-03.

use std::net::IpAddr;

use ferry_auth::{AuthContext, Grant, Purpose, TokenError, Verified, token};
use ferry_types::{Error, OpSet, Reason, Result};
use http::HeaderMap;

use super::{Control, bearer::bearer, caller::database_not_found, directory::Lost, watch::Standing};

impl Control {
    /// The rights of the sync token in the `Authorization` header.
    ///
    /// # Errors
    /// 401 `missing bearer token` or `invalid sync token: <reason>`; 403 for a session token or a forbidden
    /// address; 404 `database not found`.
    pub fn authenticate_sync(&self, headers: &HeaderMap, client_ip: IpAddr) -> Result<AuthContext> {
        let outcome = self.verify_sync(headers, client_ip);
        let result = outcome.as_ref().map_or_else(|error| error.reason.as_str(), |_| "OK");
        metrics::counter!("ferry_auth_verifications_total", "kind" => "sync", "result" => result)
            .increment(1);
        outcome
    }

    fn verify_sync(&self, headers: &HeaderMap, client_ip: IpAddr) -> Result<AuthContext> {
        let text =
            bearer(headers)?.ok_or_else(|| Error::new(Reason::Unauthenticated, "missing bearer token"))?;
        let verified =
            token::verify(text, &self.state.keys(), Purpose::Sync, self.now().as_secs()).map_err(refusal)?;
        let role_ops = self.check_standing(&verified)?;
        let context = AuthContext::of_sync_token(&verified, role_ops)
            .ok_or_else(|| invalid(Reason::Unauthenticated, "caveat db names another database"))?;
        if !context.restrictions.allows_address(client_ip) {
            let message = "this sync token may not be used from your address (caveat ip)";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        Ok(context)
    }

    /// Epochs, revocation and membership. What the owner's role allows now.
    fn check_standing(&self, verified: &Verified) -> Result<OpSet> {
        let claims = &verified.claims;
        let Grant::Sync { database_id, database_epoch, .. } = claims.grant else {
            return Err(refusal(TokenError::WrongPurpose));
        };
        let standing = Standing {
            kid: claims.kid,
            user_id: claims.user_id,
            user_epoch: claims.user_epoch,
            org_id: claims.org_id,
            database_id,
            database_epoch,
            session_id: claims.session_id,
            token_id: claims.token_id,
            // Here the role only narrows; a connection that loses an operation later is ended.
            ops: OpSet::EMPTY,
        };
        let directory = self.state.read();
        match standing.check(&directory) {
            Ok(()) => Ok(directory
                .role(claims.user_id, claims.org_id)
                .expect("BUG: the standing includes a membership")
                .ops()),
            Err(Lost::Database) => Err(database_not_found()),
            Err(Lost::Revoked) => Err(invalid(Reason::TokenRevoked, "token revoked")),
        }
    }
}

fn invalid(reason: Reason, why: &str) -> Error {
    Error::new(reason, format!("invalid sync token: {why}"))
}

fn refusal(error: TokenError) -> Error {
    match error {
        TokenError::WrongPurpose => Error::new(
            Reason::WrongPurpose,
            "a session token cannot sync: issue a sync token for the database and use that",
        ),
        TokenError::Expired => invalid(Reason::TokenExpired, "token expired"),
        other => invalid(Reason::Unauthenticated, &other.to_string()),
    }
}
