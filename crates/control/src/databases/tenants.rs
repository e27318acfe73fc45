//! Databases of their own for event stores (EVT-50) and for the users of records (records specification, 2.1), where the
//! operator wants that. They are for callers whose credential names no database, lie in the organisation of the default
//! one, and are made when they are first used.
//!
//! A JWT stays proven by the settings of the default database. It reaches no database that takes other issuers' tokens:
//! those have settings of their own.

use std::sync::Arc;

use ferry_auth::{AuthContext, JwtSubject, Principal};
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result};
use rusqlite::OptionalExtension as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    audit::{AuditRow, Who},
    caller::database_not_found,
    control_db::ControlDb,
    credentials::{authenticate::ANY_DATABASE, jwt::JwtRefusal, requester::Requester, watch},
    databases::{check_name, insert_row},
    directory::{
        effects::ControlEffect,
        entries::{DatabaseEntry, RightsLost},
    },
    origin::Origin,
};

/// What names of users' databases begin with.
const USER_PREFIX: &str = "user-";
/// Bytes of the digest behind it: enough that nobody finds two users with one name.
const USER_DIGEST_BYTES: usize = 24;

/// The database of a JWT's subject: its issuer, with its length in front, and itself, hashed.
fn user_database(jwt: &JwtSubject) -> String {
    let issuer = jwt.issuer.as_bytes();
    let hash = Sha256::new().chain_update((issuer.len() as u64).to_be_bytes()).chain_update(issuer);
    let digest = hash.chain_update(jwt.subject.as_bytes()).finalize();
    format!("{USER_PREFIX}{}", hex::encode(&digest[..USER_DIGEST_BYTES]))
}

/// Whether a database of this name could be a user's.
fn is_user_database(name: &str) -> bool {
    name.strip_prefix(USER_PREFIX)
        .is_some_and(|digest| hex::decode(digest).is_ok_and(|bytes| bytes.len() == USER_DIGEST_BYTES))
}

/// The database of an event store: the one that has its name.
fn store_database(store_id: &str) -> Result<&str> {
    let bad = |why: &str| {
        let message = format!("each store has a database here, which its storeId names: {why}");
        Error::new(Reason::InvalidArgument, message)
    };
    if is_user_database(store_id) {
        return Err(bad("this name belongs to a user's database"));
    }
    check_name(store_id).map_err(|error| bad(&error.message))
}

/// Finds and makes them.
pub struct Tenants {
    db: Arc<ControlDb>,
    max_databases_per_org: u64,
}

impl Tenants {
    pub(crate) const fn new(db: Arc<ControlDb>, max_databases_per_org: u64) -> Self {
        Self { db, max_databases_per_org }
    }

    /// `auth` in the database of the event store `store_id`, made if `may_create`; unchanged if its credential names a
    /// database.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an id that can name no database; `NOT_FOUND`; `DATABASE_LIMIT`; a failure of `control.db`.
    pub async fn in_store_database(
        &self,
        auth: AuthContext,
        store_id: &str,
        may_create: bool,
        origin: &Origin,
    ) -> Result<AuthContext> {
        if !auth.by_default {
            return Ok(auth);
        }
        self.in_tenant(auth, store_database(store_id)?, may_create, origin).await
    }

    /// Whether a database called `name` has JWT settings of its own, which then decide whose tokens it takes.
    #[must_use]
    pub fn has_own_jwt_settings(&self, name: &str) -> bool {
        let directory = self.db.directory();
        let id = name.parse().ok().or_else(|| {
            let org_id = directory.database(directory.default_database()?)?.org_id;
            directory.database_named(org_id, name).map(|entry| entry.id)
        });
        id.is_some_and(|id| directory.jwt().has_own(id))
    }

    /// `auth` in the database in which the operator has put a store: it must be the credential's own, but for callers
    /// whose credential names none. For these it is made if `may_create`.
    ///
    /// # Errors
    /// `NOT_FOUND`; `DATABASE_LIMIT`; a failure of `control.db`.
    pub async fn in_mapped_database(
        &self,
        auth: AuthContext,
        name: &str,
        may_create: bool,
        origin: &Origin,
    ) -> Result<AuthContext> {
        if name == ANY_DATABASE || self.db.directory().is_called(auth.database_id, name) {
            return Ok(AuthContext { by_default: false, ..auth });
        }
        if !auth.by_default {
            return Err(database_not_found());
        }
        let may_create = may_create && check_name(name).is_ok();
        self.in_tenant(auth, name, may_create, origin).await
    }

