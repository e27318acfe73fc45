//! Who may have a database put back from a backup, beside the one that lives (OPR-22).

use ferry_types::Result;
use serde_json::json;

use crate::{
    caller::Caller, control_db::ControlDb, credentials::resolve::resolve_own_database, databases::change,
    directory::entries::DatabaseEntry, origin::Origin,
};

/// The database whose backups an admin of it may see and put back.
pub struct AdministerBackups<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
}

impl AdministerBackups<'_> {
    /// # Errors
    /// `database not found`, role below admin.
    pub fn run(self, db: &ControlDb) -> Result<DatabaseEntry> {
        resolve_own_database(db, self.caller, self.database)
    }
}

/// Writes down that an admin has a database put back.
pub struct NoteRestore<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The database.
    pub entry: &'a DatabaseEntry,
    /// The job that does it.
    pub job: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl NoteRestore<'_> {
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, entry, job, origin } = self;
        let change = change(db, caller, entry, origin);
        let (name, detail) = (entry.name.clone(), json!({ "job": job }));
        db.write(move |transaction| change.audit(transaction.connection(), "backup.restore", &name, detail))
            .await
    }
}
