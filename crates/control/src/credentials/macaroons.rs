//! Macaroons, and who holds a sync token, checked in the order of TOK-03.

use std::sync::Arc;

use ferry_auth::{AuthContext, Purpose, TokenError, Verified, token};
use ferry_types::{Error, Reason, Result, UnixMillis};

use crate::{
    caller::database_not_found,
    control_db::ControlDb,
    credentials::{proof_cache::ProofCache, watch},
    directory::entries::RightsLost,
    origin::ClientIp,
};

/// Macaroons of this hub: opened once, remembered for a moment, judged at every use.
pub(crate) struct Macaroons {
    db: Arc<ControlDb>,
    /// Those whose signature was checked a moment ago.
    recent: ProofCache<Verified>,
}

impl Macaroons {
    pub(crate) fn new(db: Arc<ControlDb>) -> Self {
        Self { db, recent: ProofCache::default() }
    }

    /// Forgets what is too old to be used.
    pub(crate) fn prune(&self, now: UnixMillis) {
        self.recent.prune(now);
    }

    /// A macaroon with a good signature, checked now or a moment ago.
    pub(crate) fn open(&self, text: &str) -> std::result::Result<Arc<Verified>, TokenError> {
        if let Some(known) = self.known(text) {
            return Ok(known);
        }
        let opened = Arc::new(token::open(text, &self.db.keys())?);
        self.recent.keep(text, Arc::clone(&opened), self.db.now());
        Ok(opened)
    }

    /// A macaroon that was checked a moment ago, if the ring still knows its key.
    pub(crate) fn known(&self, text: &str) -> Option<Arc<Verified>> {
        let known = self.recent.get(text, self.db.now())?;
        self.db.directory().ring().knows(known.claims.kid).then_some(known)
    }

    /// Purpose, times, epochs, revocation, membership and caveats of a sync token.
    pub(crate) fn of_sync_token(&self, token: &Verified, client_ip: ClientIp) -> Result<AuthContext> {
        token.check(Purpose::Sync, self.db.now().as_secs()).map_err(refusal)?;
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
            Err(RightsLost::Database) => return Err(database_not_found()),
            Err(RightsLost::Revoked) => return Err(revoked()),
        }
        directory.refuse_unverified(claims.user_id)?;
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
