//! A user may operate the hub, or may no longer (OPR-51).

use ferry_types::{Error, Reason, Result};

use crate::{
    audit::{AuditRow, Who},
    credentials::recheck::refuse_demoted,
    directory::effects::ControlEffect,
    identity::{
        accounts::Accounts,
        owner_mail::OwnerMail,
        users::{find_user, user_not_found},
    },
    origin::Origin,
};

/// What the owner of an account is told.
const OPERATES: &str = "It may operate the hub";

/// Lets a user operate the hub, or no longer. It holds from the next request on. Who is it already, or is none, stays so, and nothing is
/// said of it.
pub struct SetUserOperator<'a> {
    /// Id or e-mail of the user.
    pub user: &'a str,
    /// Whether the user may.
    pub operator: bool,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl SetUserOperator<'_> {
    /// # Errors
    /// `user not found`; a caller who operates the hub no longer; `EMAIL_UNVERIFIED` where the hub sends mail and nobody has proven that the
    /// address is theirs: whoever signed up with it may be anybody.
    pub async fn run(self, accounts: &Accounts) -> Result<()> {
        let Self { user, operator, origin } = self;
        let db = &accounts.db;
        let (user, origin, now) = (user.to_owned(), origin.clone(), db.now());
        let (owner, proves_addresses) = (OwnerMail::new(accounts), db.outbox().is_on());
        db.write(move |transaction| {
            let connection = transaction.connection();
            refuse_demoted(connection, &origin)?;
            let user_id = find_user(connection, &user)?.ok_or_else(user_not_found)?;
            let target = user_id.to_string();
            let (operates, is_verified): (bool, bool) = connection
                .prepare_cached("SELECT operator, email_verified FROM users WHERE id = ?1")?
                .query_row([&target], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if operates == operator {
                return Ok(());
            }
            if operator && proves_addresses && !is_verified {
                return Err(unproven().into());
            }
            connection
                .prepare_cached("UPDATE users SET operator = ?2 WHERE id = ?1")?
                .execute(rusqlite::params![target, operator])?;
            let action = if operator { "user.operator_on" } else { "user.operator_off" };
            AuditRow::ok(now, &origin, Who::Operator, action, &target).insert(connection)?;
            if operator {
                owner.tell(connection, now, user_id, OPERATES, &origin)?;
            }
            transaction.effect(ControlEffect::OperatorChanged { user_id, operator });
            Ok(())
        })
        .await?;
        db.outbox().wake();
        Ok(())
    }
}

fn unproven() -> Error {
    let message = "nobody has proven that this address is theirs, so whoever signed up with it may be somebody else: have its \
                   owner open the link of the mail that the hub sent (another one: ferry account verify, or the dashboard), \
                   then make the account an operator";
    Error::new(Reason::EmailUnverified, message)
}
