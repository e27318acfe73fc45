//! A mail is put into the outbox, in the transaction that causes it.

use std::sync::Arc;

use ferry_auth::{
    KeyRing,
    sealing::{self, NONCE_BYTES},
};
use ferry_types::{Error, Reason, Result, UnixMillis, UserId};
use rusqlite::Connection;
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    directory::shared::SharedDirectory,
    mail::{MailKind, WAITING_MAX, WAITING_PER_ADDRESS_MAX},
    random,
};

/// A mail that is about to wait.
pub(crate) struct MailTo<'a> {
    pub(crate) kind: MailKind,
    pub(crate) address: &'a str,
    /// The address as accounts are told apart.
    pub(crate) address_key: &'a str,
    pub(crate) user_id: Option<UserId>,
    pub(crate) code: Option<&'a str>,
    /// What else it says.
    pub(crate) words: &'a [(&'static str, String)],
}

/// Where mails wait. Cheap to clone: it goes into transactions.
#[derive(Clone)]
pub(crate) struct Outbox {
    /// Whether the hub sends mail.
    is_on: bool,
    state: Arc<SharedDirectory>,
    /// Wakes whoever sends.
    wake: Arc<Notify>,
}

impl Outbox {
    pub(crate) fn new(is_on: bool, state: Arc<SharedDirectory>) -> Self {
        Self { is_on, state, wake: Arc::default() }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// # Errors
    /// When the hub sends no mail.
    pub(crate) fn require(&self) -> Result<()> {
        if self.is_on {
            return Ok(());
        }
        let message =
            "this hub sends no mail: ask its operator, who can make a code that sets a new password";
        Err(Error::new(Reason::FailedPrecondition, message))
    }

    /// After the commit: there is something to send.
    pub(crate) fn wake(&self) {
        if self.is_on {
            self.wake.notify_one();
        }
    }

    /// Resolves when something was put into the outbox since the last time.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Puts a mail into the outbox. False if the hub sends none, or too many wait: what causes a mail never fails by it.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub(crate) fn queue(
        &self,
        connection: &Connection,
        now: UnixMillis,
        mail: &MailTo<'_>,
    ) -> ferry_sqlite::Result<bool> {
        Ok(self.is_on && self.put(connection, now, mail)? == Room::Left)
    }

    /// The same; false only if too many wait of all. Whether those of one address do tells whether the hub sends there, and
    /// so whether there is such an account: then nothing is put, and nothing said.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub(crate) fn queue_or_full(
        &self,
        connection: &Connection,
        now: UnixMillis,
        mail: &MailTo<'_>,
    ) -> ferry_sqlite::Result<bool> {
        Ok(self.put(connection, now, mail)? != Room::None)
    }

    fn put(&self, connection: &Connection, now: UnixMillis, mail: &MailTo<'_>) -> ferry_sqlite::Result<Room> {
        let room = Room::of(connection, mail.address_key)?;
        if room == Room::Left {
            insert(connection, &self.state.keys(), now, mail)?;
        } else {
            metrics::counter!("ferry_mail_given_up_total", "reason" => "full").increment(1);
        }
        Ok(room)
    }
}

/// Whether one more mail may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Left,
    /// Too many wait for its address.
    NoneForAddress,
    /// Too many wait of all.
    None,
}

impl Room {
    /// For a mail to this address.
    fn of(connection: &Connection, address_key: &str) -> ferry_sqlite::Result<Self> {
        let sql = "SELECT (SELECT count(*) FROM outbox),
                          (SELECT count(*) FROM outbox WHERE address_key = ?1)";
        let (all, of_address): (usize, usize) =
            connection.prepare_cached(sql)?.query_row([address_key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(match (all < WAITING_MAX, of_address < WAITING_PER_ADDRESS_MAX) {
            (false, _) => Self::None,
            (true, false) => Self::NoneForAddress,
            (true, true) => Self::Left,
        })
    }
}

fn insert(
    connection: &Connection,
    ring: &KeyRing,
    now: UnixMillis,
    mail: &MailTo<'_>,
) -> ferry_sqlite::Result<()> {
    let nonce = random::bytes::<NONCE_BYTES>()?;
    let words: serde_json::Map<_, _> =
        mail.words.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
    let text = json!({ "code": mail.code, "words": words }).to_string();
    let sealed =
        sealing::seal(ring.signing(), &context(mail.kind.as_str(), mail.address), nonce, text.as_bytes());
    connection
        .prepare_cached(
            "INSERT INTO outbox(kind, address, address_key, user_id, sealed, created, due)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?
        .execute(rusqlite::params![
            mail.kind.as_str(),
            mail.address,
            mail.address_key,
            mail.user_id.map(|id| id.to_string()),
            sealed,
            now.0,
        ])?;
    Ok(())
}

/// What the sealed part of a row is: of this kind and for this address, and of no other.
pub(super) fn context(kind: &str, address: &str) -> String {
    format!("mail {kind} {address}")
}
