//! Answers to appends that carried an `Idempotency-Key`, so that a repeated request appends nothing (EVT-12).

use super::schema::Later;
use crate::sql::Sql;

/// How long a key is remembered.
pub const KEEP_MS: i64 = 24 * 3600 * 1000;
/// Longest key, bytes.
pub const KEY_MAX_BYTES: usize = 255;
/// Keys beyond their time that one append clears away.
const EXPIRE_ROWS: i64 = 100;

/// A request that may have been made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The caller's key.
    pub key: Box<str>,
    /// Digest of the request, by which another one under the same key is noticed.
    pub body_hash: [u8; 32],
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is new.
    New,
    /// The same request was answered so.
    Answered(Box<str>),
    /// Another request used it.
    Reused,
}

/// What is known of `keyed` at `now` (RFC 3339).
///
/// # Errors
/// What storage reports.
pub fn find<S: Sql>(sql: &S, store_id: &str, keyed: &Keyed, now: &str) -> Result<Known, S::Error> {
    if !Later::Keys.exists(sql)? {
        return Ok(Known::New);
    }
    let text = "SELECT body_hash, response FROM _ferry_event_idem
                WHERE store_id = ?1 AND key = ?2 AND expires_at > ?3";
    let known = sql.first(text, &[store_id.into(), (*keyed.key).into(), now.into()], |row| {
        Ok(if row.blob(0)? == keyed.body_hash { Known::Answered(row.text(1)?.into()) } else { Known::Reused })
    })?;
    Ok(known.unwrap_or(Known::New))
}

/// Remembers the answer until `expires_at`, in the transaction of what it answers, and clears old keys away.
///
/// # Errors
/// What storage reports.
pub fn remember<S: Sql>(
    sql: &S,
    store_id: &str,
    keyed: &Keyed,
    response: &str,
    (now, expires_at): (&str, &str),
) -> Result<(), S::Error> {
    Later::Keys.make(sql)?;
    let old = "DELETE FROM _ferry_event_idem WHERE rowid IN
                   (SELECT rowid FROM _ferry_event_idem WHERE expires_at <= ?1 LIMIT ?2)";
    sql.execute(old, &[now.into(), EXPIRE_ROWS.into()])?;
    let text = "INSERT OR REPLACE INTO _ferry_event_idem(key, store_id, body_hash, response, expires_at)
                VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = [
        (*keyed.key).into(),
        store_id.into(),
        keyed.body_hash[..].into(),
        response.into(),
        expires_at.into(),
    ];
    sql.execute(text, &values).map(drop)
}

/// Forgets the answers that tell of events behind the end of the log, `head`: these are lost, and a retry must append
/// them.
///
/// # Errors
/// What storage reports.
pub fn cap<S: Sql>(sql: &S, store_id: &str, head: i64) -> Result<(), S::Error> {
    if !Later::Keys.exists(sql)? {
        return Ok(());
    }
    let text = "DELETE FROM _ferry_event_idem
                WHERE store_id = ?1 AND json_extract(response, '$.lastSeqNum') > ?2";
    sql.execute(text, &[store_id.into(), head.into()]).map(drop)
}

/// Forgets all keys of a store.
///
/// # Errors
/// What storage reports.
pub fn forget<S: Sql>(sql: &S, store_id: &str) -> Result<(), S::Error> {
    if !Later::Keys.exists(sql)? {
        return Ok(());
    }
    sql.execute("DELETE FROM _ferry_event_idem WHERE store_id = ?1", &[store_id.into()]).map(drop)
}
