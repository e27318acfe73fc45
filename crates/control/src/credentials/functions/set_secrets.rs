//! Secrets that functions are given in `ctx.env` are set and removed.

use ferry_auth::sealing::{self, NONCE_BYTES};
use ferry_types::{
    DatabaseId, Error, Reason, Result,
    limits::{FUNCTION_SECRET_NAME_MAX_BYTES, FUNCTION_SECRETS_MAX, FUNCTION_SECRETS_MAX_BYTES},
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    control_db::ControlDb,
    credentials::{
        functions::change::{AuditNote, FunctionsChange, change},
        requester::Requester,
    },
    directory::function_rows::secret_context,
    random,
};

/// Bytes that sealing adds to a value.
const SEALED_EXTRA_BYTES: usize = 1 + 4 + NONCE_BYTES + 16;

/// Sets secrets of a database's functions, and removes those without a value. The others stay.
pub struct SetFunctionSecrets<'a> {
    /// Who asks, with the right to administer functions.
    pub by: &'a Requester,
    /// The database.
    pub database_id: DatabaseId,
    /// Names and values; `None`: removed.
    pub secrets: Vec<(String, Option<String>)>,
}

impl SetFunctionSecrets<'_> {
    /// Refuses what could not be set whatever else is stored, for whoever does something else before.
    ///
    /// # Errors
    /// A name that is none; more than all secrets may take.
    pub fn check(&self) -> Result<()> {
        self.secrets.iter().try_for_each(|(name, _)| check_name(name))?;
        let set = self.secrets.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        refuse_too_much(set.clone().count(), set.map(|(name, value)| name.len() + value.len()).sum())
    }

    /// # Errors
    /// A name that is none, or too many or too large secrets; nothing is set then. Values are never shown.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        self.check()?;
        let Self { by, database_id, secrets } = self;
        if secrets.is_empty() {
            return Ok(());
        }
        let mut wanted = Vec::with_capacity(secrets.len());
        for (name, value) in secrets {
            wanted.push((name, value.map(Zeroizing::new), random::bytes::<NONCE_BYTES>()?));
        }
        change(db, by, database_id, move |change| {
            for (name, value, nonce) in &wanted {
                set(change, name, value.as_ref().map(|value| value.as_bytes()), *nonce)?;
            }
            check_size(change)?;
            let names: Vec<_> = wanted.iter().map(|(name, ..)| name).collect();
            Ok(((), Some(AuditNote { action: "functions.secrets.set", detail: json!({ "names": names }) })))
        })
        .await
    }
}

fn set(
    change: &FunctionsChange<'_, '_>,
    name: &str,
    value: Option<&[u8]>,
    nonce: [u8; NONCE_BYTES],
) -> ferry_sqlite::Result<()> {
    let id = change.database_id.to_string();
    let Some(value) = value else {
        let sql = "DELETE FROM fn_secrets WHERE database_id = ?1 AND name = ?2";
        change.connection().prepare_cached(sql)?.execute([id.as_str(), name])?;
        return Ok(());
    };
    let sealed = sealing::seal(change.ring.signing(), &secret_context(&id, name), nonce, value);
    let sql = "INSERT OR REPLACE INTO fn_secrets(database_id, name, sealed) VALUES (?1, ?2, ?3)";
    change.connection().prepare_cached(sql)?.execute(rusqlite::params![id, name, sealed])?;
    Ok(())
}

/// Refuses more secrets than calls can be handed.
fn check_size(change: &FunctionsChange<'_, '_>) -> ferry_sqlite::Result<()> {
    let sql = "SELECT count(*), coalesce(sum(length(name) + length(sealed)), 0) FROM fn_secrets WHERE database_id = ?1";
    let (count, bytes): (usize, usize) = change
        .connection()
        .prepare_cached(sql)?
        .query_row([change.database_id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(refuse_too_much(count, bytes.saturating_sub(count * SEALED_EXTRA_BYTES))?)
}

fn refuse_too_much(count: usize, bytes: usize) -> Result<()> {
    let wrong = if count > FUNCTION_SECRETS_MAX {
        format!("a database has at most {FUNCTION_SECRETS_MAX} secrets: remove some")
    } else if bytes > FUNCTION_SECRETS_MAX_BYTES {
        format!(
            "the secrets of a database have at most {FUNCTION_SECRETS_MAX_BYTES} bytes, names included: shorten some"
        )
    } else {
        return Ok(());
    };
    Err(Error::new(Reason::TooLarge, wrong))
}

/// A name as environments have them.
fn check_name(name: &str) -> Result<()> {
    let shaped = (1..=FUNCTION_SECRET_NAME_MAX_BYTES).contains(&name.len())
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if shaped {
        return Ok(());
    }
    let message = format!(
        "names of secrets have 1 to {FUNCTION_SECRET_NAME_MAX_BYTES} characters of A-Z, a-z, 0-9 and _ and begin with no digit"
    );
    Err(Error::new(Reason::InvalidArgument, message))
}
