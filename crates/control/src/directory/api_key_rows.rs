//! API keys in `control.db`: the table `api_keys`, read and written.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use ferry_auth::api_key::KeyKind;
use ferry_sqlite::Result;
use ferry_types::{
    ApiKeyId, DatabaseId, Error, Model, ModelSet, Op, OpSet, Reason, UnixMillis, limits::API_KEY_PER_MINUTE,
};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use crate::directory::{
    api_keys::ApiKeyEntry,
    columns::{parsed, words},
};

/// Live keys of databases that exist, in the order of [`entry`]; `?1` is now.
pub(crate) const LIVE: &str = "
    SELECT api_keys.id, database_id, api_keys.kind, label, hash, prefix, models, ops, limits, api_keys.created,
           expires, last_used
    FROM api_keys JOIN databases ON databases.id = database_id AND databases.deleted IS NULL
    WHERE revoked IS NULL AND (expires IS NULL OR expires > ?1)";

/// A key as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// Its id.
    pub id: ApiKeyId,
    /// Who may know it.
    pub kind: KeyKind,
    /// Its name.
    pub label: String,
    /// The first characters of its value.
    pub prefix: String,
    /// The models it reaches.
    pub models: ModelSet,
    /// What it may do.
    pub ops: OpSet,
    /// Origins, functions and rate.
    pub limits: ApiKeyLimits,
    /// When it was made.
    pub created: UnixMillis,
    /// When it ends.
    pub expires: Option<UnixMillis>,
    /// When it was used last, to the minute.
    pub last_used: Option<UnixMillis>,
}

/// The column `limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyLimits {
    /// Where web pages that use it are served from; empty: anywhere.
    #[serde(default)]
    pub origins: Vec<String>,
    /// The functions it may call; empty: all.
    #[serde(default)]
    pub functions: Vec<String>,
    /// Requests per minute; 0: the default.
    #[serde(default)]
    pub per_minute: u32,
    /// The key that a rotation made in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeyRow {
    pub(crate) info: ApiKeyInfo,
    pub(crate) database_id: DatabaseId,
    pub(crate) digest: [u8; 32],
}

impl ApiKeyRow {
    pub(crate) fn insert(&self, connection: &Connection) -> Result<()> {
        let Self { info, database_id, digest } = self;
        let taken = connection
            .prepare_cached("SELECT 1 FROM api_keys WHERE hash = ?1")?
            .query_row([digest], |_| Ok(()))
            .optional()?;
        if taken.is_some() {
            let message = "this value is or was an API key of the hub: take another";
            return Err(Error::new(Reason::AlreadyExists, message).into());
        }
        connection
            .prepare_cached(
                "INSERT INTO api_keys
                     (id, database_id, kind, label, hash, prefix, models, ops, limits, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(rusqlite::params![
                info.id.to_string(),
                database_id.to_string(),
                info.kind.as_str(),
                info.label,
                digest,
                info.prefix,
                info.models.to_string(),
                info.ops.to_string(),
                limits_text(&info.limits),
                info.created.0,
                info.expires.map(|at| at.0),
            ])?;
        Ok(())
    }

    /// What requests need of it.
    pub(crate) fn entry(&self) -> ApiKeyEntry {
        let info = &self.info;
        let limits = &info.limits;
        ApiKeyEntry {
            id: info.id,
            digest: self.digest,
            database_id: self.database_id,
            kind: info.kind,
            models: info.models,
            ops: info.ops,
            origins: limits.origins.clone().into(),
            functions: limits.functions.clone().into(),
            per_minute: if limits.per_minute == 0 { API_KEY_PER_MINUTE } else { limits.per_minute },
            expires: info.expires,
            last_used: Arc::new(AtomicI64::new(info.last_used.map_or(0, |at| at.0))),
        }
    }
}

/// The column `limits`, written.
pub(crate) fn limits_text(limits: &ApiKeyLimits) -> String {
    serde_json::to_string(limits).expect("BUG: limits are lists and numbers")
}

/// A row of [`LIVE`].
///
/// # Errors
/// When the file is damaged.
pub(crate) fn row(row: &Row<'_>) -> Result<ApiKeyRow> {
    let text: String = row.get(8)?;
    let limits = serde_json::from_str(&text)
        .map_err(|_| ferry_sqlite::Error::Damaged(format!("limits of an API key: {text}")))?;
    let kind = row.get::<_, String>(2)?;
    let kind: KeyKind =
        kind.parse().map_err(|_| ferry_sqlite::Error::Damaged(format!("kind of an API key: {kind}")))?;
    Ok(ApiKeyRow {
        info: ApiKeyInfo {
            id: parsed(row, 0)?,
            kind,
            label: row.get(3)?,
            prefix: row.get(5)?,
            models: words::<Model, ModelSet>(row, 6)?,
            ops: words::<Op, OpSet>(row, 7)?,
            limits,
            created: UnixMillis(row.get(9)?),
            expires: row.get::<_, Option<i64>>(10)?.map(UnixMillis),
            last_used: row.get::<_, Option<i64>>(11)?.map(UnixMillis),
        },
        database_id: parsed(row, 1)?,
        digest: row.get(4)?,
    })
}

/// The same, as memory keeps it.
///
/// # Errors
/// When the file is damaged.
pub(crate) fn entry(live: &Row<'_>) -> Result<ApiKeyEntry> {
    Ok(row(live)?.entry())
}

/// Live keys of a database behind the id `after`, at most `wanted`.
pub(crate) fn of_database(
    connection: &Connection,
    database_id: DatabaseId,
    after: &str,
    now: UnixMillis,
    wanted: usize,
) -> Result<Vec<ApiKeyRow>> {
    let sql = format!("{LIVE} AND database_id = ?2 AND api_keys.id > ?3 ORDER BY api_keys.id LIMIT ?4");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params![now.0, database_id.to_string(), after, wanted])?;
    let mut found = Vec::new();
    while let Some(next) = rows.next()? {
        found.push(row(next)?);
    }
    Ok(found)
}

/// How many live keys a database has.
pub(crate) fn count(connection: &Connection, database_id: DatabaseId, now: UnixMillis) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM ({LIVE} AND database_id = ?2)");
    let params = rusqlite::params![now.0, database_id.to_string()];
    Ok(connection.prepare_cached(&sql)?.query_row(params, |row| row.get(0))?)
}

/// A live key.
pub(crate) fn find(connection: &Connection, id: ApiKeyId, now: UnixMillis) -> Result<Option<ApiKeyRow>> {
    let mut statement = connection.prepare_cached(&format!("{LIVE} AND api_keys.id = ?2"))?;
    let mut rows = statement.query(rusqlite::params![now.0, id.to_string()])?;
    rows.next()?.map(row).transpose()
}

/// Notes when keys were used last.
pub(crate) fn note_used(connection: &Connection, used: &[Arc<ApiKeyEntry>]) -> Result<()> {
    let mut statement = connection.prepare_cached("UPDATE api_keys SET last_used = ?2 WHERE id = ?1")?;
    for entry in used {
        statement
            .execute(rusqlite::params![entry.id.to_string(), entry.last_used.load(Ordering::Relaxed)])?;
    }
    Ok(())
}
