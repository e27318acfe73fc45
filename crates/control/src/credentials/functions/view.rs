//! What functions of a database have, read from memory: their auth, public keys, names and values of secrets.

use std::{collections::BTreeMap, sync::Arc};

use ferry_auth::{FunctionAuth, JwtTrust, jwt_owner, sealing::SealError};
use ferry_types::{DatabaseId, Error, Reason, Result};

use crate::Control;

/// The secrets of a database.
#[derive(Clone, Default)]
pub struct FunctionEnv {
    /// By name.
    pub values: Arc<BTreeMap<String, String>>,
    /// Another number whenever one was set or removed.
    pub version: u64,
}

/// Names alone are shown.
impl std::fmt::Debug for FunctionEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Control {
    /// Whose JWTs the functions of a database take.
    #[must_use]
    pub fn function_auth(&self, id: DatabaseId) -> FunctionAuth {
        self.db.directory().function_auth(id)
    }

    /// The secrets of a database's functions.
    ///
    /// # Errors
    /// Failed precondition when the key that sealed them is gone.
    pub fn function_env(&self, id: DatabaseId) -> Result<FunctionEnv> {
        let entry = self.db.directory().functions().of(id).cloned();
        let Some(entry) = entry else { return Ok(FunctionEnv::default()) };
        let values = entry.env(id, &self.db.keys()).map_err(|error| cannot_open(id, error))?;
        Ok(FunctionEnv { values, version: entry.version })
    }

    /// The names of these secrets, in order.
    #[must_use]
    pub fn function_secret_names(&self, id: DatabaseId) -> Vec<String> {
        let directory = self.db.directory();
        let rows = directory.functions().of(id).map_or(&[][..], |entry| &entry.rows.secrets);
        rows.iter().map(|row| row.name.to_string()).collect()
    }

    /// Whose records the devices of the user `sub` keep, as the database's auth tells its users.
    #[must_use]
    pub fn function_owner(&self, id: DatabaseId, sub: &str) -> Arc<str> {
        let directory = self.db.directory();
        let entry = match directory.function_auth(id) {
            FunctionAuth::None => None,
            FunctionAuth::Remote => directory.jwt_entry_of(JwtTrust::Settings, id),
            FunctionAuth::Local => directory.jwt_entry_of(JwtTrust::OwnKeys, id),
        };
        let issuer = entry.and_then(|entry| entry.settings.issuer());
        issuer.map_or_else(|| sub.into(), |issuer| jwt_owner(issuer, sub).into())
    }

    /// The public keys of the database `name` (an id, or a name beside the default database; `None`: that one), as a
    /// JSON Web Key Set; `None` without local auth.
    #[must_use]
    pub fn function_jwks(&self, name: Option<&str>) -> Option<String> {
        let directory = self.db.directory();
        let id = match name {
            Some(name) => directory.anonymously_named(name)?,
            None => directory.default_database()?,
        };
        let entry =
            directory.functions().of(id).filter(|entry| entry.rows.auth == Some(FunctionAuth::Local))?;
        Some(entry.jwks(self.db.now().as_secs()))
    }
}

/// What was sealed by a key that is gone, or is damaged.
pub(super) fn cannot_open(id: DatabaseId, error: SealError) -> Error {
    tracing::error!(database = %id, %error, "keys or secrets of functions cannot be opened");
    let message = "keys or secrets of this database cannot be opened: the hub's operator must bring back the signing \
                   key that sealed them; else set the secrets anew and rotate the key";
    Error::new(Reason::FailedPrecondition, message)
}
