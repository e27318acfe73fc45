//! All sessions of a user are ended (TOK-12).

use ferry_types::Result;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    identity::users::end_credentials,
    origin::Origin,
};

/// Ends every session of the caller, this one too, and every sync token minted from them (TOK-12).
pub struct RevokeAllSessions<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RevokeAllSessions<'_> {
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, origin } = self;
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            end_credentials(transaction, by.user_id, now, None)?;
            let target = by.user_id.to_string();
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "session.revoke_all", &target);
            row.org_id = Some(by.org_id);
            row.insert(transaction.connection())
        })
        .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "user").increment(1);
        Ok(())
    }
}
