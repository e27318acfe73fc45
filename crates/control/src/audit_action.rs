//! What the models' own admin calls tell the audit trail (WEB-07).

use ferry_auth::AuthContext;
use ferry_types::Result;
use serde_json::{Value, json};

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    directory::entries::DatabaseEntry,
    origin::Origin,
};

/// Writes a row about what `auth` did to its database. `target`: what in it; `action`: `noun.verb`.
pub struct AuditAction<'a> {
    /// Who did it, and to which database.
    pub auth: &'a AuthContext,
    /// Where the call comes from.
    pub origin: Origin,
    /// `noun.verb`.
    pub action: &'static str,
    /// To what in it.
    pub target: &'a str,
    /// More, as JSON.
    pub detail: Value,
}

impl AuditAction<'_> {
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { auth, origin, action, target, detail } = self;
        let (at, target, database_id) = (db.now(), target.to_owned(), auth.database_id);
        let org_id = db.database(database_id).map(|entry| entry.org_id);
        let principal = auth.principal();
        let detail = json!({"principal": principal, "detail": detail});
        db.write(move |transaction| {
            let row = AuditRow::ok(at, &origin, Who::Principal(&principal), action, &target);
            let row = AuditRow { org_id, database_id: Some(database_id), detail, ..row };
            row.insert(transaction.connection())
        })
        .await
    }
}

/// Writes a row about what the operator did.
pub struct OperatorAction<'a> {
    /// Where the call comes from.
    pub origin: &'a Origin,
    /// `noun.verb`.
    pub action: &'static str,
    /// To what.
    pub target: &'a str,
    /// The database that it was done to, whose organisation's admins learn of it; `None`: the hub as a whole.
    pub database: Option<&'a DatabaseEntry>,
    /// More, as JSON.
    pub detail: Value,
}

impl OperatorAction<'_> {
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { origin, action, target, database, detail } = self;
        let (at, target, origin) = (db.now(), target.to_owned(), origin.clone());
        let (org_id, database_id) = (database.map(|entry| entry.org_id), database.map(|entry| entry.id));
        db.write(move |transaction| {
            let row = AuditRow::ok(at, &origin, Who::Operator, action, &target);
            AuditRow { org_id, database_id, detail, ..row }.insert(transaction.connection())
        })
        .await
    }
}
