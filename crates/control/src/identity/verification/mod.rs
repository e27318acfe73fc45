//! Whether the address of an account is its owner's: by a code that is mailed there (OPR-92).

pub(crate) mod request;
pub(crate) mod verify;

use std::sync::Arc;

use ferry_types::{Result, UnixMillis, UserId};
use rusqlite::Connection;

use crate::{
    credentials::throttling::{Limiter, ThrottleKey},
    identity::{
        accounts::Accounts,
        codes::new_code,
        email::{email_hash, email_key},
    },
    mail::{MailKind, MailTo, Outbox},
};

/// A mail that asks a new account to prove its address: drawn before the transaction that makes the account.
pub(crate) struct VerificationMail {
    code: String,
    outbox: Outbox,
    rates: Arc<Limiter>,
}

impl VerificationMail {
    /// # Errors
    /// When the operating system has no random bytes.
    pub(crate) fn new(accounts: &Accounts) -> Result<Self> {
        let (outbox, rates) = (accounts.db.outbox().clone(), Arc::clone(&accounts.rates));
        Ok(Self { code: new_code()?, outbox, rates })
    }

    /// Counts a mail to the address, whichever account it is for: who makes accounts of it again and again fills nobody's mailbox.
    ///
    /// # Errors
    /// So many went there.
    pub(crate) fn charge(&self, now: UnixMillis, email: &str) -> Result<()> {
        self.rates.charge(ThrottleKey::MailTo(email_hash(email), MailKind::Verify), now)
    }

    /// Puts the mail of a new account into the outbox. Where so many went to the address that it would be a nuisance, the account is
    /// made without: its owner asks for one later.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub(crate) fn queue_unless_many(
        &self,
        connection: &Connection,
        now: UnixMillis,
        user_id: UserId,
        email: &str,
    ) -> ferry_sqlite::Result<()> {
        if self.outbox.is_on() && self.charge(now, email).is_ok() {
            self.queue(connection, now, user_id, email)?;
        }
        Ok(())
    }

    /// Puts the mail into the outbox; false if none goes there.
    pub(crate) fn queue(
        &self,
        connection: &Connection,
        now: UnixMillis,
        user_id: UserId,
        email: &str,
    ) -> ferry_sqlite::Result<bool> {
        let mail = MailTo {
            kind: MailKind::Verify,
            address: email,
            address_key: &email_key(email),
            user_id: Some(user_id),
            code: Some(&self.code),
            words: &[],
        };
        self.outbox.queue(connection, now, &mail)
    }
}

/// Voids the codes that prove the user's address.
pub(crate) fn forget_verifications(connection: &Connection, user_id: &str) -> ferry_sqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM email_verifications WHERE json_extract(payload, '$.user_id') = ?1")?
        .execute([user_id])?;
    Ok(())
}

/// The user has proven the address, by a code that was mailed there.
pub(crate) fn note_verified(connection: &Connection, user_id: UserId) -> ferry_sqlite::Result<()> {
    let id = user_id.to_string();
    connection.prepare_cached("UPDATE users SET email_verified = 1 WHERE id = ?1")?.execute([&id])?;
    forget_verifications(connection, &id)
}
