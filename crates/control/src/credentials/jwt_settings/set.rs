//! What a database demands of JWTs is set (JWT-03).

use std::sync::Arc;

use ferry_auth::jwt::{JwtSettings, JwtSettingsText, KeySource};
use ferry_http_client::RemoteUrl;
use ferry_types::{Error, Reason, Result};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::{Caller, database_not_found},
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin_of, resolve::resolve_own_database},
    directory::effects::ControlEffect,
    origin::Origin,
};

/// Sets what the database demands of JWTs; empty settings remove it. JWTs that were let in by other settings
/// end.
pub struct SetJwtSettings<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// The settings; empty ones remove them.
    pub text: JwtSettingsText,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl SetJwtSettings<'_> {
    /// # Errors
    /// `database not found`, role below admin, or the setting that is wrong.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, database, text, origin } = self;
        let entry = resolve_own_database(db, caller, database)?;
        let settings = if text == JwtSettingsText::default() { None } else { Some(validate(&text)?) };
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
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
                store(connection, &id, &text)?;
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
}

/// Stores settings that were validated.
pub(crate) fn store(connection: &Connection, id: &str, text: &JwtSettingsText) -> ferry_sqlite::Result<()> {
    let stored = serde_json::to_string(text).expect("BUG: strings and numbers become JSON");
    let sql = "INSERT OR REPLACE INTO jwt_settings(database_id, settings) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute([id, &stored])?;
    Ok(())
}

/// The settings of a database's admin, who may name public servers only (JWT-07).
pub(crate) fn validate(text: &JwtSettingsText) -> Result<Arc<JwtSettings>> {
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
