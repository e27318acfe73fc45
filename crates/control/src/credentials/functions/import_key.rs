//! A private key of EdgePod's signs on (FUN-54).

use ferry_auth::jwt::OwnKey;
use ferry_types::{DatabaseId, Error, Reason, Result, limits::FUNCTION_JWT_LIFE_MAX_SECONDS};
use serde_json::{Value, json};

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

/// The name that EdgePod's tokens give their key.
const IMPORTED_KID: &str = "edgepod-local-key";

/// Takes a private key in and lets it sign; gives its name. The one before is listed until its last token expires. The
/// same key once more changes nothing.
pub struct ImportFunctionKey<'a> {
    /// Who asks, with the right to administer functions.
    pub by: &'a Requester,
    /// The database.
    pub database_id: DatabaseId,
    /// The key, a private P-256 JSON Web Key.
    pub jwk: &'a Value,
}

impl ImportFunctionKey<'_> {
    /// # Errors
    /// What is no such key; already exists where another one was imported.
    pub async fn run(self, db: &ControlDb) -> Result<String> {
        let Self { by, database_id, jwk } = self;
        let wrong =
            |error: ferry_auth::jwt::OwnKeyError| Error::new(Reason::InvalidArgument, error.to_string());
        let key = OwnKey::from_jwk(jwk).map_err(wrong)?;
        // How long its tokens live, which others signed, nobody knows.
        let new = NewKey::of(key, FUNCTION_JWT_LIFE_MAX_SECONDS)?;
        change(db, by, database_id, move |change| {
            let kid = IMPORTED_KID.to_owned();
            if let Some(stored) = change.rows.key(IMPORTED_KID) {
                if serde_json::from_str::<Value>(&stored.public_jwk).ok() == Some(new.key.public_jwk(&kid)) {
                    return Ok((kid, None));
                }
                let message = "another key was imported into this database, and no key is ever replaced: rotate instead";
                return Err(Error::new(Reason::AlreadyExists, message).into());
            }
            new.store(change, &kid)?;
            let note = AuditNote { action: "functions.key.import", detail: json!({ "kid": kid }) };
            Ok((kid, Some(note)))
        })
        .await
    }
}
