//! An API key is replaced, with an overlap (KEY-03).

use ferry_types::{
    Error, Reason, Result, UnixMillis,
    limits::{API_KEY_OVERLAP_MAX_SECONDS, API_KEY_OVERLAP_SECONDS},
};
use serde_json::json;

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::api_keys::{NewApiKey, invalid, named_key, new_key, not_found, spec::ApiKeySpec},
    directory::{api_key_rows, api_key_rows::ApiKeyLimits, effects::ControlEffect},
    origin::Origin,
};

/// Makes a key that is what the old one is; the old one ends after `overlap_seconds` (0: a day), or at its
/// own time if that comes first (KEY-03).
pub struct RotateApiKey<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Its id.
    pub id: &'a str,
    /// How long the old one lives on; 0: a day.
    pub overlap_seconds: i64,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RotateApiKey<'_> {
    /// # Errors
    /// `API key not found`; role below admin; a key that was rotated before; an overlap out of range.
    pub async fn run(self, db: &ControlDb) -> Result<NewApiKey> {
        let Self { caller, id, overlap_seconds, origin } = self;
        let overlap = if overlap_seconds == 0 { API_KEY_OVERLAP_SECONDS } else { overlap_seconds };
        if !(1..=API_KEY_OVERLAP_MAX_SECONDS).contains(&overlap) {
            return Err(invalid(
                "overlap_seconds must be from 0 (meaning 86400) to 2592000, which are 30 days",
            ));
        }
        let (old, change) = named_key(db, caller, id, origin).await?;
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
        let (value, row) = new_key(db, &change.entry, &spec, change.now)?;
        let new = row.info.clone();
        let id = old.info.id;
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            change.refuse(connection)?;
            // Another call may have revoked or rotated it since it was looked at.
            let old = api_key_rows::find(connection, id, change.now)?.ok_or_else(not_found)?;
            if old.info.limits.replaced_by.is_some() {
                let message = "this key was rotated in this moment: list the keys";
                return Err(Error::new(Reason::FailedPrecondition, message).into());
            }
            row.insert(connection)?;
            let end = UnixMillis(change.now.0 + overlap * 1000);
            let expires = old.info.expires.map_or(end, |at| at.min(end));
            let limits = ApiKeyLimits { replaced_by: Some(row.info.id.to_string()), ..old.info.limits };
            connection
                .prepare_cached("UPDATE api_keys SET expires = ?2, limits = ?3 WHERE id = ?1")?
                .execute(rusqlite::params![id.to_string(), expires.0, api_key_rows::limits_text(&limits)])?;
            let detail = json!({ "new_id": row.info.id.to_string(), "exp_unix": expires.as_secs() });
            change.audit(connection, "key.rotate", id, detail)?;
            transaction.effect(ControlEffect::ApiKeyCreated(row.entry()));
            let (digest, database_id) = (old.digest, old.database_id);
            transaction.effect(ControlEffect::ApiKeyExpires { digest, database_id, expires });
            Ok(())
        })
        .await?;
        Ok(NewApiKey { info: new, value })
    }
}
