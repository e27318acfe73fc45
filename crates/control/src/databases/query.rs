//! A member looks into a database (OPR-57).

use ferry_auth::Caveat;
use ferry_types::{Error, Model, Op, Reason, Result};
use serde_json::json;

use crate::{
    caller::{Caller, database_not_found},
    control_db::ControlDb,
    credentials::resolve::resolve_database,
    databases::change,
    directory::entries::DatabaseEntry,
    origin::Origin,
};

/// How much of a statement the audit trail keeps.
const NOTED_MAX_BYTES: usize = 2000;

/// The database that a member may look into: whoever belongs to the organisation may have a token that reads the whole
/// file.
pub struct LookInto<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
}

impl LookInto<'_> {
    /// # Errors
    /// `database not found`; a session narrowed to less than the whole of it.
    pub fn run(self, db: &ControlDb) -> Result<DatabaseEntry> {
        let Self { caller, database } = self;
        let (entry, _) = resolve_database(db, caller, database)?;
        if caller.restrictions.database_id.is_some_and(|named| named != entry.id) {
            return Err(database_not_found());
        }
        let reads_all = caller.caveats.iter().all(|caveat| match caveat {
            Caveat::Exp(_) | Caveat::Nbf(_) | Caveat::Ip(_) | Caveat::Db(_) => true,
            Caveat::Op(ops) => ops.contains(Op::Read),
            Caveat::Model(models) => models.contains(Model::Pages),
            // What is found is not told apart by tables, and not charged.
            Caveat::Tbl(_) | Caveat::Fn(_) | Caveat::Bpd(_) => false,
        });
        if !reads_all {
            let message = "this session is narrowed by caveats to less than the whole database: log in";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        Ok(entry)
    }
}

/// Writes down which statement a member runs.
pub struct NoteQuery<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The database.
    pub entry: &'a DatabaseEntry,
    /// The statement, without the values of its parameters.
    pub sql: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl NoteQuery<'_> {
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, entry, sql, origin } = self;
        let change = change(db, caller, entry, origin);
        let name = entry.name.clone();
        let detail = json!({ "sql": &sql[..sql.floor_char_boundary(NOTED_MAX_BYTES)] });
        db.write(move |transaction| change.audit(transaction.connection(), "database.query", &name, detail))
            .await
    }
}
