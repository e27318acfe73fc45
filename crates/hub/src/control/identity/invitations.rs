//! Invitations to an organisation (ORG-12): a code of 32 random bytes, stored hashed, that one person, known by
//! e-mail, may turn once into a membership.

use ferry_auth::Role;
use ferry_sqlite::Transaction;
use ferry_types::{
    Error, OrgId, Reason, Result, UnixMillis, UserId, id::InvitationId, limits::INVITATIONS_PER_ORG_MAX,
};
use rusqlite::Connection;
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{
        caller::Caller,
        recheck::{refuse_ended, refuse_non_admin, stored_role},
    },
    directory::{columns::parsed, effects::ControlEffect, listing::Listing},
    identity::{
        codes::{code_hash, new_code},
        email::{check_email, email_key},
        members,
        members::check_role,
        users::find_user,
        whoami::{OrgMembership, membership},
    },
    origin::Origin,
};

/// Life of an invitation, seconds.
const INVITATION_TTL_SECONDS: i64 = 7 * 24 * 3600;

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

fn invitation_not_found() -> Error {
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
fn make_room(connection: &Connection, org_id: OrgId, key: &str, now: UnixMillis) -> ferry_sqlite::Result<()> {
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

impl Control {
    /// Invites whoever owns `email`; also gives the code, a secret. It replaces an earlier invitation of the
    /// organisation for this e-mail.
    ///
    /// # Errors
    /// Bad e-mail or role, unknown organisation, role below admin, a member's e-mail, too many invitations.
    pub async fn create_invitation(
        &self,
        caller: &Caller,
        org: &str,
        email: &str,
        role: &str,
        origin: &Origin,
    ) -> Result<(Invitation, String)> {
        let (org_id, _) = self.resolve_org(caller, org)?;
        let (email, role) = (check_email(email)?.to_owned(), check_role(role)?);
        let (code, now) = (new_code()?, self.now());
        let id = InvitationId::from_uuid(self.db.next_id(now));
        let exp_unix = now.as_secs() + INVITATION_TTL_SECONDS;
        let invitation = Invitation { id, email: email.clone(), role, exp_unix };
        let (hash, by, origin) = (code_hash(&code), caller.clone(), origin.clone());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_non_admin(connection, &by, org_id)?;
                let key = email_key(&email);
                make_room(connection, org_id, &key, now)?;
                let payload = json!({
                    "id": id.to_string(),
                    "org_id": org_id.to_string(),
                    "email": email,
                    "email_key": key,
                    "role": role.as_str(),
                });
                connection
                    .prepare_cached(
                        "INSERT INTO invitations(secret_hash, payload, expires) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(rusqlite::params![hash, payload.to_string(), exp_unix * 1000])?;
                let target = id.to_string();
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "invitation.create", &target);
                row.org_id = Some(org_id);
                row.detail = json!({ "email": email, "role": role.as_str() });
                row.insert(connection)
            })
            .await?;
        Ok((invitation, code))
    }

    /// A page of the invitations that wait to be accepted, oldest first, and the token of the next one.
    ///
    /// # Errors
    /// Unknown organisation, role below admin, bad page size or token.
    pub async fn list_invitations(
        &self,
        caller: &Caller,
        org: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Invitation>, String)> {
        let org_id = self.resolve_own_org(caller, org)?.to_string();
        let listing = Listing::new("ListInvitations", &[&org_id], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), self.now());
        let rows = self
            .db
            .read(move |connection| {
                let sql = "SELECT json_extract(payload, '$.id') AS id, json_extract(payload, '$.email'),
                                  json_extract(payload, '$.role'), expires
                           FROM invitations
                           WHERE json_extract(payload, '$.org_id') = ?1 AND id > ?2 AND expires > ?3
                           ORDER BY id LIMIT ?4";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params![org_id, after, now.0, wanted])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(Invitation {
                        id: parsed(row, 0)?,
                        email: row.get(1)?,
                        role: parsed(row, 2)?,
                        exp_unix: UnixMillis(row.get(3)?).as_secs(),
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(rows, |row| row.id.to_string()))
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// `invitation not found`, also for one of an organisation that the caller is no admin of.
    pub async fn revoke_invitation(&self, caller: &Caller, id: &str, origin: &Origin) -> Result<()> {
        let id: InvitationId = id.parse().map_err(|_| invitation_not_found())?;
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_ended(connection, by.session_id, by.user_epoch)?;
                let target = id.to_string();
                let sql = "SELECT json_extract(payload, '$.org_id') FROM invitations
                       WHERE json_extract(payload, '$.id') = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([&target])?;
                let org_id: OrgId = parsed(rows.next()?.ok_or_else(invitation_not_found)?, 0)?;
                if stored_role(connection, by.user_id, org_id)? != Some(Role::Admin) {
                    return Err(invitation_not_found().into());
                }
                connection
                    .prepare_cached("DELETE FROM invitations WHERE json_extract(payload, '$.id') = ?1")?
                    .execute([&target])?;
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "invitation.revoke", &target);
                row.org_id = Some(org_id);
                row.insert(connection)
            })
            .await
    }

    /// Makes the caller a member of the organisation that the code invites to.
    ///
    /// # Errors
    /// The code does not count; a member already; too many memberships.
    pub async fn accept_invitation(
        &self,
        caller: &Caller,
        code: &str,
        origin: &Origin,
    ) -> Result<OrgMembership> {
        let (hash, email) = (code_hash(code), self.email_of(caller)?);
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        let (org_id, role) = self
            .db
            .write_by(caller, move |transaction| {
                refuse_ended(transaction.connection(), by.session_id, by.user_epoch)?;
                let spent = spend(transaction, &hash, by.user_id, &email, &origin, now)?;
                Ok(spent.ok_or_else(bad_code)?)
            })
            .await?;
        // It may have been deleted since.
        membership(&self.db.directory(), org_id, role)
            .ok_or_else(crate::control::credentials::caller::org_not_found)
    }

    /// Whether the code counts for this e-mail now.
    pub(crate) async fn is_invited(&self, hash: [u8; 32], email: &str) -> Result<bool> {
        let (key, now) = (email_key(email), self.now());
        let offer = self.db.read(move |connection| find_offer(connection, &hash, &key, now));
        Ok(offer.await?.is_some())
    }
}
