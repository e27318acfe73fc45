//! Who calls an RPC: a session, with the role it has now (ORG-05).

use std::sync::Arc;

use ferry_auth::{Caveat, Purpose, Restrictions, Role, TokenError};
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result, SessionId, UnixMillis, UserId};
use http::HeaderMap;

use crate::control::origin::ClientIp;
use crate::control::{
    Control,
    credentials::{bearer::bearer, throttling::Counted},
    directory::{Directory, entries::DatabaseEntry},
};

/// What an RPC asks of a session that carries caveats (TOK-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The RPC changes nothing.
    Read,
    /// The RPC mints a token, into which the caveats are copied.
    Mint,
    /// Everything else: closed to sessions narrowed by more than time and address.
    Full,
}

/// A verified session.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// Name of the key that signed the session.
    kid: u32,
    /// The user's epoch, as in the session.
    pub(crate) user_epoch: u32,
    /// The organisation the session starts in.
    pub org_id: OrgId,
    /// The login.
    pub session_id: SessionId,
    /// From this Unix second on the session is dead, caveats included.
    pub deadline_unix: i64,
    pub(crate) caveats: Vec<Caveat>,
    pub(crate) restrictions: Arc<Restrictions>,
}

pub(crate) const SESSION_REQUIRED: &str = "session token required";

impl Caller {
    /// Refuses a session that ended since it was let in.
    ///
    /// # Errors
    /// `session token required`.
    pub(crate) fn recheck(&self, directory: &Directory, now: UnixMillis) -> Result<()> {
        let required = |reason| Err(Error::new(reason, SESSION_REQUIRED));
        if !directory.ring().knows(self.kid) {
            return required(Reason::Unauthenticated);
        }
        if self.deadline_unix <= now.as_secs() {
            return required(Reason::TokenExpired);
        }
        let stands = directory.user_stands(self.user_id, self.user_epoch)
            && !directory.session_is_revoked(self.session_id);
        if stands { Ok(()) } else { required(Reason::TokenRevoked) }
    }
}

impl Control {
    /// The session that a request carries.
    ///
    /// # Errors
    /// `session token required` when it is missing, bad, expired or revoked; permission denied for a token of
    /// another purpose, from a forbidden address, or too narrow for the RPC; rate limit.
    pub fn authenticate_session(&self, headers: &HeaderMap, ip: ClientIp, access: Access) -> Result<Caller> {
        let outcome = self.verify_session(headers, ip, access);
        let result = outcome.as_ref().map_or_else(|error| error.reason.as_str(), |_| "OK");
        metrics::counter!("ferry_auth_verifications_total", "kind" => "session", "result" => result)
            .increment(1);
        outcome
    }

    /// Whose session that stands, or whose operator's token, the head of a request carries: before its body is read.
    pub(crate) fn sender(&self, headers: &HeaderMap) -> Option<Arc<str>> {
        if self.is_operator(headers) {
            return Some("operator".into());
        }
        let token = self.open_token(bearer(headers).ok()??).ok()?;
        token.check(Purpose::Session, self.now().as_secs()).ok()?;
        Some(token.claims.user_id.to_string().into())
    }

    fn verify_session(&self, headers: &HeaderMap, ip: ClientIp, access: Access) -> Result<Caller> {
        let required = |reason| Error::new(reason, SESSION_REQUIRED);
        let text = bearer(headers)?.ok_or_else(|| required(Reason::Unauthenticated))?;
        let now = self.now();
        let opened = self.open_token(text);
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
        caller.recheck(&self.db.directory(), now)?;
        if !caller.restrictions.allows_address(ip.0) {
            let message = "this session may not be used from your address (caveat ip)";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        if access == Access::Full && !verified.caveats.iter().all(Caveat::keeps_all_rights) {
            let message =
                "this session is narrowed by caveats and may only read and issue sync tokens: log in";
            return Err(Error::new(Reason::AttenuatedSession, message));
        }
        self.rates.charge(Counted::Session(claims.user_id), now)?;
        Ok(caller)
    }

    /// The organisation that `text` names to the caller (id or name; empty: the session's), and the role there.
    ///
    /// # Errors
    /// Not found when there is none that the caller belongs to.
    pub(crate) fn resolve_org(&self, caller: &Caller, text: &str) -> Result<(OrgId, Role)> {
        let directory = self.db.directory();
        let memberships = directory.user(caller.user_id).map_or(&[][..], |user| &user.memberships);
        let by_id = if text.is_empty() { Some(caller.org_id) } else { text.parse().ok() };
        let mut named = memberships.iter().filter(|(id, _)| match by_id {
            Some(wanted) => *id == wanted,
            None => directory.org(*id).is_some_and(|org| org.name.as_ref() == text),
        });
        let first = named.next().copied();
        if named.next().is_some() {
            // Names are not unique: whoever invites you chooses the name of what you join.
            let message = "you belong to more than one organisation of this name: name it by its id";
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        first.ok_or_else(org_not_found)
    }

    /// The organisation that `text` names to the caller, who must be admin there.
    ///
    /// # Errors
    /// Not found; permission denied below admin.
    pub(crate) fn resolve_own_org(&self, caller: &Caller, text: &str) -> Result<OrgId> {
        let (org_id, role) = self.resolve_org(caller, text)?;
        require_role(role, Role::Admin)?;
        Ok(org_id)
    }

    /// The database that `text` names to the caller (id, or name in the session's organisation), and the
    /// caller's role there. One of a foreign organisation answers like an unknown one (ORG-07).
    ///
    /// # Errors
    /// `database not found`.
    pub(crate) fn resolve_database(&self, caller: &Caller, text: &str) -> Result<(DatabaseEntry, Role)> {
        let directory = self.db.directory();
        let entry = match text.parse::<DatabaseId>() {
            Ok(id) => directory.database(id),
            Err(_) => directory.database_named(caller.org_id, text),
        };
        let visible = entry.and_then(|entry| Some((entry, directory.role(caller.user_id, entry.org_id)?)));
        visible.map(|(entry, role)| (entry.clone(), role)).ok_or_else(database_not_found)
    }
}

pub(crate) fn org_not_found() -> Error {
    Error::new(Reason::NotFound, "organisation not found")
}

pub(crate) fn database_not_found() -> Error {
    Error::new(Reason::NotFound, "database not found")
}

/// Refuses unless `role` is at least `needed`.
///
/// # Errors
/// Permission denied, naming both.
pub(crate) fn require_role(role: Role, needed: Role) -> Result<()> {
    if role >= needed {
        return Ok(());
    }
    let message = format!("this needs role {needed} in the organisation, yours is {role}");
    Err(Error::new(Reason::PermissionDenied, message))
}
