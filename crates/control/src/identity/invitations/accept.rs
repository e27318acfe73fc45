//! An invitation becomes a membership (ORG-12).

use ferry_types::Result;

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::recheck::refuse_ended,
    identity::{
        codes::code_hash,
        invitations::{bad_code, spend},
        users::email_of,
        whoami::{OrgMembership, membership},
    },
    origin::Origin,
};

/// Makes the caller a member of the organisation that the code invites to.
pub struct AcceptInvitation<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The code.
    pub code: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl AcceptInvitation<'_> {
    /// # Errors
    /// The code does not count; a member already; too many memberships.
    pub async fn run(self, db: &ControlDb) -> Result<OrgMembership> {
        let Self { caller, code, origin } = self;
        let (hash, email) = (code_hash(code), email_of(db, caller)?);
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        let (org_id, role) = db
            .write_by(caller, move |transaction| {
                refuse_ended(transaction.connection(), by.session_id, by.user_epoch)?;
                let spent = spend(transaction, &hash, by.user_id, &email, &origin, now)?;
                Ok(spent.ok_or_else(bad_code)?)
            })
            .await?;
        // It may have been deleted since.
        membership(&db.directory(), org_id, role).ok_or_else(crate::caller::org_not_found)
    }
}
