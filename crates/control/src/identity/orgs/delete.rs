//! The end of a shared organisation.

use ferry_types::{Error, Reason, Result};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin, resolve::resolve_org},
    identity::{members, orgs::bury},
    origin::Origin,
};

/// Deletes a shared organisation that has no databases left; memberships and invitations end.
pub struct DeleteOrg<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl DeleteOrg<'_> {
    /// # Errors
    /// Unknown organisation, role below admin; failed precondition for a personal one and while it has databases.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, org, origin } = self;
        let (id, _) = resolve_org(db, caller, org)?;
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_non_admin(connection, &by, id)?;
            let (name, personal, databases): (String, bool, u64) = connection
                .prepare_cached(
                    "SELECT name, personal, (SELECT count(*) FROM databases
                                             WHERE org_id = organizations.id AND deleted IS NULL)
                     FROM organizations WHERE id = ?1",
                )?
                .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let refuse = |message: String| Err(Error::new(Reason::FailedPrecondition, message).into());
            if personal {
                return refuse("a personal organisation ends with the account of its user".to_owned());
            }
            if databases > 0 {
                return refuse(format!("the organisation has {databases} databases: delete them first"));
            }
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "org.delete", &name);
            row.org_id = Some(id);
            // Whoever was its admin may read its trail as long as this row is kept.
            row.detail = json!({ "admins": members::admins(connection, id)? });
            row.insert(connection)?;
            bury(transaction, id, now).map(drop)
        })
        .await
    }
}
