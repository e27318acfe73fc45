//! What `control.db` keeps for the functions of a database: whose JWTs they take, its own keys, its secrets. Keys and
//! secrets are sealed (functions.md, 4).

use std::{collections::HashMap, fmt};

use ferry_auth::FunctionAuth;
use ferry_sqlite::Result;
use ferry_types::DatabaseId;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::directory::columns::{damaged, parsed};

/// Sealed bytes, which are not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed(pub(crate) Box<[u8]>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A key of the database's own.
#[derive(Clone, Debug)]
pub(crate) struct FunctionKeyRow {
    pub(crate) kid: Box<str>,
    pub(crate) private: Sealed,
    /// JSON.
    pub(crate) public_jwk: Box<str>,
    /// It signs; the others verify until their last token expires.
    pub(crate) is_active: bool,
    /// The longest life of a token that it signed.
    pub(crate) longest_seconds: i64,
    pub(crate) verifies_until_unix: Option<i64>,
}

/// A secret that functions are given.
#[derive(Clone, Debug)]
pub(crate) struct FunctionSecretRow {
    pub(crate) name: Box<str>,
    pub(crate) value: Sealed,
}

/// All of one database.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionRows {
    /// `None`: it was never set.
    pub(crate) auth: Option<FunctionAuth>,
    /// In the order in which they were made.
    pub(crate) keys: Vec<FunctionKeyRow>,
    /// By name.
    pub(crate) secrets: Vec<FunctionSecretRow>,
}

impl FunctionRows {
    /// The key that signs.
    pub(crate) fn active_key(&self) -> Option<&FunctionKeyRow> {
        self.keys.iter().find(|key| key.is_active)
    }

    /// The key called `kid`.
    pub(crate) fn key(&self, kid: &str) -> Option<&FunctionKeyRow> {
        self.keys.iter().find(|key| *key.kid == *kid)
    }
}

const KEYS: &str =
    "SELECT kid, private_sealed, public_jwk, state = 'active', longest_seconds, verifies_until,
                           database_id FROM fn_signing_keys";
const SECRETS: &str = "SELECT name, sealed, database_id FROM fn_secrets";

fn auth(row: &Row<'_>, place: usize) -> Result<Option<FunctionAuth>> {
    let stored = row.get_ref(place)?.as_str_or_null().map_err(|_| damaged(row, place))?;
    stored.map(str::parse).transpose().map_err(|_| damaged(row, place))
}

fn key(row: &Row<'_>) -> Result<FunctionKeyRow> {
    Ok(FunctionKeyRow {
        kid: row.get(0)?,
        private: Sealed(row.get(1)?),
        public_jwk: row.get(2)?,
        is_active: row.get(3)?,
        longest_seconds: row.get(4)?,
        verifies_until_unix: row.get(5)?,
    })
}

fn secret(row: &Row<'_>) -> Result<FunctionSecretRow> {
    Ok(FunctionSecretRow { name: row.get(0)?, value: Sealed(row.get(1)?) })
}

/// The rows of one database.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub(crate) fn load(connection: &Connection, id: DatabaseId) -> Result<FunctionRows> {
    let id = id.to_string();
    let mut rows = FunctionRows::default();
    let settings = "SELECT auth FROM fn_settings WHERE database_id = ?1";
    let stored = connection.prepare_cached(settings)?.query_row([&id], |row| Ok(auth(row, 0))).optional()?;
    rows.auth = stored.transpose()?.flatten();
    let mut statement =
        connection.prepare_cached(&format!("{KEYS} WHERE database_id = ?1 ORDER BY created"))?;
    let mut keys = statement.query([&id])?;
    while let Some(row) = keys.next()? {
        rows.keys.push(key(row)?);
    }
    let mut statement =
        connection.prepare_cached(&format!("{SECRETS} WHERE database_id = ?1 ORDER BY name"))?;
    let mut secrets = statement.query([&id])?;
    while let Some(row) = secrets.next()? {
        rows.secrets.push(secret(row)?);
    }
    Ok(rows)
}

/// The rows of all databases.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub(crate) fn load_all(connection: &Connection) -> Result<HashMap<DatabaseId, FunctionRows>> {
    let mut all = HashMap::<DatabaseId, FunctionRows>::new();
    let mut statement = connection.prepare("SELECT database_id, auth FROM fn_settings")?;
    let mut settings = statement.query([])?;
    while let Some(row) = settings.next()? {
        all.entry(parsed(row, 0)?).or_default().auth = auth(row, 1)?;
    }
    let mut statement = connection.prepare(&format!("{KEYS} ORDER BY created"))?;
    let mut keys = statement.query([])?;
    while let Some(row) = keys.next()? {
        all.entry(parsed(row, 6)?).or_default().keys.push(key(row)?);
    }
    let mut statement = connection.prepare(&format!("{SECRETS} ORDER BY name"))?;
    let mut secrets = statement.query([])?;
    while let Some(row) = secrets.next()? {
        all.entry(parsed(row, 2)?).or_default().secrets.push(secret(row)?);
    }
    Ok(all)
}

/// What a private key is sealed as.
pub(crate) fn key_context(id: &str, kid: &str) -> String {
    format!("functions key {id} {kid}")
}

/// What a secret is sealed as.
pub(crate) fn secret_context(id: &str, name: &str) -> String {
    format!("functions secret {id} {name}")
}
