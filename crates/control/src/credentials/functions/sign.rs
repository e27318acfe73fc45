//! A function signs a JWT for a user of its database (`ctx.signJwt`, FUN-53).

use std::sync::Arc;

use ferry_auth::FunctionAuth;
use ferry_types::{DatabaseId, Error, Reason, Result, limits::FUNCTION_JWT_LIFE_MAX_SECONDS};

use crate::{
    control_db::ControlDb,
    credentials::functions::{change::tell, view::cannot_open},
    directory::function_index::FunctionEntry,
};

/// Signs claims with the key of the database that signs now.
pub struct SignJwt<'a> {
    /// The database.
    pub database_id: DatabaseId,
    /// A JSON object; `iss`, `iat` and `exp` are the hub's.
    pub claims: &'a str,
    /// How long it is valid: a number and `s`, `m`, `h` or `d`.
    pub expires_in: &'a str,
}

impl SignJwt<'_> {
    /// # Errors
    /// Claims or a time that make no token; failed precondition without local auth.
    pub async fn run(self, db: &ControlDb) -> Result<String> {
        let Self { database_id, claims, expires_in } = self;
        let seconds = lifetime(expires_in)?;
        let signing = loop {
            let entry = entry(db, database_id)?;
            let active = entry.rows.active_key().ok_or_else(no_local_auth)?;
            if seconds <= active.longest_seconds {
                break entry;
            }
            // Another key may sign by now: look again.
            note_longest(db, database_id, active.kid.to_string(), seconds).await?;
        };
        let active = signing.rows.active_key().ok_or_else(no_local_auth)?;
        let key = signing.signer(database_id, &db.keys()).map_err(|error| cannot_open(database_id, error))?;
        let now = db.now().as_secs();
        let issuer = db.directory().functions().issuer(database_id);
        key.sign(&active.kid, claims, &issuer, (now, now + seconds))
            .map_err(|error| Error::new(Reason::InvalidArgument, error.to_string()))
    }
}

fn no_local_auth() -> Error {
    let message = "signJwt needs auth mode local: deploy the functions with it";
    Error::new(Reason::FailedPrecondition, message)
}

fn entry(db: &ControlDb, id: DatabaseId) -> Result<Arc<FunctionEntry>> {
    let directory = db.directory();
    let entry = directory.functions().of(id).filter(|entry| entry.rows.auth == Some(FunctionAuth::Local));
    entry.cloned().ok_or_else(no_local_auth)
}

/// Notes how long the key must be listed, before a token of that life leaves.
async fn note_longest(db: &ControlDb, id: DatabaseId, kid: String, seconds: i64) -> Result<()> {
    db.write(move |transaction| {
        let sql = "UPDATE fn_signing_keys SET longest_seconds = ?3
                   WHERE database_id = ?1 AND kid = ?2 AND state = 'active' AND longest_seconds < ?3";
        let params = rusqlite::params![id.to_string(), kid, seconds];
        if transaction.connection().prepare_cached(sql)?.execute(params)? > 0 {
            tell(transaction, id)?;
        }
        Ok(())
    })
    .await
}

/// `1h` and its like, in seconds.
fn lifetime(text: &str) -> Result<i64> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let read = |(unit, seconds): (&str, i64)| {
        let number = text.strip_suffix(unit)?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| number.parse().unwrap_or(i64::MAX).saturating_mul(seconds))
    };
    let seconds = units.into_iter().find_map(read);
    seconds.filter(|seconds| (1..=FUNCTION_JWT_LIFE_MAX_SECONDS).contains(seconds)).ok_or_else(|| {
        let message = "expiresIn must be a number and s, m, h or d, such as 1h, and at most 366d";
        Error::new(Reason::InvalidArgument, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-53
    #[test]
    fn lifetimes_are_a_number_and_a_unit() {
        for (text, seconds) in [("1s", 1), ("90m", 5400), ("1h", 3600), ("366d", 366 * 86_400)] {
            assert_eq!(lifetime(text), Ok(seconds), "{text}");
        }
        for bad in
            ["", "1", "h", "0s", "-1h", "+1h", "1.5h", "1 h", "1w", "367d", "99999999999999999999d", "1hé"]
        {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
