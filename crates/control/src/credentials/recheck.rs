//! Rights of a caller, looked at once more inside the transaction that uses them: the order of the actor decides
//! between it and a revocation.

use ferry_auth::Role;
use ferry_types::{Error, OrgId, Reason, SessionId, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    caller::{Caller, org_not_found, require_role},
    directory::columns::parsed,
    origin::Origin,
};

/// Who is no operator of the hub.
pub(crate) fn not_operating() -> Error {
    let message = "this is for operators of the hub: whoever has its operator token can make you one with ferry admin \
                   user operator, or use the token itself";
    Error::new(Reason::PermissionDenied, message)
}

/// Refuses a user who operates the hub no longer, or whose session has ended; not whoever holds the operator token.
pub(crate) fn refuse_demoted(connection: &Connection, origin: &Origin) -> ferry_sqlite::Result<()> {
    let Some(by) = origin.operator else { return Ok(()) };
    refuse_ended(connection, by.session_id, by.user_epoch)?;
    let operates: bool = connection
        .prepare_cached("SELECT operator FROM users WHERE id = ?1")?
        .query_row([by.user_id.to_string()], |row| row.get(0))?;
    if operates { Ok(()) } else { Err(not_operating().into()) }
}

/// Refuses a session that ended before its time. What changes rights asks inside its own transaction: the
/// order of the actor decides.
pub(crate) fn refuse_ended(
    connection: &Connection,
    session_id: SessionId,
    user_epoch: u32,
) -> ferry_sqlite::Result<()> {
    let live = connection
        .prepare_cached(
            "SELECT 1 FROM sessions JOIN users ON users.id = user_id
             WHERE sessions.id = ?1 AND revoked IS NULL AND epoch = ?2 AND NOT disabled",
        )?
        .query_row(rusqlite::params![session_id.to_string(), user_epoch], |_| Ok(()))
        .optional()?;
    live.ok_or_else(|| Error::new(Reason::TokenRevoked, "session token required").into())
}

/// The user's role in the organisation as stored. What changes something asks here, inside its own transaction:
/// the order of the actor decides between it and a demotion.
pub(crate) fn stored_role(
    connection: &Connection,
    user_id: UserId,
    org_id: OrgId,
) -> ferry_sqlite::Result<Option<Role>> {
    let sql = "SELECT role FROM memberships WHERE user_id = ?1 AND org_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([user_id.to_string(), org_id.to_string()])?;
    rows.next()?.map(|row| parsed(row, 0)).transpose()
}

/// Refuses a caller whose session has ended, or who is no admin of the organisation.
pub(crate) fn refuse_non_admin(
    connection: &Connection,
    caller: &Caller,
    org_id: OrgId,
) -> ferry_sqlite::Result<()> {
    refuse_non_admin_of(connection, caller, org_id, org_not_found)
}

/// The same about something of the organisation; `gone` is what whoever left is told.
pub(crate) fn refuse_non_admin_of(
    connection: &Connection,
    caller: &Caller,
    org_id: OrgId,
    gone: fn() -> Error,
) -> ferry_sqlite::Result<()> {
    refuse_ended(connection, caller.session_id, caller.user_epoch)?;
    let role = stored_role(connection, caller.user_id, org_id)?.ok_or_else(gone)?;
    Ok(require_role(role, Role::Admin)?)
}
