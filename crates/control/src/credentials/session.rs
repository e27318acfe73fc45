//! Whose session an RPC carries (TOK-08).

use std::sync::Arc;

use ferry_auth::{Caveat, Purpose, TokenError};
use ferry_types::{Error, Reason, Result};
use http::HeaderMap;

use crate::{
    caller::{Access, Caller, SESSION_REQUIRED},
    control_db::ControlDb,
    credentials::{
        bearer::bearer,
        macaroons::Macaroons,
        throttling::{Limiter, ThrottleKey},
    },
    origin::ClientIp,
};

/// The session that a request carries.
pub(crate) fn verify_session(
    macaroons: &Macaroons,
    db: &ControlDb,
    rates: &Limiter,
    headers: &HeaderMap,
    ip: ClientIp,
    access: Access,
) -> Result<Caller> {
    let required = |reason| Error::new(reason, SESSION_REQUIRED);
    let text = bearer(headers)?.ok_or_else(|| required(Reason::Unauthenticated))?;
    let now = db.now();
    let opened = macaroons.open(text);
    let checked = opened.and_then(|token| {
        token.check(Purpose::Session, now.as_secs())?;
        Ok(token)
    });
    let verified = match checked {
        Ok(verified) => verified,
        Err(TokenError::WrongPurpose) => {
            let message = "a sync token cannot call this: log in and use the session token";
            return Err(Error::new(Reason::WrongPurpose, message));
        }
        Err(TokenError::Expired) => return Err(required(Reason::TokenExpired)),
        Err(_) => return Err(required(Reason::Unauthenticated)),
    };
    let claims = &verified.claims;
    let caller = Caller {
        user_id: claims.user_id,
        kid: claims.kid,
        user_epoch: claims.user_epoch,
        org_id: claims.org_id,
        session_id: claims.session_id,
        deadline_unix: verified.deadline_unix,
        caveats: verified.caveats.clone(),
        restrictions: Arc::clone(&verified.restrictions),
    };
    caller.recheck(&db.directory(), now)?;
    if !caller.restrictions.allows_address(ip.0) {
        let message = "this session may not be used from your address (caveat ip)";
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    if access == Access::Full && !verified.caveats.iter().all(Caveat::keeps_all_rights) {
        let message = "this session is narrowed by caveats and may only read and issue sync tokens: log in";
        return Err(Error::new(Reason::AttenuatedSession, message));
    }
    rates.charge(ThrottleKey::Session(claims.user_id), now)?;
    Ok(caller)
}
