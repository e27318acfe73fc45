//! A user is locked out, or let in again.

use ferry_types::Result;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    credentials::recheck::refuse_demoted,
    identity::users::{end_credentials, find_user, user_not_found},
    origin::Origin,
};

/// Locks a user out and ends all its credentials, or lets it in again.
pub struct DisableUser<'a> {
    /// Id or e-mail of the user.
    pub user: &'a str,
    /// Whether the user is locked out.
    pub disabled: bool,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl DisableUser<'_> {
    /// # Errors
    /// `user not found`; a caller who operates the hub no longer.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { user, disabled, origin } = self;
        let (user, origin, now) = (user.to_owned(), origin.clone(), db.now());
        db.write(move |transaction| {
            refuse_demoted(transaction.connection(), &origin)?;
            let user_id = find_user(transaction.connection(), &user)?.ok_or_else(user_not_found)?;
            end_credentials(transaction, user_id, now, Some(disabled))?;
            let action = if disabled { "user.disable" } else { "user.enable" };
            let target = user_id.to_string();
            AuditRow::ok(now, &origin, Who::Operator, action, &target).insert(transaction.connection())
        })
        .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "user").increment(1);
        Ok(())
    }
}
