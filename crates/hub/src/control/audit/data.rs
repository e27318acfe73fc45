//! What the models' own admin calls tell the audit trail (WEB-07).

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    origin::Origin,
};
use ferry_auth::AuthContext;
use ferry_types::{DatabaseId, DatabaseKind, Result};
use serde_json::{Value, json};

impl Control {
    /// Writes a row about what `auth` did to its database. `target`: what in it; `action`: `noun.verb`.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn audit_data(
        &self,
        auth: &AuthContext,
        origin: Origin,
        action: &'static str,
        target: &str,
        detail: Value,
    ) -> Result<()> {
        let (at, target, database_id) = (self.now(), target.to_owned(), auth.database_id);
        let org_id = self.database(database_id).map(|entry| entry.org_id);
        let principal = auth.principal();
        let detail = json!({"principal": principal, "detail": detail});
        self.db
            .write(move |transaction| {
                let row = AuditRow::ok(at, &origin, Who::Principal(&principal), action, &target);
                let row = AuditRow { org_id, database_id: Some(database_id), detail, ..row };
                row.insert(transaction.connection())
            })
            .await
    }

    /// All databases of this kind, in order of their ids.
    #[must_use]
    pub fn databases_of_kind(&self, kind: DatabaseKind) -> Vec<DatabaseId> {
        let mut ids: Vec<_> = {
            let directory = self.db.directory();
            directory.databases().filter(|entry| entry.kind == Some(kind)).map(|entry| entry.id).collect()
        };
        ids.sort_unstable();
        ids
    }
}
