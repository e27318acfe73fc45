//! Rows of a database's own keys: made, and put behind a newer one.

use ferry_auth::{
    jwt::{OWN_KEY_BYTES, OwnKey},
    sealing::{self, NONCE_BYTES},
};
use ferry_types::{
    Error, Reason, Result,
    limits::{FUNCTION_JWT_LIFE_DEFAULT_SECONDS, JWKS_MAX_KEYS},
};
use zeroize::Zeroizing;

use crate::{credentials::functions::change::FunctionsChange, directory::function_rows::key_context, random};

/// How much longer than its tokens an old key is listed: leeway, and a token that is being signed.
const LISTED_LONGER_SECONDS: i64 = 65;

/// A key that is not stored yet, and the nonce that seals it.
pub(super) struct NewKey {
    pub(super) key: OwnKey,
    pub(super) nonce: [u8; NONCE_BYTES],
    /// The longest life of a token that it signed already.
    pub(super) longest_seconds: i64,
}

impl NewKey {
    /// A random one.
    ///
    /// # Errors
    /// Internal, when the operating system has no random bytes.
    pub(super) fn random() -> Result<Self> {
        loop {
            let bytes = Zeroizing::new(random::bytes::<OWN_KEY_BYTES>()?);
            if let Some(key) = OwnKey::from_bytes(&*bytes) {
                return Self::of(key, FUNCTION_JWT_LIFE_DEFAULT_SECONDS);
            }
        }
    }

    /// One that stood elsewhere before.
    ///
    /// # Errors
    /// As [`Self::random`].
    pub(super) fn of(key: OwnKey, longest_seconds: i64) -> Result<Self> {
        Ok(Self { key, nonce: random::bytes()?, longest_seconds })
    }

    /// Stores it as the key that signs, in front of the one before, which verifies until its last token expires. Keys
    /// past that are removed.
    ///
    /// # Errors
    /// When too many keys have living tokens.
    pub(super) fn store(&self, change: &FunctionsChange<'_, '_>, kid: &str) -> ferry_sqlite::Result<()> {
        let (connection, now) = (change.connection(), change.now_unix);
        let id = change.database_id.to_string();
        connection
            .prepare_cached("DELETE FROM fn_signing_keys WHERE database_id = ?1 AND verifies_until <= ?2")?
            .execute(rusqlite::params![id, now])?;
        connection
            .prepare_cached(
                "UPDATE fn_signing_keys SET state = 'verifying', verifies_until = ?2 + longest_seconds
                 WHERE database_id = ?1 AND state = 'active'",
            )?
            .execute(rusqlite::params![id, now + LISTED_LONGER_SECONDS])?;
        let count: usize = connection
            .prepare_cached("SELECT count(*) FROM fn_signing_keys WHERE database_id = ?1")?
            .query_row([&id], |row| row.get(0))?;
        if count >= JWKS_MAX_KEYS {
            let message =
                "100 keys of this database have tokens that may still be used: rotate when some have expired";
            return Err(Error::new(Reason::FailedPrecondition, message).into());
        }
        let context = key_context(&id, kid);
        let sealed = sealing::seal(change.ring.signing(), &context, self.nonce, &*self.key.bytes());
        let public = self.key.public_jwk(kid).to_string();
        connection
            .prepare_cached(
                "INSERT INTO fn_signing_keys(database_id, kid, private_sealed, public_jwk, state, created,
                                             longest_seconds) VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?6)",
            )?
            .execute(rusqlite::params![id, kid, sealed, public, now, self.longest_seconds])?;
        Ok(())
    }

    /// The same under the next name `fk_<n>`, which no key of the database had before.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub(super) fn store_next(&self, change: &FunctionsChange<'_, '_>) -> ferry_sqlite::Result<String> {
        let number: i64 = change
            .connection()
            .prepare_cached(
                "INSERT INTO fn_settings(database_id, keys_made) VALUES (?1, 1)
                 ON CONFLICT(database_id) DO UPDATE SET keys_made = keys_made + 1 RETURNING keys_made",
            )?
            .query_row([change.database_id.to_string()], |row| row.get(0))?;
        let kid = format!("fk_{number}");
        self.store(change, &kid)?;
        Ok(kid)
    }
}
