//! Whose request changes a database: named by the audit trail, and asked for its rights once more inside the commit that
//! uses them (TOK-17).
//!
//! A request is let in when its head has come, and may be whole much later. What happened meanwhile counts: a revocation
//! publishes to the directory before it is answered, so that no commit which begins after that answer finds the right.

use std::{borrow::Cow, sync::Arc};

use ferry_auth::{AuthContext, Principal, TokenError, TokenHolder, jwt::JwtError};
use ferry_database::Recheck;
use ferry_types::{Clock, Error, Model, Reason, Result, UnixMillis, limits::EVENTS_PUSH_LEEWAY_MS};

use crate::{
    caller::{SESSION_REQUIRED, database_not_found},
    control_db::ControlDb,
    credentials::{api_keys::usage, jwt::JwtRefusal, macaroons, right::Right, watch, watch::RightsEnd},
    directory::{Directory, shared::SharedDirectory},
    origin::Origin,
};

/// Whoever changes a database.
#[derive(Clone)]
pub struct Requester {
    /// The principal of its credential.
    pub principal: Arc<str>,
    /// Where it came from.
    pub origin: Origin,
    /// What it was let in with; `None`: the hub itself.
    pub(crate) admission: Option<Arc<Admission>>,
}

/// What a request was let in with.
pub(crate) struct Admission {
    auth: AuthContext,
    rights: Box<[Right]>,
    state: Arc<SharedDirectory>,
    clock: Arc<dyn Clock>,
}

impl Requester {
    /// The holder of `auth`, for a request that was let in with `rights`.
    #[must_use]
    pub(crate) fn new(db: &ControlDb, auth: &AuthContext, rights: &[Right], origin: Origin) -> Self {
        let admission = Admission {
            auth: auth.clone(),
            rights: rights.into(),
            state: Arc::clone(db.state()),
            clock: Arc::clone(db.clock()),
        };
        Self { principal: auth.principal().into(), origin, admission: Some(Arc::new(admission)) }
    }
}

impl Requester {
    /// The hub itself: what it does on its own needs nobody's right.
    #[must_use]
    pub fn hub() -> Self {
        Self { principal: "hub".into(), origin: Origin::hub(), admission: None }
    }

    /// The user behind it, by its name at its issuer; `None`: nobody in particular, or the hub itself.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        match &self.admission.as_ref()?.auth.principal {
            Principal::Jwt(jwt) => Some(jwt.subject.to_string()),
            principal => principal.user_id().map(|id| id.to_string()),
        }
    }

    /// Refuses what may not be done any more, with the words that the request would have been refused with. Touches no
    /// disk, and waits for nobody.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`](super::authenticate::Authenticator::authenticate) and [`Right::check`].
    pub fn recheck(&self) -> Result<()> {
        self.admission.as_ref().map_or(Ok(()), |admission| admission.recheck(&admission.rights))
    }

    /// The same for a request that is whole by now and only reads, whatever rights its writes would need.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`](super::authenticate::Authenticator::authenticate).
    pub fn recheck_credential(&self) -> Result<()> {
        self.admission.as_ref().map_or(Ok(()), |admission| admission.recheck(&[]))
    }
}

impl Recheck for Requester {
    fn recheck(&self) -> Result<()> {
        self.recheck()
    }
}

impl Admission {
    fn recheck(&self, rights: &[Right]) -> Result<()> {
        let directory = self.state.read();
        let auth = with_role_of_now(&self.auth, &directory);
        let now = UnixMillis(self.clock.now().0 - self.leeway_ms());
        watch::remaining_ms(&auth, &directory, now).map_err(|end| refusal(&auth, end, &directory, now))?;
        rights.iter().try_for_each(|right| right.check(&auth))
    }

    /// How long after its end the credential still commits. A JWT's own leeway is part of its end.
    fn leeway_ms(&self) -> i64 {
        let is_events = self.rights.iter().all(|right| right.model == Model::Events);
        if is_events && !matches!(self.auth.principal, Principal::Jwt(_)) { EVENTS_PUSH_LEEWAY_MS } else { 0 }
    }
}

/// The same rights under the role that the user has now (ORG-05).
fn with_role_of_now<'a>(auth: &'a AuthContext, directory: &Directory) -> Cow<'a, AuthContext> {
    let (Principal::SyncToken { holder, .. } | Principal::Session { holder, .. }) = &auth.principal else {
        return Cow::Borrowed(auth);
    };
    match directory.role(holder.user_id, holder.org_id).map(|role| auth.ops.intersection(role.ops())) {
        Some(ops) if ops != auth.ops => Cow::Owned(AuthContext { ops, ..auth.clone() }),
        _ => Cow::Borrowed(auth),
    }
}

/// What the door says to a credential whose rights ended so.
fn refusal(auth: &AuthContext, end: RightsEnd, directory: &Directory, now: UnixMillis) -> Error {
    let keys = match &auth.principal {
        Principal::ApiKey(id) => [Some(*id), auth.beside],
        _ => [None, auth.beside],
    };
    for id in keys.into_iter().flatten() {
        match directory.api_keys().by_id(id) {
            None => return usage::unknown_key(),
            Some(entry) if entry.is_over(now) => return usage::expired_key(),
            Some(_) => {}
        }
    }
    match (&auth.principal, end) {
        (Principal::SyncToken { holder, .. }, _) if !knows_key(holder, directory) => {
            macaroons::refusal(TokenError::UnknownKey)
        }
        (Principal::SyncToken { .. }, RightsEnd::Expired) => macaroons::refusal(TokenError::Expired),
        (Principal::SyncToken { .. }, RightsEnd::Revoked) => macaroons::revoked(),
        (Principal::Session { holder, .. }, _) if !knows_key(holder, directory) => {
            Error::new(Reason::Unauthenticated, SESSION_REQUIRED)
        }
        (Principal::Session { .. }, RightsEnd::Expired) => Error::new(Reason::TokenExpired, SESSION_REQUIRED),
        (Principal::Session { holder, .. }, RightsEnd::Revoked) => {
            match directory.role(holder.user_id, holder.org_id) {
                Some(_) => Error::new(Reason::TokenRevoked, SESSION_REQUIRED),
                None => database_not_found(),
            }
        }
        (Principal::Jwt(_), RightsEnd::Expired) => JwtRefusal::Bad(JwtError::Expired).into(),
        (Principal::Jwt(jwt), RightsEnd::Revoked) if jwt.key.is_withdrawn() => {
            JwtRefusal::Bad(JwtError::UnknownKey).into()
        }
        (Principal::Jwt(_), RightsEnd::Revoked) => JwtRefusal::Revoked.into(),
        (Principal::ApiKey(_), RightsEnd::Expired) => usage::expired_key(),
        (Principal::ApiKey(_), RightsEnd::Revoked) => usage::unknown_key(),
        (_, RightsEnd::DatabaseDeleted) | (Principal::Anonymous, _) => database_not_found(),
    }
}

fn knows_key(holder: &TokenHolder, directory: &Directory) -> bool {
    directory.ring().knows(holder.kid)
}
