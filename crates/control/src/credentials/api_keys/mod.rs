//! API keys (KEY-01…03): what an app carries to its one database. Creating, listing, rotating and revoking them is
//! for admins; their use is in [`usage`].

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod seed;
pub(crate) mod spec;
pub(crate) mod usage;

use ferry_auth::{Role, api_key};
use ferry_types::{ApiKeyId, Error, Reason, Result, UnixMillis, limits::API_KEYS_PER_DATABASE};
use rusqlite::Connection;

use crate::{
    audit::{AuditRow, Who},
    caller::{Caller, database_not_found, require_role},
    control_db::ControlDb,
    credentials::{api_keys::spec::ApiKeySpec, recheck::refuse_non_admin_of, resolve::resolve_database},
    directory::{
        api_key_rows,
        api_key_rows::{ApiKeyInfo, ApiKeyRow},
        entries::DatabaseEntry,
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

pub(super) fn invalid(message: &'static str) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

pub(super) fn not_found() -> Error {
    Error::new(Reason::NotFound, "API key not found")
}

/// Who does what to which key, for the audit trail.
pub(super) struct ApiKeyChange {
    pub(super) caller: Caller,
    pub(super) entry: DatabaseEntry,
    pub(super) origin: Origin,
    pub(super) now: UnixMillis,
}

impl ApiKeyChange {
    pub(super) fn audit(
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
    pub(super) fn refuse_non_admin(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        refuse_non_admin_of(connection, &self.caller, self.entry.org_id, database_not_found)
    }

    /// Refuses when the right or the database ended in this moment, or the database has no room for a key.
    pub(super) fn refuse(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
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

/// The value and the row of a key that is about to be stored.
pub(super) fn new_key(
    db: &ControlDb,
    entry: &DatabaseEntry,
    spec: &ApiKeySpec,
    now: UnixMillis,
) -> Result<(String, ApiKeyRow)> {
    let value = match spec.import.as_str() {
        "" => api_key::compose(spec.kind, random::bytes()?),
        import => import.to_owned(),
    };
    let info = ApiKeyInfo {
        id: ApiKeyId::from_uuid(db.next_id(now)),
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

/// A live key that the caller administers. One of a foreign organisation answers like an unknown one.
pub(super) async fn named_key(
    db: &ControlDb,
    caller: &Caller,
    id: &str,
    origin: &Origin,
) -> Result<(ApiKeyRow, ApiKeyChange)> {
    let id: ApiKeyId = id.parse().map_err(|_| not_found())?;
    let now = db.now();
    let found = db.read(move |connection| api_key_rows::find(connection, id, now)).await?;
    let row = found.ok_or_else(not_found)?;
    let database = row.database_id.to_string();
    let (entry, role) = resolve_database(db, caller, &database).map_err(|_| not_found())?;
    require_role(role, Role::Admin)?;
    Ok((row, ApiKeyChange { caller: caller.clone(), entry, origin: origin.clone(), now }))
}
