//! Users, organisations, databases and revocations in memory, so that a request is authenticated and names
//! are resolved without touching the disk (TOK-15). It follows `control.db`: effects are applied after their
//! COMMIT, in its order.

pub(crate) mod api_key_rows;
pub(crate) mod api_keys;
pub(crate) mod columns;
pub(crate) mod default_database;
pub(crate) mod effects;
pub(crate) mod entries;
pub(crate) mod function_index;
pub(crate) mod function_rows;
pub(crate) mod jwt_index;
pub(crate) mod listing;
pub(crate) mod load;
pub(crate) mod shared;
pub(crate) mod tables;

use std::{collections::HashMap, sync::Arc};

use ferry_auth::{FunctionAuth, JwtTrust, KeyRing, Role, api_key};
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result, SessionId, TokenId, UnixMillis, UserId};

use crate::directory::{
    api_keys::{ApiKeyEntry, ApiKeyTable},
    default_database::DefaultDatabase,
    effects::ControlEffect,
    entries::{DatabaseEntry, OrgEntry, RevokedSession, UserEntry, insert},
    function_index::FunctionIndex,
    jwt_index::{JwtEntry, JwtIndex},
};

/// What `control.db` says, as far as requests ask for it.
pub(crate) struct Directory {
    ring: Arc<KeyRing>,
    users: HashMap<UserId, UserEntry>,
    orgs: HashMap<OrgId, OrgEntry>,
    databases: HashMap<DatabaseId, DatabaseEntry>,
    /// The same by organisation and name.
    names: HashMap<(OrgId, Arc<str>), DatabaseId>,
    api_keys: ApiKeyTable,
    revoked_sessions: HashMap<SessionId, RevokedSession>,
    /// With the Unix second at which each expires anyway.
    revoked_tokens: HashMap<TokenId, i64>,
    default_database: DefaultDatabase,
    jwt: JwtIndex,
    functions: FunctionIndex,
    /// Whether accounts must prove their addresses.
    require_verified: bool,
}

impl Directory {
    /// An empty directory with room for this many; growing step by step would take up to three times as much.
    pub(crate) fn with_room(ring: KeyRing, users: usize, orgs: usize, databases: usize) -> Self {
        Self {
            ring: Arc::new(ring),
            users: HashMap::with_capacity(users),
            orgs: HashMap::with_capacity(orgs),
            databases: HashMap::with_capacity(databases),
            names: HashMap::with_capacity(databases),
            api_keys: ApiKeyTable::default(),
            revoked_sessions: HashMap::new(),
            revoked_tokens: HashMap::new(),
            default_database: DefaultDatabase::Unset,
            jwt: JwtIndex::default(),
            functions: FunctionIndex::default(),
            require_verified: false,
        }
    }

    /// The signing keys.
    pub(crate) const fn ring(&self) -> &Arc<KeyRing> {
        &self.ring
    }

    pub(crate) fn user(&self, id: UserId) -> Option<&UserEntry> {
        self.users.get(&id)
    }

    pub(crate) fn user_count(&self) -> usize {
        self.users.len()
    }

    pub(crate) fn org(&self, id: OrgId) -> Option<&OrgEntry> {
        self.orgs.get(&id)
    }

    pub(crate) fn database(&self, id: DatabaseId) -> Option<&DatabaseEntry> {
        self.databases.get(&id)
    }

    pub(crate) fn databases(&self) -> impl Iterator<Item = &DatabaseEntry> {
        self.databases.values()
    }

    pub(crate) fn database_count(&self) -> usize {
        self.databases.len()
    }

    pub(crate) fn database_named(&self, org_id: OrgId, name: &str) -> Option<&DatabaseEntry> {
        self.databases.get(self.names.get(&(org_id, name.into()))?)
    }

    /// The API keys of databases that exist.
    pub(crate) const fn api_keys(&self) -> &ApiKeyTable {
        &self.api_keys
    }

