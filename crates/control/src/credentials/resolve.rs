//! What a caller's words mean: organisations and databases by id or name, with the role that the caller has there.

use ferry_auth::Role;
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result};

use crate::{
    caller::{Caller, database_not_found, org_not_found, require_role},
    control_db::ControlDb,
    directory::entries::DatabaseEntry,
};

/// The organisation that `text` names to the caller (id or name; empty: the session's), and the role there.
///
/// # Errors
/// Not found when there is none that the caller belongs to.
pub(crate) fn resolve_org(db: &ControlDb, caller: &Caller, text: &str) -> Result<(OrgId, Role)> {
    let directory = db.directory();
    let memberships = directory.user(caller.user_id).map_or(&[][..], |user| &user.memberships);
    let by_id = if text.is_empty() { Some(caller.org_id) } else { text.parse().ok() };
    let mut named = memberships.iter().filter(|(id, _)| match by_id {
        Some(wanted) => *id == wanted,
        None => directory.org(*id).is_some_and(|org| org.name.as_ref() == text),
    });
    let first = named.next().copied();
    if named.next().is_some() {
        // Names are not unique: whoever invites you chooses the name of what you join.
        let message = "you belong to more than one organisation of this name: name it by its id";
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    first.ok_or_else(org_not_found)
}

/// The organisation that `text` names to the caller, who must be admin there.
///
/// # Errors
/// Not found; permission denied below admin.
pub(crate) fn resolve_own_org(db: &ControlDb, caller: &Caller, text: &str) -> Result<OrgId> {
    let (org_id, role) = resolve_org(db, caller, text)?;
    require_role(role, Role::Admin)?;
    Ok(org_id)
}

/// The database that `text` names to the caller (id, or name in the session's organisation), and the
/// caller's role there. One of a foreign organisation answers like an unknown one (ORG-07).
///
/// # Errors
/// `database not found`.
pub(crate) fn resolve_database(db: &ControlDb, caller: &Caller, text: &str) -> Result<(DatabaseEntry, Role)> {
    let directory = db.directory();
    let entry = match text.parse::<DatabaseId>() {
        Ok(id) => directory.database(id),
        Err(_) => directory.database_named(caller.org_id, text),
    };
    let visible = entry.and_then(|entry| Some((entry, directory.role(caller.user_id, entry.org_id)?)));
    visible.map(|(entry, role)| (entry.clone(), role)).ok_or_else(database_not_found)
}

/// The same for a database that the caller administers.
///
/// # Errors
/// `database not found`, role below admin.
pub(crate) fn resolve_own_database(db: &ControlDb, caller: &Caller, database: &str) -> Result<DatabaseEntry> {
    let (entry, role) = resolve_database(db, caller, database)?;
    require_role(role, Role::Admin)?;
    Ok(entry)
}
