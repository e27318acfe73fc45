//! A new key of the database's own signs (FUN-54).

use ferry_auth::FunctionAuth;
use ferry_types::{DatabaseId, Error, Reason, Result};
use serde_json::json;

use crate::{
    control_db::ControlDb,
    credentials::{
        functions::{
            change::{AuditNote, change},
            keys::NewKey,
        },
        requester::Requester,
    },
};

/// Lets a new key sign; gives its name. The one before is listed until its last token expires.
pub struct RotateFunctionKey<'a> {
    /// Who asks, with the right to administer functions.
    pub by: &'a Requester,
    /// The database.
    pub database_id: DatabaseId,
}

impl RotateFunctionKey<'_> {
    /// # Errors
    /// Failed precondition where there is neither local auth nor a key, or too many keys.
    pub async fn run(self, db: &ControlDb) -> Result<String> {
        let Self { by, database_id } = self;
        let new = NewKey::random()?;
        change(db, by, database_id, move |change| {
            if change.rows.auth != Some(FunctionAuth::Local) && change.rows.keys.is_empty() {
                let message =
                    "functions of this database have no keys: deploy them with auth mode local first";
                return Err(Error::new(Reason::FailedPrecondition, message).into());
            }
            let kid = new.store_next(change)?;
            let note = AuditNote { action: "functions.key.rotate", detail: json!({ "kid": kid }) };
            Ok((kid, Some(note)))
        })
        .await
    }
}
