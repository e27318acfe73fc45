//! An API key is ended at once.

use ferry_types::Result;
use serde_json::json;

use crate::{
    caller::Caller, control_db::ControlDb, credentials::api_keys::named_key,
    directory::effects::ControlEffect, origin::Origin,
};

/// Ends a key at once, and the connections that rest on it (TOK-13).
pub struct RevokeApiKey<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Its id.
    pub id: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RevokeApiKey<'_> {
    /// # Errors
    /// `API key not found`; role below admin.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, id, origin } = self;
        let (old, change) = named_key(db, caller, id, origin).await?;
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            change.refuse_non_admin(connection)?;
            let id = old.info.id;
            connection
                .prepare_cached("UPDATE api_keys SET revoked = coalesce(revoked, ?2) WHERE id = ?1")?
                .execute(rusqlite::params![id.to_string(), change.now.0])?;
            change.audit(connection, "key.revoke", id, json!({}))?;
            let (digest, database_id) = (old.digest, old.database_id);
            transaction.effect(ControlEffect::ApiKeyRevoked { digest, database_id });
            Ok(())
        })
        .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "api_key").increment(1);
        Ok(())
    }
}