    /// Whether a key of this value counts.
    pub(crate) fn has_api_key(&self, value: &str) -> bool {
        self.api_keys.by_digest(&api_key::digest(value)).is_some()
    }

    pub(crate) fn add_api_key(&mut self, entry: ApiKeyEntry) {
        self.api_keys.add(entry);
    }

    /// Which database takes which JWTs.
    pub(crate) const fn jwt(&self) -> &JwtIndex {
        &self.jwt
    }

    pub(crate) const fn jwt_mut(&mut self) -> &mut JwtIndex {
        &mut self.jwt
    }

    /// The JWT settings in force for a database: its own, else the operator's for the default one.
    pub(crate) fn jwt_entry(&self, id: DatabaseId) -> Option<&JwtEntry> {
        self.jwt.of(id, self.default_database())
    }

    /// What lets JWTs into a database that it trusts so.
    pub(crate) fn jwt_entry_of(&self, trust: JwtTrust, id: DatabaseId) -> Option<&JwtEntry> {
        match trust {
            JwtTrust::Settings => self.jwt_entry(id),
            JwtTrust::OwnKeys => self.functions.own(id),
        }
    }

    /// What functions of databases have: auth, keys, secrets.
    pub(crate) const fn functions(&self) -> &FunctionIndex {
        &self.functions
    }

    pub(crate) const fn functions_mut(&mut self) -> &mut FunctionIndex {
        &mut self.functions
    }

    /// Whose JWTs a database's functions take. Where nobody said so, those that its JWT settings let in (JWT-08).
    pub(crate) fn function_auth(&self, id: DatabaseId) -> FunctionAuth {
        let set = self.functions.of(id).and_then(|entry| entry.rows.auth);
        let by_settings = || self.jwt_entry(id).map_or(FunctionAuth::None, |_| FunctionAuth::Remote);
        set.unwrap_or_else(by_settings)
    }

    /// Whether `name` is the database's id, or its name, which no other of its organisation has.
    pub(crate) fn is_called(&self, id: DatabaseId, name: &str) -> bool {
        self.databases.get(&id).is_some_and(|entry| match name.parse::<DatabaseId>() {
            Ok(named) => named == id,
            Err(_) => entry.name.as_ref() == name,
        })
    }

    /// The database that is meant where a credential names none, if it exists.
    pub(crate) fn default_database(&self) -> Option<DatabaseId> {
        self.default_database.id().filter(|id| self.databases.contains_key(id))
    }

    /// The database that a path names to callers whose credential names none: by id, or by a name in the organisation
    /// of the default one.
    pub(crate) fn anonymously_named(&self, name: &str) -> Option<DatabaseId> {
        name.parse().ok().filter(|id| self.databases.contains_key(id)).or_else(|| {
            let org_id = self.database(self.default_database()?)?.org_id;
            self.database_named(org_id, name).map(|entry| entry.id)
        })
    }

    /// Names that database, by id or by a name that only one has.
    pub(crate) fn set_default_database(&mut self, setting: &str) {
        self.default_database = DefaultDatabase::of_setting(setting, &self.databases);
    }

    /// Databases of an organisation, oldest first, from after `cursor` on.
    pub(crate) fn databases_after(
        &self,
        org_id: OrgId,
        cursor: Option<DatabaseId>,
    ) -> impl Iterator<Item = &DatabaseEntry> {
        let ids = self.orgs.get(&org_id).map_or(&[][..], |org| &org.by_age[..]);
        let first = cursor.map_or(0, |cursor| ids.partition_point(|id| *id <= cursor));
        ids[first..].iter().filter_map(|id| self.databases.get(id))
    }

    /// The user's role in the organisation, as it is now (ORG-05).
    pub(crate) fn role(&self, user_id: UserId, org_id: OrgId) -> Option<Role> {
        let memberships = &self.users.get(&user_id)?.memberships;
        memberships.iter().find(|(id, _)| *id == org_id).map(|(_, role)| *role)
    }

