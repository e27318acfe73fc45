//! A new password by whoever knows the old one.

use ferry_auth::password;
use ferry_types::{Result, id::IdentityId};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    credentials::recheck::refuse_ended,
    identity::{
        accounts::Accounts,
        owner_mail::OwnerMail,
        password_proof::prove_password,
        passwords::{PASSWORD, store},
        users::{email_of, end_credentials},
    },
    origin::Origin,
};

/// Gives the caller another password. Every session and sync token of the caller ends, this session too,
/// unless `keep_other_sessions`.
pub struct ChangePassword<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The password until now.
    pub current: &'a str,
    /// The new password.
    pub new: &'a str,
    /// Whether other sessions and tokens live on.
    pub keep_other_sessions: bool,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl ChangePassword<'_> {
    /// # Errors
    /// `invalid credentials` for a wrong `current`; a bad new password; rate limit; `BUSY`.
    pub async fn run(self, accounts: &Accounts) -> Result<()> {
        let Self { caller, current, new, keep_other_sessions, origin } = self;
        password::check_new(new)?;
        prove_password(accounts, &email_of(&accounts.db, caller)?, current, origin).await?;
        let secret = accounts.hash_password(new).await?;
        let (by, origin, now) = (caller.clone(), origin.clone(), accounts.db.now());
        let owner = OwnerMail::new(accounts);
        let identity_id = IdentityId::from_uuid(accounts.db.next_id(now));
        accounts
            .db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_ended(connection, by.session_id, by.user_epoch)?;
                store(connection, identity_id, by.user_id, &secret)?;
                let target = by.user_id.to_string();
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "password.change", &target);
                row.org_id = Some(by.org_id);
                row.detail = json!({ "keep_other_sessions": keep_other_sessions });
                row.insert(connection)?;
                owner.tell(connection, now, by.user_id, PASSWORD, &origin)?;
                if !keep_other_sessions {
                    end_credentials(transaction, by.user_id, now, None)?;
                }
                Ok(())
            })
            .await?;
        accounts.db.outbox().wake();
        Ok(())
    }
}
