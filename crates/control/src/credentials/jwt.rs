//! Who holds a JWT, and which database it means (control.md, 2.5 and 3.5).

use std::{collections::HashSet, sync::Arc};

use ferry_auth::{
    AuthContext, JwtSubject, JwtTrust,
    jwt::{JwtClaims, JwtError, JwtSettings, KeySet, KeySource, StoreScope, UnverifiedJwt},
};
use ferry_types::{DatabaseId, Error, Reason, Result, UnixMillis};

use crate::{
    caller::database_not_found,
    control_db::ControlDb,
    credentials::{
        jwks::{Jwks, NoKeys},
        proof_cache::ProofCache,
        watch,
    },
    directory::{Directory, entries::RightsLost, jwt_index::JwtEntry},
};

/// Why a JWT opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwtRefusal {
    /// It is wrong, or wrong for this database.
    Bad(JwtError),
    /// Nobody can say now whether it is right.
    NoKeys(NoKeys),
    /// No database takes it.
    Nowhere,
    /// The database that the path names takes no JWTs, or does not exist.
    NoDatabase,
    /// It was issued before the database's credentials were revoked, or cannot show that it was not.
    Revoked,
}

impl From<JwtError> for JwtRefusal {
    fn from(error: JwtError) -> Self {
        Self::Bad(error)
    }
}

impl From<JwtRefusal> for Error {
    fn from(refusal: JwtRefusal) -> Self {
        match refusal {
            JwtRefusal::Bad(JwtError::Expired) => Self::new(Reason::TokenExpired, "invalid JWT: expired"),
            JwtRefusal::Bad(error) => Self::new(Reason::Unauthenticated, format!("invalid JWT: {error}")),
            JwtRefusal::NoKeys(no_keys) => {
                let message = "the keys that prove this JWT cannot be fetched now: try again";
                Self::new(Reason::Unavailable, message).retry_after_ms(no_keys.retry_after_ms)
            }
            JwtRefusal::Nowhere => {
                let message = "invalid JWT: no database of this hub takes its iss and aud";
                Self::new(Reason::Unauthenticated, message)
            }
            JwtRefusal::NoDatabase => database_not_found(),
            JwtRefusal::Revoked => Self::new(Reason::TokenRevoked, "invalid JWT: token revoked"),
        }
    }
}

/// The database that a JWT means.
struct JwtDatabase {
    database_id: DatabaseId,
    entry: JwtEntry,
    by_default: bool,
    /// The index's version, if it was found by what the token claims.
    found_at: Option<u64>,
}

/// A JWT whose signature, issuer and audience were checked, and with what.
struct ProvenJwt {
    claims: JwtClaims,
    settings: Arc<JwtSettings>,
    /// Version of those settings.
    version: u64,
    /// Whether they are JWT settings, or those of the database's own keys.
    trust: JwtTrust,
    keys: Arc<KeySet>,
    database_id: DatabaseId,
    /// Whether it is the default one, by the operator's settings, since the token means no other.
    by_default: bool,
    /// The event stores that it names, if the operator asks for that.
    stores: Option<Arc<StoreScope>>,
    /// The index's version, if the database was found by what the token claims.
    found_at: Option<u64>,
}

impl ProvenJwt {
    /// Whether settings and database are still those that it was proven with.
    fn rests_on(&self, directory: &Directory, trust: JwtTrust, route: Option<&str>) -> bool {
        let found_again = match (route, self.found_at) {
            (Some(name), _) => directory.is_called(self.database_id, name),
            (None, found_at) => found_at == Some(directory.jwt().version()),
        };
        let entry = directory.jwt_entry_of(trust, self.database_id);
        found_again && self.trust == trust && entry.is_some_and(|entry| entry.version == self.version)
    }
}

/// JWTs of the issuers that databases trust.
pub(crate) struct Jwts {
    db: Arc<ControlDb>,
    /// Those that were proven a moment ago.
    recent: ProofCache<ProvenJwt>,
    jwks: Jwks,
    /// The claim by which they say which event stores they open.
    stores_claim: Option<Arc<str>>,
}

impl Jwts {
    pub(crate) fn new(db: Arc<ControlDb>, jwks: Jwks, stores_claim: Option<Arc<str>>) -> Self {
        Self { db, recent: ProofCache::default(), jwks, stores_claim }
    }

    /// Forgets what is too old to be used, and the key sets that no settings name any more.
    pub(crate) fn prune(&self, now: UnixMillis) {
        self.recent.prune(now);
        self.prune_key_sets();
    }

    /// What a JWT may do with the database that the path names, or that it means by itself.
    pub(crate) async fn context(&self, token: &str, route: Option<&str>) -> Result<AuthContext, JwtRefusal> {
        self.context_of(JwtTrust::Settings, token, route).await
    }