    /// Whether accounts must prove their addresses before they may do anything (OPR-93).
    pub(crate) const fn set_require_verified(&mut self, require: bool) {
        self.require_verified = require;
    }

    /// Refuses a user whose address must be proven first.
    ///
    /// # Errors
    /// `EMAIL_UNVERIFIED`.
    pub(crate) fn refuse_unverified(&self, user_id: UserId) -> Result<()> {
        let is_verified = self.users.get(&user_id).is_some_and(|user| user.email_verified);
        if is_verified || !self.require_verified {
            return Ok(());
        }
        let message = "this account's e-mail address is not confirmed yet: open the link that was mailed to it, or ask for \
                       another (ferry account verify)";
        Err(Error::new(Reason::EmailUnverified, message))
    }

    /// Whether the user's credentials of this epoch still stand.
    pub(crate) fn user_stands(&self, user_id: UserId, epoch: u32) -> bool {
        self.users.get(&user_id).is_some_and(|user| !user.disabled && user.epoch == epoch)
    }

    pub(crate) fn session_is_revoked(&self, session_id: SessionId) -> bool {
        self.revoked_sessions.contains_key(&session_id)
    }

    /// Whether a sync token was revoked, alone or with the session that minted it.
    pub(crate) fn token_is_revoked(&self, token_id: TokenId, session_id: SessionId) -> bool {
        self.revoked_tokens.contains_key(&token_id)
            || self.revoked_sessions.get(&session_id).is_some_and(|revoked| !revoked.keeps_tokens)
    }

    pub(crate) fn add_user(&mut self, id: UserId, user: UserEntry) {
        self.users.insert(id, user);
    }

    /// Gives the user this role in the organisation; `None`: it leaves.
    pub(crate) fn set_membership(&mut self, user_id: UserId, org_id: OrgId, role: Option<Role>) {
        let Some(user) = self.users.get_mut(&user_id) else { return };
        match (user.memberships.binary_search_by_key(&org_id, |(id, _)| *id), role) {
            (Ok(place), Some(role)) => user.memberships[place].1 = role,
            (Ok(place), None) => {
                user.memberships.remove(place);
            }
            (Err(place), Some(role)) => insert(&mut user.memberships, place, (org_id, role)),
            (Err(_), None) => {}
        }
    }

    pub(crate) fn add_org(&mut self, id: OrgId, org: OrgEntry) {
        self.orgs.insert(id, org);
    }

    pub(crate) fn add_database(&mut self, entry: DatabaseEntry) {
        if let Some(org) = self.orgs.get_mut(&entry.org_id) {
            org.add(entry.id);
        }
        self.names.insert((entry.org_id, Arc::clone(&entry.name)), entry.id);
        self.databases.insert(entry.id, entry);
    }

    pub(crate) fn add_revoked_session(&mut self, id: SessionId, revoked: RevokedSession) {
        self.revoked_sessions.insert(id, revoked);
    }

    pub(crate) fn add_revoked_token(&mut self, id: TokenId, expires_unix: i64) {
        self.revoked_tokens.insert(id, expires_unix);
    }

    /// Forgets what has expired, and revocations of what has expired anyway.
    pub(crate) fn prune(&mut self, now: UnixMillis) {
        let now_unix = now.as_secs();
        self.api_keys.prune(now);
        self.revoked_sessions.retain(|_, revoked| revoked.expires_unix > now_unix);
        self.revoked_tokens.retain(|_, expires_unix| *expires_unix > now_unix);
    }

    fn rename_database(&mut self, id: DatabaseId, name: &Arc<str>) {
        let Some(entry) = self.databases.get_mut(&id) else { return };
        let old = std::mem::replace(&mut entry.name, Arc::clone(name));
        let (old_key, new_key) = ((entry.org_id, Arc::clone(&old)), (entry.org_id, Arc::clone(name)));
        self.names.remove(&old_key);
        self.names.insert(new_key, id);
        self.default_database.follow(&old, &self.databases);
        self.default_database.follow(name, &self.databases);
    }

