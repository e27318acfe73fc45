//! Who calls an RPC: a session, with the role it has now (ORG-05).

use std::sync::Arc;

use ferry_auth::{Caveat, Restrictions, Role};
use ferry_types::{Error, OrgId, Reason, Result, SessionId, UnixMillis, UserId};

use crate::directory::Directory;

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
    pub(crate) kid: u32,
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
