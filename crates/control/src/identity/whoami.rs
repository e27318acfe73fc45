//! Who a user is, and where it belongs, as it is told itself.

use ferry_auth::Role;
use ferry_types::{Error, OrgId, Reason, Result, SessionId, UserId};

use crate::{caller::Caller, control_db::ControlDb, directory::Directory};

/// What a user is told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whoami {
    /// The user.
    pub user_id: UserId,
    /// The e-mail, as given at signup.
    pub email: String,
    /// Whether its owner proved it.
    pub email_verified: bool,
    /// Whether the user may operate the hub.
    pub operator: bool,
    /// The organisation the session starts in.
    pub org_id: OrgId,
    /// The role there; `None` once the membership is gone.
    pub role: Option<Role>,
    /// Every organisation the user belongs to.
    pub orgs: Vec<OrgMembership>,
    /// The login.
    pub session_id: SessionId,
    /// When it ends, Unix seconds.
    pub session_exp_unix: i64,
}

/// An organisation, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgMembership {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// The member's role.
    pub role: Role,
    /// Whether it came with the user and goes with it.
    pub personal: bool,
}

/// A login that succeeded.
#[derive(Clone, Debug)]
pub struct Session {
    /// The token: a secret.
    pub token: String,
    /// Whose it is.
    pub whoami: Whoami,
}

/// The organisation as the member `role` sees it; `None` if it is gone.
pub(crate) fn membership(directory: &Directory, org_id: OrgId, role: Role) -> Option<OrgMembership> {
    let org = directory.org(org_id)?;
    Some(OrgMembership { id: org_id, name: org.name.to_string(), role, personal: org.personal })
}

pub(crate) fn whoami_of(
    directory: &Directory,
    user_id: UserId,
    org_id: OrgId,
    session_id: SessionId,
    session_exp_unix: i64,
) -> Result<Whoami> {
    let user =
        directory.user(user_id).ok_or_else(|| Error::new(Reason::TokenRevoked, "session token required"))?;
    let orgs = user.memberships.iter().filter_map(|(id, role)| membership(directory, *id, *role));
    Ok(Whoami {
        user_id,
        email: user.email.to_string(),
        email_verified: user.email_verified,
        operator: user.operator,
        org_id,
        role: directory.role(user_id, org_id),
        orgs: orgs.collect(),
        session_id,
        session_exp_unix,
    })
}

/// Who the caller is.
pub struct GetWhoami<'a> {
    /// Who asks.
    pub caller: &'a Caller,
}

impl GetWhoami<'_> {
    /// # Errors
    /// When the user has gone in this moment.
    pub fn run(self, db: &ControlDb) -> Result<Whoami> {
        let Self { caller } = self;
        let directory = db.directory();
        whoami_of(&directory, caller.user_id, caller.org_id, caller.session_id, caller.deadline_unix)
    }
}
