//! Mails whose time has come are handed to whoever sends them.

use std::time::Duration;

use ferry_auth::{KeyRing, sealing};
use ferry_types::{Result, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Deserialize;
use serde_json::json;

use crate::{
    control_db::ControlDb,
    directory::columns::parsed,
    identity::codes::{RESET_TTL_SECONDS, code_hash},
    mail::{GIVE_UP_MS, MailKind, VERIFY_TTL_SECONDS, WaitingMail, queue::context, settle::GivenUp},
};

/// The first wait after a try, and the longest (OPR-91). The first is far longer than a try may take: whoever claimed a mail
/// is done with it before another may.
const RETRY_FIRST_MS: i64 = 60_000;
const RETRY_LONGEST_MS: i64 = 3600 * 1000;

/// Rows that are looked at for one that is to be sent.
const LOOKED_AT: usize = 8;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailBacklog {
    /// How many.
    pub waiting: u64,
    /// Since when the oldest does, Unix milliseconds.
    pub oldest_unix_ms: Option<i64>,
    /// After how long something is to be done; `None`: nothing waits.
    pub due_in: Option<Duration>,
}

/// Looks at what waits.
pub struct LookAtOutbox;

impl LookAtOutbox {
    /// # Errors
    /// When `control.db` cannot be read.
    pub async fn run(self, db: &ControlDb) -> Result<MailBacklog> {
        let now = db.now();
        db.read(move |connection| {
            let sql = "SELECT count(*), min(created), min(due) FROM outbox";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| {
                let due: Option<i64> = row.get(2)?;
                Ok(MailBacklog {
                    waiting: row.get(0)?,
                    oldest_unix_ms: row.get(1)?,
                    due_in: due.map(|due| Duration::from_millis(u64::try_from(due - now.0).unwrap_or(0))),
                })
            })?)
        })
        .await
    }
}

/// Takes a mail that is due, new ones first: it is tried again later unless it is settled before, also by another process
/// after a crash. What nobody needs any more goes.
pub struct ClaimMail;

/// A row as it lies.
struct Row {
    id: i64,
    kind: MailKind,
    address: String,
    address_key: String,
    user_id: Option<UserId>,
    sealed: Vec<u8>,
    created: i64,
    tries: u32,
}

impl Row {
    /// `None`: no signing key opens it.
    fn opened(&self, ring: &KeyRing) -> Option<Sealed> {
        let text = sealing::open(ring, &context(self.kind.as_str(), &self.address), &self.sealed).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// What is sealed of it.
#[derive(Deserialize)]
struct Sealed {
    code: Option<String>,
    words: std::collections::BTreeMap<String, String>,
}

impl ClaimMail {
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<Option<WaitingMail>> {
        let (now, state) = (db.now(), std::sync::Arc::clone(db.state()));
        db.write(move |transaction| {
            let (connection, ring) = (transaction.connection(), state.keys());
            for row in due(connection, now)? {
                if row.created + GIVE_UP_MS <= now.0 {
                    let code = row.opened(&ring).and_then(|sealed| sealed.code);
                    let given_up = GivenUp {
                        id: row.id,
                        kind: row.kind,
                        address: &row.address,
                        user_id: row.user_id,
                        code: code.as_deref(),
                        tries: row.tries,
                        why: "late",
                        status: None,
                    };
                    given_up.note(connection, now)?;
                } else if let Some(mail) = prepared(connection, &ring, now, &row)? {
                    let wait = (RETRY_FIRST_MS << row.tries.min(6)).min(RETRY_LONGEST_MS);
                    connection
                        .prepare_cached("UPDATE outbox SET tries = tries + 1, due = ?2 WHERE id = ?1")?
                        .execute([row.id, now.0 + wait])?;
                    return Ok(Some(mail));
                } else {
                    connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([row.id])?;
                }
            }
            Ok(None)
        })
        .await
    }
}

fn due(connection: &Connection, now: UnixMillis) -> ferry_sqlite::Result<Vec<Row>> {
    let sql = "SELECT id, kind, address, address_key, user_id, sealed, created, tries FROM outbox
               WHERE due <= ?1 ORDER BY tries, due, id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![now.0, LOOKED_AT])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        let user_id: Option<String> = row.get(4)?;
        found.push(Row {
            id: row.get(0)?,
            kind: MailKind::named(&kind).expect("BUG: only kinds are queued"),
            address: row.get(2)?,
            address_key: row.get(3)?,
            user_id: user_id.map(|_| parsed(row, 4)).transpose()?,
            sealed: row.get(5)?,
            created: row.get(6)?,
            tries: row.get(7)?,
        });
    }
    Ok(found)
}

