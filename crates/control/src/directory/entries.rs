//! What the directory holds of users, organisations and databases.

use std::sync::Arc;

use ferry_auth::Role;
use ferry_types::{DatabaseId, DatabaseKind, OrgId, UnixMillis};

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct UserEntry {
    pub(crate) email: Box<str>,
    pub(crate) email_verified: bool,
    pub(crate) disabled: bool,
    /// Whether it may operate the hub.
    pub(crate) operator: bool,
    /// Tokens minted under a lower one are revoked.
    pub(crate) epoch: u32,
    /// In order of the organisation's id.
    pub(crate) memberships: Vec<(OrgId, Role)>,
}

/// An organisation.
#[derive(Clone, Debug)]
pub(crate) struct OrgEntry {
    pub(crate) name: Box<str>,
    pub(crate) personal: bool,
    /// Its databases in order of id, which is the order of creation (UUID version 7).
    pub(crate) by_age: Vec<DatabaseId>,
}

impl OrgEntry {
    pub(crate) fn new(name: &str, personal: bool) -> Self {
        Self { name: name.into(), personal, by_age: Vec::new() }
    }

    pub(crate) fn add(&mut self, id: DatabaseId) {
        if let Err(place) = self.by_age.binary_search(&id) {
            insert(&mut self.by_age, place, id);
        }
    }

    pub(crate) fn remove(&mut self, id: DatabaseId) {
        if let Ok(place) = self.by_age.binary_search(&id) {
            self.by_age.remove(place);
        }
    }
}

/// Inserts into a list that in most organisations never holds a second item: the first one takes the room of
/// one, not of four.
pub(crate) fn insert<T>(list: &mut Vec<T>, place: usize, item: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.insert(place, item);
}

/// A database that exists: not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its id.
    pub id: DatabaseId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Its name, unique in the organisation.
    pub name: Arc<str>,
    /// Empty until the first write fixes it (ORG-09).
    pub kind: Option<DatabaseKind>,
    /// Tokens minted under a lower one are revoked.
    pub epoch: u32,
    /// JWTs that were not issued after this moment are revoked.
    pub jwt_not_before: Option<UnixMillis>,
    /// When it was created.
    pub created: UnixMillis,
}

impl DatabaseEntry {
    /// Whether a JWT issued at `iat` (Unix seconds) is younger than the last revocation. In the second of the
    /// revocation nobody can tell.
    pub(crate) fn admits_jwt_of(&self, iat: Option<i64>) -> bool {
        self.jwt_not_before.is_none_or(|floor| iat.is_some_and(|iat| iat > floor.as_secs()))
    }
}

/// A login that was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RevokedSession {
    /// When it would have ended anyway; afterwards the entry is of no use.
    pub(crate) expires_unix: i64,
    /// Whether sync tokens minted from it live on.
    pub(crate) keeps_tokens: bool,
}

/// Why rights that once held do no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RightsLost {
    /// The user, session, token or membership is gone, or an epoch moved on.
    Revoked,
    /// The database is gone.
    Database,
}
