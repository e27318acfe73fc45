//! What a database demands of JWTs.

use ferry_auth::jwt::JwtSettingsText;
use ferry_types::{Error, Result};
use rusqlite::OptionalExtension as _;

use crate::{caller::Caller, control_db::ControlDb, credentials::resolve::resolve_own_database};

/// The settings of a database; empty if it has none of its own.
pub struct GetJwtSettings<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
}

impl GetJwtSettings<'_> {
    /// # Errors
    /// `database not found`, role below admin.
    pub async fn run(self, db: &ControlDb) -> Result<JwtSettingsText> {
        let Self { caller, database } = self;
        let id = resolve_own_database(db, caller, database)?.id;
        let stored: Option<String> = db
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
}
