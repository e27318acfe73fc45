//! An API key is made (KEY-01).

use ferry_auth::Role;
use ferry_types::Result;
use serde_json::json;

use crate::{
    caller::{Caller, require_role},
    control_db::ControlDb,
    credentials::{
        api_keys::{ApiKeyChange, NewApiKey, new_key, spec::ApiKeySpec},
        resolve::resolve_database,
    },
    directory::effects::ControlEffect,
    origin::Origin,
};

/// Makes an API key of a database, or takes one of another system over.
pub struct CreateApiKey<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// What it is asked to be.
    pub spec: ApiKeySpec,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl CreateApiKey<'_> {
    /// # Errors
    /// `database not found`; role below admin; a specification that cannot be had; a value that is in use.
    pub async fn run(self, db: &ControlDb) -> Result<NewApiKey> {
        let Self { caller, database, spec, origin } = self;
        let (entry, role) = resolve_database(db, caller, database)?;
        require_role(role, Role::Admin)?;
        let now = db.now();
        let spec = spec.checked(now)?;
        let (value, row) = new_key(db, &entry, &spec, now)?;
        let info = row.info.clone();
        let change = ApiKeyChange { caller: caller.clone(), entry, origin: origin.clone(), now };
        let imported = !spec.import.is_empty();
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            change.refuse(connection)?;
            row.insert(connection)?;
            let info = &row.info;
            let detail = json!({
                "kind": info.kind.as_str(),
                "models": info.models.to_string(),
                "ops": info.ops.to_string(),
                "imported": imported,
            });
            change.audit(connection, "key.create", info.id, detail)?;
            transaction.effect(ControlEffect::ApiKeyCreated(row.entry()));
            Ok(())
        })
        .await?;
        metrics::counter!("ferry_tokens_issued_total", "kind" => "api_key").increment(1);
        Ok(NewApiKey { info, value })
    }
}
