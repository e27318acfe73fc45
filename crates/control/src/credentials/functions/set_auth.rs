//! Whose JWTs functions take is set (FUN-50).

use ferry_auth::{FunctionAuth, jwt::JwtSettingsText};
use ferry_types::{DatabaseId, Error, Reason, Result};
use serde_json::json;

use crate::{
    control_db::ControlDb,
    credentials::{
        functions::{
            change::{AuditNote, change},
            keys::NewKey,
        },
        jwt_settings::set,
        requester::Requester,
    },
    directory::effects::ControlEffect,
};

/// Sets whose JWTs the functions of a database take. JWTs that were let in otherwise end.
pub struct SetFunctionAuth<'a> {
    /// Who asks, with the right to administer functions.
    pub by: &'a Requester,
    /// The database.
    pub database_id: DatabaseId,
    /// Whose. `Local` makes the first key, if there is none.
    pub auth: FunctionAuth,
    /// The database's JWT settings, set in the same commit; only with `Remote`. `None`: they stay.
    pub jwt: Option<JwtSettingsText>,
}

impl SetFunctionAuth<'_> {
    /// Refuses settings that are wrong, for whoever does something else before.
    ///
    /// # Errors
    /// The setting that is wrong.
    pub fn check(&self) -> Result<()> {
        if self.jwt.is_some() && self.auth != FunctionAuth::Remote {
            let message =
                "jwks_url, issuer and audience belong to auth mode remote: leave them out, or set that mode";
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        self.jwt.as_ref().map_or(Ok(()), |text| set::validate(text).map(drop))
    }

    /// # Errors
    /// The setting that is wrong.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        self.check()?;
        let Self { by, database_id, auth, jwt } = self;
        let settings = jwt.map(|text| set::validate(&text).map(|settings| (text, settings))).transpose()?;
        let new = NewKey::random()?;
        change(db, by, database_id, move |change| {
            let id = database_id.to_string();
            let sql = "INSERT INTO fn_settings(database_id, auth) VALUES (?1, ?2)
                       ON CONFLICT(database_id) DO UPDATE SET auth = ?2";
            change.connection().prepare_cached(sql)?.execute([id.as_str(), auth.as_str()])?;
            let mut detail = json!({ "auth": auth.as_str() });
            if auth == FunctionAuth::Local && change.rows.active_key().is_none() {
                detail["kid"] = new.store_next(change)?.into();
            }
            if let Some((text, settings)) = settings {
                set::store(change.connection(), &id, &text)?;
                detail["issuer"] = text.issuer.into();
                detail["jwks_url"] = text.jwks_url.into();
                let settings = Some(settings);
                change.transaction.effect(ControlEffect::JwtChanged { id: database_id, settings });
            }
            Ok(((), Some(AuditNote { action: "functions.auth.set", detail })))
        })
        .await
    }
}