    /// The same for a JWT that its database trusts by `trust`. By own keys, the path names it.
    pub(crate) async fn context_of(
        &self,
        trust: JwtTrust,
        token: &str,
        route: Option<&str>,
    ) -> Result<AuthContext, JwtRefusal> {
        let jwt = match self.proven_lately(token, trust, route).await? {
            Some(jwt) => jwt,
            None => self.prove(token, trust, route).await?,
        };
        let (claims, settings) = (&jwt.claims, &jwt.settings);
        claims.check_times(settings, self.db.now().as_secs())?;
        let subject = JwtSubject {
            issuer: Arc::clone(&claims.issuer),
            subject: Arc::clone(&claims.subject),
            issued_unix: claims.issued_unix,
            settings_of: jwt.database_id,
            settings_version: jwt.version,
            trust,
            key: claims.key.clone(),
        };
        let deadline = claims.deadline_unix(settings);
        let auth = AuthContext {
            stores: jwt.stores.clone(),
            // The same proof serves a path that names the database.
            by_default: jwt.by_default && route.is_none(),
            ..AuthContext::of_jwt(subject, jwt.database_id, settings.models, settings.ops, deadline)
        };
        match watch::standing(&auth, &self.db.directory()) {
            Ok(()) => Ok(auth),
            Err(RightsLost::Revoked) => Err(JwtRefusal::Revoked),
            Err(RightsLost::Database) => Err(JwtRefusal::NoDatabase),
        }
    }

    /// What was proven a moment ago, if it still holds.
    async fn proven_lately(
        &self,
        token: &str,
        trust: JwtTrust,
        route: Option<&str>,
    ) -> Result<Option<Arc<ProvenJwt>>, JwtRefusal> {
        let known = self.recent.get(token, self.db.now());
        let Some(jwt) = known.filter(|jwt| jwt.rests_on(&self.db.directory(), trust, route)) else {
            return Ok(None);
        };
        let entry = self.db.directory().jwt_entry_of(trust, jwt.database_id).cloned();
        let Some(entry) = entry else { return Ok(None) };
        // A key that its issuer removed proves nothing any more (JWT-04).
        let keys = self.keys_of(&entry, |_| false).await?;
        Ok(Some(jwt).filter(|jwt| Arc::ptr_eq(&jwt.keys, &keys)))
    }

    async fn prove(
        &self,
        token: &str,
        trust: JwtTrust,
        route: Option<&str>,
    ) -> Result<Arc<ProvenJwt>, JwtRefusal> {
        let jwt = UnverifiedJwt::parse(token)?;
        let database = self.jwt_database(&jwt, trust, route)?;
        let JwtDatabase { database_id, entry, by_default, found_at } = database;
        let keys = self.keys_of(&entry, |keys| jwt.lacks_key(keys)).await?;
        let claims = jwt.verify(&keys, &entry.settings)?;
        let stores = self.stores_claim.as_ref().map(|claim| jwt.store_scope(claim));
        let stores = stores.transpose()?.map(Arc::new);
        let (settings, version) = (entry.settings, entry.version);
        let proven = Arc::new(ProvenJwt {
            claims,
            settings,
            version,
            trust,
            keys,
            database_id,
            by_default,
            stores,
            found_at,
        });
        self.recent.keep(token, Arc::clone(&proven), self.db.now());
        Ok(proven)
    }

    async fn keys_of(
        &self,
        entry: &JwtEntry,
        lacks_key: impl Fn(&KeySet) -> bool,
    ) -> Result<Arc<KeySet>, JwtRefusal> {
        match &entry.settings.keys {
            KeySource::Inline(keys) => Ok(Arc::clone(keys)),
            KeySource::Url(url) => {
                self.jwks.keys(url, entry.reach, lacks_key).await.map_err(JwtRefusal::NoKeys)
            }
        }
    }

    /// The database that the path names; else the only one whose settings ask for the token's `iss` and `aud`;
    /// else the default one.
    fn jwt_database(
        &self,
        jwt: &UnverifiedJwt<'_>,
        trust: JwtTrust,
        route: Option<&str>,
    ) -> Result<JwtDatabase, JwtRefusal> {
        let directory = self.db.directory();
        let default = directory.default_database();
        let matched = directory.jwt().only_match(jwt);
        let (id, found_at, missing) = match route {
            None => (matched.or(default), Some(directory.jwt().version()), JwtRefusal::Nowhere),
            Some(name) => (directory.anonymously_named(name), None, JwtRefusal::NoDatabase),
        };
        let id = id.filter(|id| directory.database(*id).is_some()).ok_or(missing)?;
        let entry = directory.jwt_entry_of(trust, id).ok_or(missing)?.clone();
        let by_default = route.is_none() && matched.is_none() && !directory.jwt().has_own(id);
        Ok(JwtDatabase { database_id: id, entry, by_default, found_at })
    }

    /// Keeps the key sets fresh that open connections rest on (JWT-04). The hub calls it every few seconds.
    pub(crate) fn refresh_key_sets(&self) {
        // What was only remembered uses no key.
        self.recent.prune(self.db.now());
        self.jwks.refresh_used();
    }

    /// Forgets the key sets that no settings name any more.
    fn prune_key_sets(&self) {
        let used: HashSet<_> = self
            .db
            .directory()
            .jwt()
            .entries()
            .filter_map(|entry| match &entry.settings.keys {
                KeySource::Url(url) => Some((url.clone(), entry.reach)),
                KeySource::Inline(_) => None,
            })
            .collect();
        self.jwks.retain(&used);
    }
}
