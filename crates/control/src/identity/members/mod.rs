//! Members of an organisation and their roles. A role counts from its commit on: the directory follows it, and
//! open connections of the member are looked at again (ORG-05).

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set_role;

use ferry_auth::{Role, role::UnknownRole};
use ferry_sqlite::Transaction;
use ferry_types::{
    Error, OrgId, Reason, Result, TokenId, UnixMillis, UserId,
    limits::{MEMBERS_PER_ORG_MAX, ORGS_PER_USER_MAX},
};
use rusqlite::Connection;

use crate::{
    credentials::recheck::stored_role,
    directory::{columns::parsed, effects::ControlEffect},
    identity::users::find_user,
};

/// A member as admins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user_id: UserId,
    /// Its e-mail, as given at signup.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Since when it belongs to the organisation.
    pub joined: UnixMillis,
}

/// The role that a caller names.
///
/// # Errors
/// When it is none.
pub(crate) fn check_role(role: &str) -> Result<Role> {
    role.parse().map_err(|error: UnknownRole| Error::new(Reason::InvalidArgument, error.to_string()))
}

/// Makes the user a member.
///
/// # Errors
/// When user or organisation has as many memberships as it may have.
pub(crate) fn join(
    transaction: &mut Transaction<'_, ControlEffect>,
    user_id: UserId,
    org_id: OrgId,
    role: Role,
    now: UnixMillis,
) -> ferry_sqlite::Result<()> {
    let connection = transaction.connection();
    let (user, org) = (user_id.to_string(), org_id.to_string());
    let count = |sql: &str, id: &str| -> ferry_sqlite::Result<usize> {
        Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
    };
    if count("SELECT count(*) FROM memberships WHERE user_id = ?1", &user)? >= ORGS_PER_USER_MAX {
        let message =
            format!("you belong to {ORGS_PER_USER_MAX} organisations, the most one may: leave one first");
        return Err(Error::new(Reason::OrgLimit, message).into());
    }
    if count("SELECT count(*) FROM memberships WHERE org_id = ?1", &org)? >= MEMBERS_PER_ORG_MAX {
        let message = format!(
            "the organisation has {MEMBERS_PER_ORG_MAX} members, the most it may have: remove one first"
        );
        return Err(Error::new(Reason::OrgLimit, message).into());
    }
    connection
        .prepare_cached("INSERT INTO memberships(user_id, org_id, role, created) VALUES (?1, ?2, ?3, ?4)")?
        .execute(rusqlite::params![user, org, role.as_str(), now.0])?;
    transaction.effect(ControlEffect::MembershipChanged { user_id, org_id, role: Some(role) });
    Ok(())
}

/// The ids of an organisation's admins.
pub(crate) fn admins(connection: &Connection, org_id: OrgId) -> ferry_sqlite::Result<Vec<String>> {
    let sql = "SELECT user_id FROM memberships WHERE org_id = ?1 AND role = 'admin' ORDER BY user_id";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([org_id.to_string()], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Removes every member of an organisation that ends.
pub(crate) fn disband(
    transaction: &mut Transaction<'_, ControlEffect>,
    org_id: OrgId,
) -> ferry_sqlite::Result<()> {
    let mut gone: Vec<UserId> = Vec::new();
    {
        let sql = "DELETE FROM memberships WHERE org_id = ?1 RETURNING user_id";
        let mut statement = transaction.connection().prepare_cached(sql)?;
        let mut rows = statement.query([org_id.to_string()])?;
        while let Some(row) = rows.next()? {
            gone.push(parsed(row, 0)?);
        }
    }
    for user_id in gone {
        transaction.effect(ControlEffect::MembershipChanged { user_id, org_id, role: None });
    }
    Ok(())
}

/// A member as stored.
pub(super) struct StoredMember {
    pub(super) user_id: UserId,
    org_id: OrgId,
    pub(super) role: Role,
}

impl StoredMember {
    /// The member of this id or e-mail.
    pub(super) fn find(
        connection: &Connection,
        org_id: OrgId,
        user: &str,
    ) -> ferry_sqlite::Result<Option<Self>> {
        let Some(user_id) = find_user(connection, user)? else { return Ok(None) };
        let role = stored_role(connection, user_id, org_id)?;
        Ok(role.map(|role| Self { user_id, org_id, role }))
    }

    /// Refuses to take the role of an admin without whom the organisation would have none, or of the user
    /// whose personal organisation it is (ORG-10).
    pub(super) fn refuse_if_needed(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        if self.role != Role::Admin {
            return Ok(());
        }
        let ids = [self.org_id.to_string(), self.user_id.to_string()];
        let asks = |sql: &str| {
            connection.prepare_cached(sql)?.query_row([&ids[0], &ids[1]], |row| row.get::<_, bool>(0))
        };
        if asks("SELECT personal AND owner_user_id = ?2 FROM organizations WHERE id = ?1")? {
            let message = "a personal organisation keeps its owner as admin: it ends with the account";
            return Err(Error::new(Reason::FailedPrecondition, message).into());
        }
        let others = "SELECT EXISTS(SELECT 1 FROM memberships JOIN users ON users.id = user_id
                          WHERE org_id = ?1 AND role = 'admin' AND user_id <> ?2 AND NOT disabled)";
        if asks(others)? {
            return Ok(());
        }
        let message =
            "the organisation would be left without an admin: make another member admin first, or delete it";
        Err(Error::new(Reason::SoleAdmin, message).into())
    }

    /// Revokes the sync tokens that the member minted for the organisation's databases (TOK-12), so that they
    /// stay dead if it comes back; how many there were.
    pub(super) fn revoke_tokens(
        &self,
        transaction: &mut Transaction<'_, ControlEffect>,
        now: UnixMillis,
    ) -> ferry_sqlite::Result<usize> {
        let sql = "UPDATE issued_tokens SET revoked = ?3
                   WHERE user_id = ?1 AND revoked IS NULL AND expires > ?3
                       AND database_id IN (SELECT id FROM databases WHERE org_id = ?2 AND deleted IS NULL)
                   RETURNING token_id, expires";
        let mut revoked: Vec<(TokenId, UnixMillis)> = Vec::new();
        {
            let mut statement = transaction.connection().prepare_cached(sql)?;
            let mut rows = statement.query(rusqlite::params![
                self.user_id.to_string(),
                self.org_id.to_string(),
                now.0
            ])?;
            while let Some(row) = rows.next()? {
                revoked.push((TokenId(row.get(0)?), UnixMillis(row.get(1)?)));
            }
        }
        for (token_id, expires) in &revoked {
            let (user_id, expires_unix) = (self.user_id, expires.as_secs());
            transaction.effect(ControlEffect::TokenRevoked { token_id: *token_id, user_id, expires_unix });
        }
        Ok(revoked.len())
    }
}

pub(super) fn member_not_found() -> Error {
    Error::new(Reason::NotFound, "member not found")
}
