//! One database and its present state.

use ferry_types::Result;

use crate::{
    caller::Caller, control_db::ControlDb, credentials::resolve::resolve_database,
    databases::storage::DatabaseStorage, directory::entries::DatabaseEntry, host::DatabaseStats,
};

/// A database and its present state.
pub struct GetDatabase<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
}

impl GetDatabase<'_> {
    /// # Errors
    /// `database not found`, or what the database itself answers.
    pub async fn run(
        self,
        db: &ControlDb,
        storage: &DatabaseStorage,
    ) -> Result<(DatabaseEntry, DatabaseStats)> {
        let Self { caller, database } = self;
        let (entry, _) = resolve_database(db, caller, database)?;
        let stats = storage.stats(entry.id).await?;
        Ok((entry, stats))
    }
}
