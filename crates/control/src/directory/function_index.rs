//! Of each database, in memory: whose JWTs its functions take, the keys that prove its own, its secrets. What is sealed
//! is opened at its first use.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use ferry_auth::{
    FunctionAuth, KeyRing,
    jwt::{JwtSettings, KeySet, KeySource, OwnKey},
    sealing::{self, SealError},
};
use ferry_http_client::Reach;
use ferry_types::DatabaseId;
use serde_json::value::RawValue;

use crate::directory::{
    function_rows::{FunctionRows, key_context, secret_context},
    jwt_index::JwtEntry,
};

/// What stands before a database's id in `iss` of its own tokens, after the hub's URL.
const ISSUER_PATH: &str = "/v1/databases/";

/// One database.
pub(crate) struct FunctionEntry {
    pub(crate) rows: FunctionRows,
    /// Another number whenever something of it changed.
    pub(crate) version: u64,
    /// What its own tokens must be; only with local auth.
    own: Option<JwtEntry>,
    env: OnceLock<Result<Arc<BTreeMap<String, String>>, SealError>>,
    signer: OnceLock<Result<Arc<OwnKey>, SealError>>,
}

impl FunctionEntry {
    /// Its secrets by name.
    pub(crate) fn env(
        &self,
        id: DatabaseId,
        ring: &KeyRing,
    ) -> Result<Arc<BTreeMap<String, String>>, SealError> {
        let open = || {
            let id = id.to_string();
            let secrets = self.rows.secrets.iter().map(|row| {
                let value = sealing::open(ring, &secret_context(&id, &row.name), &row.value.0)?;
                let value = String::from_utf8(value.to_vec()).map_err(|_| SealError::Damaged)?;
                Ok((row.name.to_string(), value))
            });
            secrets.collect::<Result<_, _>>().map(Arc::new)
        };
        self.env.get_or_init(open).clone()
    }

    /// The key that signs.
    pub(crate) fn signer(&self, id: DatabaseId, ring: &KeyRing) -> Result<Arc<OwnKey>, SealError> {
        let open = || {
            let row = self.rows.active_key().ok_or(SealError::Damaged)?;
            let bytes = sealing::open(ring, &key_context(&id.to_string(), &row.kid), &row.private.0)?;
            OwnKey::from_bytes(&bytes).map(Arc::new).ok_or(SealError::Damaged)
        };
        self.signer.get_or_init(open).clone()
    }

    /// Its public keys that may have living tokens, as a JSON Web Key Set.
    pub(crate) fn jwks(&self, now_unix: i64) -> String {
        jwks(&self.rows, now_unix)
    }
}

/// The keys that are not past their time.
fn jwks(rows: &FunctionRows, now_unix: i64) -> String {
    #[derive(serde::Serialize)]
    struct Jwks<'r> {
        keys: Vec<&'r RawValue>,
    }
    let living = rows.keys.iter().filter(|key| key.verifies_until_unix.is_none_or(|until| until > now_unix));
    // Rows that this program did not write are left out.
    let keys = living.filter_map(|key| serde_json::from_str(&key.public_jwk).ok()).collect();
    serde_json::to_string(&Jwks { keys }).expect("BUG: JSON values make JSON")
}

/// All databases that have something of it.
#[derive(Default)]
pub(crate) struct FunctionIndex {
    /// The hub's URL.
    issuer_base: Box<str>,
    by_database: HashMap<DatabaseId, Arc<FunctionEntry>>,
    version: u64,
}

impl FunctionIndex {
    pub(crate) fn new(issuer_base: &str, rows: HashMap<DatabaseId, FunctionRows>) -> Self {
        let mut index = Self { issuer_base: issuer_base.into(), ..Self::default() };
        rows.into_iter().for_each(|(id, rows)| index.set(id, rows));
        index
    }

    /// Takes what was stored in; whether the mode of its auth is another now.
    pub(crate) fn set(&mut self, id: DatabaseId, rows: FunctionRows) {
        self.version += 1;
        let former = self.by_database.get(&id).and_then(|entry| entry.own.as_ref());
        let own = (rows.auth == Some(FunctionAuth::Local)).then(|| self.own_entry(id, &rows, former));
        let (env, signer) = (OnceLock::new(), OnceLock::new());
        let entry = FunctionEntry { rows, version: self.version, own, env, signer };
        self.by_database.insert(id, Arc::new(entry));
    }

    /// What tokens of the database's own must be. Those that `former` let in stand on, as long as their key does.
    fn own_entry(&self, id: DatabaseId, rows: &FunctionRows, former: Option<&JwtEntry>) -> JwtEntry {
        let text = jwks(rows, i64::MIN);
        let mut keys = KeySet::parse(text.as_bytes()).expect("BUG: at most 100 keys in a list");
        if let Some(KeySource::Inline(old)) = former.map(|entry| &entry.settings.keys) {
            keys.replace(old);
        }
        let settings = Arc::new(JwtSettings::of_own_keys(keys, self.issuer(id)));
        let version = former.map_or(self.version, |entry| entry.version);
        JwtEntry { settings, version, reach: Reach::PublicOnly }
    }

    pub(crate) fn remove(&mut self, id: DatabaseId) {
        self.by_database.remove(&id);
    }

    pub(crate) fn of(&self, id: DatabaseId) -> Option<&Arc<FunctionEntry>> {
        self.by_database.get(&id)
    }

    /// What tokens of the database's own must be, if it takes them.
    pub(crate) fn own(&self, id: DatabaseId) -> Option<&JwtEntry> {
        self.of(id)?.own.as_ref()
    }

    /// `iss` of the database's own tokens (FUN-53).
    pub(crate) fn issuer(&self, id: DatabaseId) -> String {
        format!("{}{ISSUER_PATH}{id}", self.issuer_base)
    }

    /// The database that takes its own tokens and is called `issuer` in them.
    pub(crate) fn issued_by(&self, issuer: &str) -> Option<DatabaseId> {
        let id = issuer.strip_prefix(&*self.issuer_base)?.strip_prefix(ISSUER_PATH)?.parse().ok()?;
        self.own(id).map(|_| id)
    }
}
