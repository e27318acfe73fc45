//! The JWT settings of a database: shown, set, removed, tried out (JWT-03).

use std::{collections::HashSet, sync::Arc};

use ferry_auth::{
    Principal, Role,
    jwt::{JwtSettings, JwtSettingsText, KeySource},
};
use ferry_types::{DatabaseId, Error, Reason, Result};
use rusqlite::OptionalExtension as _;
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{
        caller::{Caller, database_not_found, require_role},
        jwt::JwtRefusal,
        recheck::refuse_non_admin_of,
    },
    directory::{effects::ControlEffect, entries::DatabaseEntry},
    origin::Origin,
};
use ferry_http_client::RemoteUrl;

/// What a token is worth at a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtTrial {
    /// Why it is refused; `None`: it is good.
    pub refused: Option<String>,
    /// Its subject, if it is good.
    pub subject: String,
    /// When it ends, leeway included; Unix seconds.
    pub exp_unix: i64,
}

impl Control {
    /// The settings of a database; empty if it has none of its own.
    ///
    /// # Errors
    /// `database not found`, role below admin.
    pub async fn jwt_settings(&self, caller: &Caller, database: &str) -> Result<JwtSettingsText> {
        let id = self.administered(caller, database)?.id;
        let stored: Option<String> = self
            .db
            .read(move |connection| {
                let sql = "SELECT settings FROM jwt_settings WHERE database_id = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.query_row([id.to_string()], |row| row.get(0)).optional()?)
            })
            .await?;
        let Some(stored) = stored else { return Ok(JwtSettingsText::default()) };
        serde_json::from_str(&stored).map_err(|error| {
            tracing::error!(%error, database = %id, "the stored JWT settings cannot be read");
            Error::internal()
        })
    }

    /// Sets what the database demands of JWTs; empty settings remove it. JWTs that were let in by other settings
    /// end.
    ///
    /// # Errors
    /// `database not found`, role below admin, or the setting that is wrong.
    pub async fn set_jwt_settings(
        &self,
        caller: &Caller,
        database: &str,
        text: JwtSettingsText,
        origin: &Origin,
    ) -> Result<()> {
        let entry = self.administered(caller, database)?;
        let settings = if text == JwtSettingsText::default() { None } else { Some(validate(&text)?) };
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_non_admin_of(connection, &by, entry.org_id, database_not_found)?;
                let id = entry.id.to_string();
                let exists = connection
                    .prepare_cached("SELECT 1 FROM databases WHERE id = ?1 AND deleted IS NULL")?
                    .exists([&id])?;
                if !exists {
                    return Err(database_not_found().into());
                }
                let action = if settings.is_some() {
                    let stored = serde_json::to_string(&text).expect("BUG: strings and numbers become JSON");
                    let sql = "INSERT OR REPLACE INTO jwt_settings(database_id, settings) VALUES (?1, ?2)";
                    connection.prepare_cached(sql)?.execute([&id, &stored])?;
                    "jwt.set"
                } else {
                    connection
                        .prepare_cached("DELETE FROM jwt_settings WHERE database_id = ?1")?
                        .execute([&id])?;
                    "jwt.remove"
                };
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), action, &entry.name);
                (row.org_id, row.database_id) = (Some(entry.org_id), Some(entry.id));
                row.detail =
                    json!({ "issuer": text.issuer, "audiences": text.audiences, "jwks_url": text.jwks_url });
                row.insert(connection)?;
                transaction.effect(ControlEffect::JwtChanged { id: entry.id, settings });
                Ok(())
            })
            .await
    }

    /// The only issuer whose JWTs reach a database: by its own settings, or by those of the default one; `None` where any
    /// does, or none.
    #[must_use]
    pub fn jwt_issuer(&self, id: DatabaseId) -> Option<Arc<str>> {
        let directory = self.db.directory();
        let by_default = || directory.default_database().and_then(|id| directory.jwt_entry(id));
        let entry = directory.jwt_entry(id).or_else(by_default)?;
        entry.settings.issuer().map(Arc::from)
    }

    /// Tries a token as a data endpoint of the database would, and says why it is refused.
    ///
    /// # Errors
    /// `database not found`, role below admin.
    pub async fn test_jwt(&self, caller: &Caller, database: &str, token: &str) -> Result<JwtTrial> {
        let entry = self.administered(caller, database)?;
        let refused = |why: String| JwtTrial { refused: Some(why), subject: String::new(), exp_unix: 0 };
        Ok(match self.of_jwt(token, Some(&entry.id.to_string())).await {
            Ok(auth) => JwtTrial {
                refused: None,
                subject: match &auth.principal {
                    Principal::Jwt(jwt) => jwt.subject.to_string(),
                    _ => String::new(),
                },
                exp_unix: auth.deadline_unix.unwrap_or_default(),
            },
            Err(JwtRefusal::NoKeys(no_keys)) => refused(no_keys.failure.to_string()),
            Err(JwtRefusal::Bad(error)) => refused(error.to_string()),
            Err(JwtRefusal::Revoked) => {
                refused("issued before the credentials of the database were revoked".to_owned())
            }
            Err(JwtRefusal::NoDatabase | JwtRefusal::Nowhere) => {
                refused("the database has no JWT settings: set them with ferry jwt set".to_owned())
            }
        })
    }

    fn administered(&self, caller: &Caller, database: &str) -> Result<DatabaseEntry> {
        let (entry, role) = self.resolve_database(caller, database)?;
        require_role(role, Role::Admin)?;
        Ok(entry)
    }

    /// Keeps the key sets fresh that open connections rest on (JWT-04). The hub calls it every few seconds.
    pub fn refresh_key_sets(&self) {
        // What was only remembered uses no key.
        self.jwts.prune(self.now());
        self.jwks.refresh_used();
    }

    /// Forgets the key sets that no settings name any more.
    pub(crate) fn prune_key_sets(&self) {
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

/// The settings of a database's admin, who may name public servers only (JWT-07).
fn validate(text: &JwtSettingsText) -> Result<Arc<JwtSettings>> {
    let wrong = |why: String| Error::new(Reason::InvalidArgument, why);
    let settings = JwtSettings::try_from(text).map_err(|error| wrong(error.to_string()))?;
    if let KeySource::Url(url) = &settings.keys {
        let fits = RemoteUrl::secure(url).is_ok_and(|url| !url.is_loopback());
        if !fits {
            return Err(wrong("jwks_url must be an https:// URL of a public server".to_owned()));
        }
    }
    Ok(Arc::new(settings))
}