    fn remove_database(&mut self, id: DatabaseId) {
        self.api_keys.remove_database(id);
        self.jwt.set(id, None);
        self.functions.remove(id);
        if let Some(entry) = self.databases.remove(&id) {
            if let Some(org) = self.orgs.get_mut(&entry.org_id) {
                org.remove(id);
            }
            self.names.remove(&(entry.org_id, Arc::clone(&entry.name)));
            self.default_database.follow(&entry.name, &self.databases);
        }
    }

    /// Follows one committed change.
    pub(crate) fn apply(&mut self, effect: ControlEffect) {
        match effect {
            ControlEffect::KeysChanged(ring) => self.ring = ring,
            ControlEffect::UserChanged { user_id, epoch, disabled } => {
                if let Some(user) = self.users.get_mut(&user_id) {
                    user.epoch = epoch;
                    user.disabled = disabled;
                }
            }
            ControlEffect::OperatorChanged { user_id, operator } => {
                if let Some(user) = self.users.get_mut(&user_id) {
                    user.operator = operator;
                }
            }
            ControlEffect::EmailVerified { user_id } => {
                if let Some(user) = self.users.get_mut(&user_id) {
                    user.email_verified = true;
                }
            }
            ControlEffect::UserDeleted { user_id } => {
                self.users.remove(&user_id);
            }
            ControlEffect::TokenRevoked { token_id, expires_unix, .. } => {
                self.add_revoked_token(token_id, expires_unix);
            }
            ControlEffect::OrgCreated { id, name } => self.add_org(id, OrgEntry::new(&name, false)),
            ControlEffect::OrgRenamed { id, name } => {
                if let Some(org) = self.orgs.get_mut(&id) {
                    org.name = name.into();
                }
            }
            ControlEffect::OrgDeleted { id } => {
                self.orgs.remove(&id);
            }
            ControlEffect::MembershipChanged { user_id, org_id, role } => {
                self.set_membership(user_id, org_id, role);
            }
            ControlEffect::DatabaseEpoch { id, epoch, jwt_not_before } => {
                if let Some(entry) = self.databases.get_mut(&id) {
                    entry.epoch = epoch;
                    entry.jwt_not_before = Some(jwt_not_before);
                }
            }
            ControlEffect::UserCreated { user_id, email, email_verified, operator, org_id, org_name } => {
                self.add_org(org_id, OrgEntry::new(&org_name, true));
                let memberships = vec![(org_id, Role::Admin)];
                let email = email.into();
                let user =
                    UserEntry { email, email_verified, disabled: false, operator, epoch: 0, memberships };
                self.add_user(user_id, user);
            }
            ControlEffect::SessionRevoked { session_id, revoked, .. } => {
                self.add_revoked_session(session_id, revoked);
            }
            ControlEffect::ApiKeyCreated(entry) => self.add_api_key(entry),
            ControlEffect::ApiKeyExpires { digest, expires, .. } => self.api_keys.expire(&digest, expires),
            ControlEffect::ApiKeyRevoked { digest, .. } => self.api_keys.remove(&digest),
            ControlEffect::DatabaseCreated(entry) => {
                let name = Arc::clone(&entry.name);
                self.add_database(entry);
                self.default_database.follow(&name, &self.databases);
            }
            ControlEffect::DatabaseRenamed { id, name } => self.rename_database(id, &name),
            ControlEffect::DatabaseDeleted { id } => self.remove_database(id),
            ControlEffect::JwtChanged { id, settings } => self.jwt.set(id, settings),
            ControlEffect::FunctionsChanged { id, rows } => {
                let former = self.function_auth(id);
                self.functions.set(id, Arc::unwrap_or_clone(rows));
                if self.function_auth(id) != former {
                    // Connections that rest on JWTs are judged anew.
                    self.jwt.renew(id, self.default_database());
                }
            }
            ControlEffect::KindChanged { id, kind } => {
                if let Some(entry) = self.databases.get_mut(&id) {
                    entry.kind = kind;
                }
            }
        }
    }
}
