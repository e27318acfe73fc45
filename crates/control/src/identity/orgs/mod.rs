//! Organisations: who owns databases. A user has a personal one, which came with the account and goes with it,
//! and belongs to shared ones.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod rename;

use ferry_sqlite::Transaction;
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result, UnixMillis, limits::ORG_NAME_MAX_BYTES};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    caller::Caller,
    directory::{columns::parsed, effects::ControlEffect},
    identity::members,
};

/// The name of an organisation, trimmed.
pub(super) fn check_name(name: &str) -> Result<&str> {
    let name = name.trim();
    let wrong = |what| Err(Error::new(Reason::InvalidArgument, what));
    if name.is_empty() || name.len() > ORG_NAME_MAX_BYTES || name.chars().any(char::is_control) {
        return wrong("name must have 1 to 128 bytes and no control characters");
    }
    if name.parse::<OrgId>().is_ok() {
        return wrong("name must not look like the id of an organisation");
    }
    Ok(name)
}

/// Refuses a name by which the user already knows another organisation: it would name neither.
pub(super) fn refuse_taken(
    connection: &Connection,
    caller: &Caller,
    org_id: OrgId,
    name: &str,
) -> ferry_sqlite::Result<()> {
    let sql = "SELECT 1 FROM memberships JOIN organizations ON organizations.id = org_id
               WHERE user_id = ?1 AND name = ?2 AND org_id <> ?3";
    let ids = [caller.user_id.to_string(), org_id.to_string()];
    let taken = connection.prepare_cached(sql)?.query_row([&ids[0], name, &ids[1]], |_| Ok(())).optional()?;
    match taken {
        Some(()) => {
            let message = format!("you belong to an organisation named {name}: choose another name");
            Err(Error::new(Reason::AlreadyExists, message).into())
        }
        None => Ok(()),
    }
}

/// Marks an organisation and its databases as deleted, and ends memberships and invitations; the databases.
pub(crate) fn bury(
    transaction: &mut Transaction<'_, ControlEffect>,
    org_id: OrgId,
    now: UnixMillis,
) -> ferry_sqlite::Result<Vec<DatabaseId>> {
    let (connection, org) = (transaction.connection(), org_id.to_string());
    let mut databases = Vec::new();
    {
        let sql = "UPDATE databases SET deleted = ?2 WHERE org_id = ?1 AND deleted IS NULL RETURNING id";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params![org, now.0])?;
        while let Some(row) = rows.next()? {
            databases.push(parsed(row, 0)?);
        }
    }
    // The name of a personal one is its user's e-mail.
    connection
        .prepare_cached(
            "UPDATE organizations SET deleted = ?2, name = iif(personal, '', name) WHERE id = ?1",
        )?
        .execute(rusqlite::params![org, now.0])?;
    connection
        .prepare_cached("DELETE FROM invitations WHERE json_extract(payload, '$.org_id') = ?1")?
        .execute([&org])?;
    databases.iter().for_each(|id| transaction.effect(ControlEffect::DatabaseDeleted { id: *id }));
    members::disband(transaction, org_id)?;
    transaction.effect(ControlEffect::OrgDeleted { id: org_id });
    Ok(databases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_organisations() {
        for good in ["a", "Ada's team / Äpfel", &"x".repeat(128), "o_1"] {
            assert_eq!(check_name(&format!(" {good} ")), Ok(good));
        }
        for bad in ["", "  ", "a\nb", "a\u{0}", &"x".repeat(129), "o_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"] {
            assert_eq!(check_name(bad).unwrap_err().reason, Reason::InvalidArgument, "{bad:?}");
        }
    }
}
