//! The owner of an account is told by mail that what opens it was changed (OPR-92).

use std::sync::Arc;

use ferry_types::{UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    credentials::throttling::{Limiter, ThrottleKey},
    identity::{accounts::Accounts, email::email_hash},
    mail::{MailKind, MailTo, Outbox},
    origin::Origin,
};

/// Puts mails to owners into the outbox, in the transaction of what they tell.
pub(crate) struct OwnerMail {
    outbox: Outbox,
    rates: Arc<Limiter>,
}

impl OwnerMail {
    pub(crate) fn new(accounts: &Accounts) -> Self {
        Self { outbox: accounts.db.outbox().clone(), rates: Arc::clone(&accounts.rates) }
    }

    /// Tells the owner of the account that `what` was changed. An address gets so many such mails in an hour, as of every kind: who
    /// changes a password to and fro fills nobody's mailbox, whose address the account may not even be.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub(crate) fn tell(
        &self,
        connection: &Connection,
        now: UnixMillis,
        user_id: UserId,
        what: &str,
        origin: &Origin,
    ) -> ferry_sqlite::Result<()> {
        if !self.outbox.is_on() {
            return Ok(());
        }
        let sql = "SELECT email, email_key FROM users WHERE id = ?1";
        let found = connection
            .prepare_cached(sql)?
            .query_row([user_id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((email, key)): Option<(String, String)> = found else { return Ok(()) };
        if self.rates.charge(ThrottleKey::MailTo(email_hash(&email), MailKind::Changed), now).is_err() {
            return Ok(());
        }
        let mail = MailTo {
            kind: MailKind::Changed,
            address: &email,
            address_key: &key,
            user_id: Some(user_id),
            code: None,
            words: &[("what", what.to_owned()), ("ip", origin.ip.to_string())],
        };
        self.outbox.queue(connection, now, &mail)?;
        Ok(())
    }
}
