//! Another mail to prove the address by.

use ferry_types::Result;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    identity::{
        accounts::Accounts, passwords::request_reset::too_many_wait, users::email_of,
        verification::VerificationMail,
    },
    origin::Origin,
};

/// Mails the caller a code that proves the address. One who has proven it gets none.
pub struct RequestVerification<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RequestVerification<'_> {
    /// # Errors
    /// The hub sends no mail; rate limit; too many mails wait.
    pub async fn run(self, accounts: &Accounts) -> Result<()> {
        let Self { caller, origin } = self;
        let (db, now, user_id) = (&accounts.db, accounts.db.now(), caller.user_id);
        db.outbox().require()?;
        let email = email_of(db, caller)?;
        if db.directory().user(user_id).is_some_and(|user| user.email_verified) {
            return Ok(());
        }
        let (asking, from, org_id) = (VerificationMail::new(accounts)?, origin.clone(), caller.org_id);
        asking.charge(now, &email)?;
        let has_room = db
            .write_by(caller, move |transaction| {
                let (connection, target) = (transaction.connection(), user_id.to_string());
                let mut row = AuditRow::ok(now, &from, Who::User(user_id), "email.request", &target);
                row.org_id = Some(org_id);
                row.insert(connection)?;
                asking.queue(connection, now, user_id, &email)
            })
            .await?;
        db.outbox().wake();
        if has_room { Ok(()) } else { Err(too_many_wait()) }
    }
}