    /// `auth` in the database of its JWT's subject, made at first use; unchanged if it is no JWT, or one that names a
    /// database.
    ///
    /// # Errors
    /// `DATABASE_LIMIT`; a failure of `control.db`.
    pub async fn in_user_database(&self, auth: AuthContext, origin: &Origin) -> Result<AuthContext> {
        match &auth.principal {
            Principal::Jwt(jwt) if auth.by_default => {
                let name = user_database(jwt);
                self.in_tenant(auth, &name, true, origin).await
            }
            _ => Ok(auth),
        }
    }

    async fn in_tenant(
        &self,
        auth: AuthContext,
        name: &str,
        may_create: bool,
        origin: &Origin,
    ) -> Result<AuthContext> {
        let (org_id, found) = {
            let directory = self.db.directory();
            let org_id = directory.database(auth.database_id).ok_or_else(database_not_found)?.org_id;
            let by_id = name.parse().ok().and_then(|id| directory.database(id));
            let found = by_id.or_else(|| directory.database_named(org_id, name));
            // An id of another organisation is nothing that this one's callers may learn of.
            (org_id, found.filter(|entry| entry.org_id == org_id).map(|entry| entry.id))
        };
        let database_id = match found {
            Some(id) => id,
            None if may_create => {
                let by = Requester::new(&self.db, &auth, &[], origin.clone());
                self.make_tenant(org_id, name.into(), by).await?
            }
            None => return Err(database_not_found()),
        };
        let auth = AuthContext { database_id, by_default: false, ..auth };
        let directory = self.db.directory();
        if let Principal::Jwt(jwt) = &auth.principal
            && jwt.settings_of != database_id
            && directory.jwt().has_own(database_id)
        {
            return Err(database_not_found());
        }
        match watch::standing(&auth, &directory) {
            Ok(()) => Ok(auth),
            Err(RightsLost::Database) => Err(database_not_found()),
            Err(RightsLost::Revoked) => Err(JwtRefusal::Revoked.into()),
        }
    }

    /// Makes a database, or finds the one that another request has made meanwhile: the actor decides between them.
    async fn make_tenant(&self, org_id: OrgId, name: Arc<str>, by: Requester) -> Result<DatabaseId> {
        let now = self.db.now();
        let id = DatabaseId::from_uuid(self.db.next_id(now));
        let entry =
            DatabaseEntry { id, org_id, name, kind: None, epoch: 0, jwt_not_before: None, created: now };
        let max = self.max_databases_per_org;
        self.db
            .write(move |transaction| {
                by.recheck()?;
                let connection = transaction.connection();
                let sql = "SELECT id FROM databases WHERE org_id = ?1 AND name = ?2 AND deleted IS NULL";
                let made: Option<String> = connection
                    .prepare_cached(sql)?
                    .query_row([&*org_id.to_string(), &*entry.name], |row| row.get(0))
                    .optional()?;
                if let Some(made) = made {
                    let damaged = |_| ferry_sqlite::Error::Damaged(format!("id of a database: {made}"));
                    return made.parse().map_err(damaged);
                }
                insert_row(connection, &entry, None, max)?;
                let mut row = AuditRow::ok(
                    now,
                    &by.origin,
                    Who::Principal(&by.principal),
                    "database.create",
                    &entry.name,
                );
                (row.org_id, row.database_id) = (Some(org_id), Some(id));
                row.detail = json!({ "kind": null });
                row.insert(connection)?;
                transaction.effect(ControlEffect::DatabaseCreated(entry));
                Ok(id)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(issuer: &str, subject: &str) -> JwtSubject {
        JwtSubject {
            issuer: issuer.into(),
            subject: subject.into(),
            issued_unix: None,
            settings_of: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            settings_version: 0,
            trust: ferry_auth::JwtTrust::Settings,
            key: Default::default(),
        }
    }

    #[test]
    fn users_have_legal_names_that_no_store_takes_and_no_two_share() {
        let ada = user_database(&subject("https://id.example", "ada"));
        assert_eq!(check_name(&ada), Ok(&*ada));
        assert_eq!(ada, user_database(&subject("https://id.example", "ada")), "the same at every start");
        for (issuer, other) in [("https://id.example", "bob"), ("https://id.exampl", "eada"), ("", "ada")] {
            assert_ne!(ada, user_database(&subject(issuer, other)));
        }
        assert!(is_user_database(&ada));
        assert_eq!(store_database(&ada).unwrap_err().reason, Reason::InvalidArgument);
        for bad in ["", "a b", "a.b", "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153", &"x".repeat(65)] {
            assert_eq!(store_database(bad).unwrap_err().reason, Reason::InvalidArgument, "{bad}");
        }
        for good in ["a", "user-1", "Team_7-x", &ada[..ada.len() - 2]] {
            assert_eq!(store_database(good), Ok(good));
        }
    }
}