/// The mail, with the hash of its code stored; `None` where nobody is to get it: there is no such account, what it asks was
/// done, or what it offers was taken back.
fn prepared(
    connection: &Connection,
    ring: &KeyRing,
    now: UnixMillis,
    row: &Row,
) -> ferry_sqlite::Result<Option<WaitingMail>> {
    let Some(Sealed { code, words }) = row.opened(ring) else {
        tracing::warn!(mail = row.id, "a mail that waited is lost: no signing key opens it");
        return Ok(None);
    };
    let mut mail = WaitingMail {
        id: row.id,
        kind: row.kind,
        address: row.address.clone(),
        code,
        words,
        tries: row.tries + 1,
        created_unix_ms: row.created,
        user_id: row.user_id,
    };
    let hash = mail.code.as_deref().map(code_hash);
    let is_meant = match (row.kind, hash) {
        (MailKind::Reset, Some(hash)) => reset(connection, now, row, &hash, &mut mail)?,
        (MailKind::Verify, Some(hash)) => verification(connection, now, &hash, &mut mail)?,
        (MailKind::Invite, Some(hash)) => {
            let sql = "SELECT 1 FROM invitations WHERE secret_hash = ?1 AND expires > ?2";
            let found = connection.prepare_cached(sql)?.query_row(rusqlite::params![hash, now.0], |_| Ok(()));
            found.optional()?.is_some()
        }
        (MailKind::Changed, None) => true,
        _ => false,
    };
    Ok(is_meant.then_some(mail))
}

/// Whether the address is an account's: only here the code begins to work, and goes to the address that the account has,
/// which may be spelt otherwise than what was asked for.
fn reset(
    connection: &Connection,
    now: UnixMillis,
    row: &Row,
    hash: &[u8; 32],
    mail: &mut WaitingMail,
) -> ferry_sqlite::Result<bool> {
    let sql = "SELECT id, email FROM users WHERE email_key = ?1 AND NOT disabled";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([&row.address_key])?;
    let Some(user) = rows.next()? else { return Ok(false) };
    let user_id: UserId = parsed(user, 0)?;
    (mail.user_id, mail.address) = (Some(user_id), user.get(1)?);
    let payload = json!({ "user_id": user_id.to_string(), "mailed": true });
    store(connection, "password_resets", hash, &payload, now.0 + RESET_TTL_SECONDS * 1000)?;
    Ok(true)
}

/// Whether the account is there, and its address still unproven.
fn verification(
    connection: &Connection,
    now: UnixMillis,
    hash: &[u8; 32],
    mail: &mut WaitingMail,
) -> ferry_sqlite::Result<bool> {
    let Some(user_id) = mail.user_id.map(|id| id.to_string()) else { return Ok(false) };
    let sql = "SELECT email FROM users WHERE id = ?1 AND NOT disabled AND NOT email_verified";
    let email: Option<String> =
        connection.prepare_cached(sql)?.query_row([&user_id], |row| row.get(0)).optional()?;
    let Some(email) = email else { return Ok(false) };
    mail.address = email;
    let payload = json!({ "user_id": user_id });
    store(connection, "email_verifications", hash, &payload, now.0 + VERIFY_TTL_SECONDS * 1000)?;
    Ok(true)
}

/// Stores the hash of a code; one that is sent again lives anew.
fn store(
    connection: &Connection,
    table: &'static str,
    hash: &[u8; 32],
    payload: &serde_json::Value,
    expires: i64,
) -> ferry_sqlite::Result<()> {
    let sql = format!("INSERT OR REPLACE INTO {table}(secret_hash, payload, expires) VALUES (?1, ?2, ?3)");
    connection.prepare_cached(&sql)?.execute(rusqlite::params![hash, payload.to_string(), expires])?;
    Ok(())
}
