//! API keys (KEY-01…03): what an app carries to its one database. Creating, listing, rotating and revoking them is
//! for admins; their use is in [`used`].

mod spec;
mod used;

use ferry_auth::{
    Role,
    api_key::{self, KeyKind},
};
use ferry_types::{
    ApiKeyId, Error, ModelSet, Op, OpSet, Reason, Result, UnixMillis,
    limits::{API_KEY_OVERLAP_MAX_SECONDS, API_KEY_OVERLAP_SECONDS, API_KEYS_PER_DATABASE},
};
use rusqlite::Connection;
use serde_json::json;

pub use self::spec::ApiKeySpec;
pub(crate) use self::used::UsedKeys;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{
        caller::{Caller, database_not_found, require_role},
        recheck::refuse_non_admin_of,
    },
    directory::{
        api_key_rows,
        api_key_rows::{ApiKeyInfo, ApiKeyLimits, ApiKeyRow},
        effects::ControlEffect,
        entries::DatabaseEntry,
        listing::Listing,
    },
    origin::Origin,
    random,
};

/// A key that was made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What it is.
    pub info: ApiKeyInfo,
    /// Its value: a secret, told once.
    pub value: String,
}

fn invalid(message: &'static str) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

fn not_found() -> Error {
    Error::new(Reason::NotFound, "API key not found")
}

/// Who does what to which key, for the audit trail.
struct Act {
    caller: Caller,
    entry: DatabaseEntry,
    origin: Origin,
    now: UnixMillis,
}

impl Act {
    fn audit(
        &self,
        connection: &Connection,
        action: &'static str,
        id: ApiKeyId,
        detail: serde_json::Value,
    ) -> ferry_sqlite::Result<()> {
        let target = id.to_string();
        let mut row = AuditRow::ok(self.now, &self.origin, Who::User(self.caller.user_id), action, &target);
        (row.org_id, row.database_id) = (Some(self.entry.org_id), Some(self.entry.id));
        row.detail = detail;
        row.insert(connection)
    }

    /// Refuses a caller who is no admin any more.
    fn refuse_non_admin(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        refuse_non_admin_of(connection, &self.caller, self.entry.org_id, database_not_found)
    }

    /// Refuses when the right or the database ended in this moment, or the database has no room for a key.
    fn refuse(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        self.refuse_non_admin(connection)?;
        let exists = "SELECT EXISTS(SELECT 1 FROM databases WHERE id = ?1 AND deleted IS NULL)";
        let id = self.entry.id.to_string();
        if !connection.prepare_cached(exists)?.query_row([id], |row| row.get(0))? {
            return Err(database_not_found().into());
        }
        if api_key_rows::count(connection, self.entry.id, self.now)? < API_KEYS_PER_DATABASE {
            return Ok(());
        }
        let message = "the database has 1000 API keys, the most it may have: revoke one";
        Err(Error::new(Reason::ApiKeyLimit, message).into())
    }
}

impl Control {
    /// Makes an API key of a database, or takes one of another system over.
    ///
    /// # Errors
    /// `database not found`; role below admin; a specification that cannot be had; a value that is in use.
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        database: &str,
        spec: ApiKeySpec,
        origin: &Origin,
    ) -> Result<NewApiKey> {
        let (entry, role) = self.resolve_database(caller, database)?;
        require_role(role, Role::Admin)?;
        let now = self.now();
        let spec = spec.checked(now)?;
        let (value, row) = self.new_key(&entry, &spec, now)?;
        let info = row.info.clone();
        let act = Act { caller: caller.clone(), entry, origin: origin.clone(), now };
        let imported = !spec.import.is_empty();
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                act.refuse(connection)?;
                row.insert(connection)?;
                let info = &row.info;
                let detail = json!({
                    "kind": info.kind.as_str(),
                    "models": info.models.to_string(),
                    "ops": info.ops.to_string(),
                    "imported": imported,
                });
                act.audit(connection, "key.create", info.id, detail)?;
                transaction.effect(ControlEffect::ApiKeyCreated(row.entry()));
                Ok(())
            })
            .await?;
        metrics::counter!("ferry_tokens_issued_total", "kind" => "api_key").increment(1);
        Ok(NewApiKey { info, value })
    }

    /// The value and the row of a key that is about to be stored.
    fn new_key(
        &self,
        entry: &DatabaseEntry,
        spec: &ApiKeySpec,
        now: UnixMillis,
    ) -> Result<(String, ApiKeyRow)> {
        let value = match spec.import.as_str() {
            "" => api_key::compose(spec.kind, random::bytes()?),
            import => import.to_owned(),
        };
        let info = ApiKeyInfo {
            id: ApiKeyId::from_uuid(self.db.next_id(now)),
            kind: spec.kind,
            label: spec.label.clone(),
            prefix: api_key::prefix(&value),
            models: spec.models,
            ops: spec.ops,
            limits: spec.limits.clone(),
            created: now,
            expires: (spec.expires_unix > 0).then(|| UnixMillis(spec.expires_unix.saturating_mul(1000))),
            last_used: None,
        };
        let digest = api_key::digest(&value);
        Ok((value, ApiKeyRow { info, database_id: entry.id, digest }))
    }

    /// Makes the public key of `--dev`, which reaches every model of its database, unless it is there (CFG-04).
    pub(crate) async fn seed_api_key(&self, entry: &DatabaseEntry, value: &'static str) -> Result<()> {
        if self.find_api_key(value).is_some() {
            return Ok(());
        }
        let spec = ApiKeySpec {
            kind: KeyKind::Publishable,
            label: "dev".to_owned(),
            models: ModelSet::ALL,
            ops: OpSet::of(&[Op::Read, Op::Write]),
            limits: ApiKeyLimits::default(),
            expires_unix: 0,
            import: value.to_owned(),
        };
        let (_, row) = self.new_key(entry, &spec, self.now())?;
        self.db
            .write(move |transaction| {
                // What a developer revoked or deleted with its database comes back with the next start.
                let digest = row.digest;
                transaction.connection().execute("DELETE FROM api_keys WHERE hash = ?1", [digest])?;
                row.insert(transaction.connection())?;
                transaction.effect(ControlEffect::ApiKeyCreated(row.entry()));
                Ok(())
            })
            .await
    }

    /// A page of a database's live keys, oldest first, and the token of the next one.
    ///
    /// # Errors
    /// `database not found`; role below admin; bad page size or token.
    pub async fn list_api_keys(
        &self,
        caller: &Caller,
        database: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<ApiKeyInfo>, String)> {
        let (entry, role) = self.resolve_database(caller, database)?;
        require_role(role, Role::Admin)?;
        let listing = Listing::new("ListApiKeys", &[&entry.id.to_string()], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), self.now());
        let found = self
            .db
            .read(move |connection| api_key_rows::of_database(connection, entry.id, &after, now, wanted))
            .await?;
        let directory = self.db.directory();
        // Memory knows of uses that are not stored yet.
        let fresh = |row: ApiKeyRow| {
            let used = directory.api_keys().by_digest(&row.digest).and_then(|entry| entry.last_used());
            ApiKeyInfo { last_used: used.or(row.info.last_used), ..row.info }
        };
        Ok(listing.page(found.into_iter().map(fresh), |info| info.id.to_string()))
    }

    /// Makes a key that is what the old one is; the old one ends after `overlap_seconds` (0: a day), or at its
    /// own time if that comes first (KEY-03).
    ///
    /// # Errors
    /// `API key not found`; role below admin; a key that was rotated before; an overlap out of range.
    pub async fn rotate_api_key(
        &self,
        caller: &Caller,
        id: &str,
        overlap_seconds: i64,
        origin: &Origin,
    ) -> Result<NewApiKey> {
        let overlap = if overlap_seconds == 0 { API_KEY_OVERLAP_SECONDS } else { overlap_seconds };
        if !(1..=API_KEY_OVERLAP_MAX_SECONDS).contains(&overlap) {
            return Err(invalid(
                "overlap_seconds must be from 0 (meaning 86400) to 2592000, which are 30 days",
            ));
        }
        let (old, act) = self.named_key(caller, id, origin).await?;
        if let Some(successor) = &old.info.limits.replaced_by {
            let message = format!("this key was rotated already: rotate {successor}");
            return Err(Error::new(Reason::FailedPrecondition, message));
        }
        let info = &old.info;
        let spec = ApiKeySpec {
            kind: info.kind,
            label: info.label.clone(),
            models: info.models,
            ops: info.ops,
            limits: info.limits.clone(),
            expires_unix: info.expires.map_or(0, UnixMillis::as_secs),
            import: String::new(),
        };
        let (value, row) = self.new_key(&act.entry, &spec, act.now)?;
        let new = row.info.clone();
        let id = old.info.id;
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                act.refuse(connection)?;
                // Another call may have revoked or rotated it since it was looked at.
                let old = api_key_rows::find(connection, id, act.now)?.ok_or_else(not_found)?;
                if old.info.limits.replaced_by.is_some() {
                    let message = "this key was rotated in this moment: list the keys";
                    return Err(Error::new(Reason::FailedPrecondition, message).into());
                }
                row.insert(connection)?;
                let end = UnixMillis(act.now.0 + overlap * 1000);
                let expires = old.info.expires.map_or(end, |at| at.min(end));
                let limits = ApiKeyLimits { replaced_by: Some(row.info.id.to_string()), ..old.info.limits };
                connection
                    .prepare_cached("UPDATE api_keys SET expires = ?2, limits = ?3 WHERE id = ?1")?
                    .execute(rusqlite::params![
                        id.to_string(),
                        expires.0,
                        api_key_rows::limits_text(&limits)
                    ])?;
                let detail = json!({ "new_id": row.info.id.to_string(), "exp_unix": expires.as_secs() });
                act.audit(connection, "key.rotate", id, detail)?;
                transaction.effect(ControlEffect::ApiKeyCreated(row.entry()));
                let (digest, database_id) = (old.digest, old.database_id);
                transaction.effect(ControlEffect::ApiKeyExpires { digest, database_id, expires });
                Ok(())
            })
            .await?;
        Ok(NewApiKey { info: new, value })
    }

    /// Ends a key at once, and the connections that rest on it (TOK-13).
    ///
    /// # Errors
    /// `API key not found`; role below admin.
    pub async fn revoke_api_key(&self, caller: &Caller, id: &str, origin: &Origin) -> Result<()> {
        let (old, act) = self.named_key(caller, id, origin).await?;
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                act.refuse_non_admin(connection)?;
                let id = old.info.id;
                connection
                    .prepare_cached("UPDATE api_keys SET revoked = coalesce(revoked, ?2) WHERE id = ?1")?
                    .execute(rusqlite::params![id.to_string(), act.now.0])?;
                act.audit(connection, "key.revoke", id, json!({}))?;
                let (digest, database_id) = (old.digest, old.database_id);
                transaction.effect(ControlEffect::ApiKeyRevoked { digest, database_id });
                Ok(())
            })
            .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "api_key").increment(1);
        Ok(())
    }

    /// A live key that the caller administers. One of a foreign organisation answers like an unknown one.
    async fn named_key(&self, caller: &Caller, id: &str, origin: &Origin) -> Result<(ApiKeyRow, Act)> {
        let id: ApiKeyId = id.parse().map_err(|_| not_found())?;
        let now = self.now();
        let found = self.db.read(move |connection| api_key_rows::find(connection, id, now)).await?;
        let row = found.ok_or_else(not_found)?;
        let database = row.database_id.to_string();
        let (entry, role) = self.resolve_database(caller, &database).map_err(|_| not_found())?;
        require_role(role, Role::Admin)?;
        Ok((row, Act { caller: caller.clone(), entry, origin: origin.clone(), now }))
    }
}
