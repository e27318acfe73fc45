//! Invitations to an organisation (ORG-12): a code of 32 random bytes, stored hashed, that one person, known by
//! e-mail, may turn once into a membership.

pub(crate) mod accept;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use ferry_auth::Role;
use ferry_sqlite::Transaction;
use ferry_types::{
    Error, OrgId, Reason, Result, UnixMillis, UserId, id::InvitationId, limits::INVITATIONS_PER_ORG_MAX,
};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    credentials::recheck::stored_role,
    directory::{columns::parsed, effects::ControlEffect},
    identity::{email::email_key, members, users::find_user},
    origin::Origin,
};

/// Life of an invitation, seconds.
pub(super) const INVITATION_TTL_SECONDS: i64 = 7 * 24 * 3600;

/// An invitation that waits to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Whom it is for.
    pub email: String,
    /// The role it gives.
    pub role: Role,
    /// From this Unix second on it is dead.
    pub exp_unix: i64,
}

/// What a code gives.
struct Offer {
    id: InvitationId,
    org_id: OrgId,
    role: Role,
}

/// One answer for a code that is unknown, spent, expired, revoked or somebody else's.
pub(crate) fn bad_code() -> Error {
    let message = "invalid or expired invitation code: each works once, for 7 days, and for the e-mail it was \
                   made for; ask for a new one";
    Error::new(Reason::PermissionDenied, message)
}

pub(super) fn invitation_not_found() -> Error {
    Error::new(Reason::NotFound, "invitation not found")
}

/// What the code gives to the user of this e-mail, if it still counts.
fn find_offer(
    connection: &Connection,
    hash: &[u8; 32],
    key: &str,
    now: UnixMillis,
) -> ferry_sqlite::Result<Option<Offer>> {
    let sql = "SELECT json_extract(payload, '$.id'), json_extract(payload, '$.org_id'),
                      json_extract(payload, '$.role')
               FROM invitations
               WHERE secret_hash = ?1 AND expires > ?2 AND json_extract(payload, '$.email_key') = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![hash, now.0, key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Offer { id: parsed(row, 0)?, org_id: parsed(row, 1)?, role: parsed(row, 2)? }))
}

/// Turns a code into a membership of the user, which spends it; `None` if the code does not count.
///
/// # Errors
/// When the user is a member already, and by the limits of [`members::join`].
pub(crate) fn spend(
    transaction: &mut Transaction<'_, ControlEffect>,
    hash: &[u8; 32],
    user_id: UserId,
    email: &str,
    origin: &Origin,
    now: UnixMillis,
) -> ferry_sqlite::Result<Option<(OrgId, Role)>> {
    let connection = transaction.connection();
    let Some(Offer { id, org_id, role }) = find_offer(connection, hash, &email_key(email), now)? else {
        return Ok(None);
    };
    if let Some(role) = stored_role(connection, user_id, org_id)? {
        let message = format!("you are a member of the organisation already, with role {role}");
        return Err(Error::new(Reason::AlreadyExists, message).into());
    }
    connection.prepare_cached("DELETE FROM invitations WHERE secret_hash = ?1")?.execute([hash])?;
    let target = id.to_string();
    let mut row = AuditRow::ok(now, origin, Who::User(user_id), "invitation.accept", &target);
    row.org_id = Some(org_id);
    row.detail = json!({ "role": role.as_str() });
    row.insert(connection)?;
    members::join(transaction, user_id, org_id, role, now)?;
    Ok(Some((org_id, role)))
}

/// Refuses an e-mail whose owner is a member, and one invitation too many. An earlier one for the same e-mail
/// is replaced.
pub(super) fn make_room(
    connection: &Connection,
    org_id: OrgId,
    key: &str,
    now: UnixMillis,
) -> ferry_sqlite::Result<()> {
    if let Some(user_id) = find_user(connection, key)?
        && stored_role(connection, user_id, org_id)?.is_some()
    {
        let message = "the owner of this e-mail is a member already: change the role instead";
        return Err(Error::new(Reason::AlreadyExists, message).into());
    }
    let org = org_id.to_string();
    connection
        .prepare_cached(
            "DELETE FROM invitations
             WHERE json_extract(payload, '$.org_id') = ?1 AND json_extract(payload, '$.email_key') = ?2",
        )?
        .execute([&org, key])?;
    let waiting: usize = connection
        .prepare_cached(
            "SELECT count(*) FROM invitations WHERE json_extract(payload, '$.org_id') = ?1 AND expires > ?2",
        )?
        .query_row(rusqlite::params![org, now.0], |row| row.get(0))?;
    if waiting < INVITATIONS_PER_ORG_MAX {
        return Ok(());
    }
    let message = format!(
        "the organisation has {INVITATIONS_PER_ORG_MAX} invitations waiting, the most it may have: revoke some"
    );
    Err(Error::new(Reason::OrgLimit, message).into())
}

/// Whether the code counts for this e-mail now.
pub(crate) async fn is_invited(db: &ControlDb, hash: [u8; 32], email: &str) -> Result<bool> {
    let (key, now) = (email_key(email), db.now());
    let offer = db.read(move |connection| find_offer(connection, &hash, &key, now));
    Ok(offer.await?.is_some())
}
