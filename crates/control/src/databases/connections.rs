//! Who may see the connections of a database, and end one.

use ferry_auth::{Caveat, Role};
use ferry_types::{DatabaseId, Result, UserId};
use serde_json::json;

use crate::{
    caller::{Caller, database_not_found},
    control_db::ControlDb,
    credentials::resolve::{resolve_database, resolve_own_database},
    databases::change,
    directory::entries::DatabaseEntry,
    origin::Origin,
};

/// Whose connections to a database somebody may see.
pub struct SeeConnections<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
}

impl SeeConnections<'_> {
    /// The database, and the user whose connections alone are shown; `None`: those of everybody.
    ///
    /// # Errors
    /// `database not found`.
    pub fn run(self, db: &ControlDb) -> Result<(DatabaseEntry, Option<UserId>)> {
        let Self { caller, database } = self;
        let (entry, role) = resolve_database(db, caller, database)?;
        if caller.restrictions.database_id.is_some_and(|named| named != entry.id) {
            return Err(database_not_found());
        }
        // A session narrowed by caveats sees less than its user does.
        let sees_all = role >= Role::Admin && caller.caveats.iter().all(Caveat::keeps_all_rights);
        Ok((entry, (!sees_all).then_some(caller.user_id)))
    }
}

/// Ends a connection, by an admin of its database.
pub struct NoteClosedConnection<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The database that it is connected to.
    pub database: DatabaseId,
    /// Its id.
    pub connection: &'a str,
    /// Whose it is, and what its client calls itself.
    pub whose: (&'a str, &'a str),
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl NoteClosedConnection<'_> {
    /// Writes it down; the connection may be ended once this is done.
    ///
    /// # Errors
    /// `database not found`, role below admin, when `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, database, connection, whose: (principal, client), origin } = self;
        let entry = resolve_own_database(db, caller, &database.to_string())?;
        let change = change(db, caller, &entry, origin);
        let name = entry.name.clone();
        let detail = json!({ "connection": connection, "principal": principal, "client": client });
        db.write(move |transaction| change.audit(transaction.connection(), "connection.close", &name, detail))
            .await
    }
}
