//! Organisations: who owns databases. A user has a personal one, which came with the account and goes with it,
//! and belongs to shared ones.

use ferry_auth::Role;
use ferry_sqlite::Transaction;
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result, UnixMillis, limits::ORG_NAME_MAX_BYTES};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{
        caller::Caller,
        recheck::{refuse_ended, refuse_non_admin},
    },
    directory::{columns::parsed, effects::ControlEffect, listing::Listing},
    identity::{
        members,
        whoami::{OrgMembership, membership},
    },
    origin::Origin,
};

/// The name of an organisation, trimmed.
fn check_name(name: &str) -> Result<&str> {
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
fn refuse_taken(
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

impl Control {
    /// Creates a shared organisation, whose admin the caller is.
    ///
    /// # Errors
    /// Bad name, one that the caller knows another organisation by, too many organisations.
    pub async fn create_org(&self, caller: &Caller, name: &str, origin: &Origin) -> Result<OrgMembership> {
        let name = check_name(name)?.to_owned();
        let now = self.now();
        let id = OrgId::from_uuid(self.db.next_id(now));
        let created = OrgMembership { id, name: name.clone(), role: Role::Admin, personal: false };
        let (by, origin) = (caller.clone(), origin.clone());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_ended(connection, by.session_id, by.user_epoch)?;
                refuse_taken(connection, &by, id, &name)?;
                connection
                    .prepare_cached(
                        "INSERT INTO organizations(id, name, personal, owner_user_id, created)
                     VALUES (?1, ?2, 0, ?3, ?4)",
                    )?
                    .execute(rusqlite::params![id.to_string(), name, by.user_id.to_string(), now.0])?;
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "org.create", &name);
                row.org_id = Some(id);
                row.insert(connection)?;
                transaction.effect(ControlEffect::OrgCreated { id, name: name.clone() });
                members::join(transaction, by.user_id, id, Role::Admin, now)
            })
            .await?;
        Ok(created)
    }

    /// A page of the caller's organisations, oldest first, and the token of the next one.
    ///
    /// # Errors
    /// Bad page size or token.
    pub fn list_orgs(
        &self,
        caller: &Caller,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<OrgMembership>, String)> {
        let user = caller.user_id.to_string();
        let listing = Listing::new("ListOrgs", &[&user], page_size, page_token)?;
        let after: Option<OrgId> = listing.after.parse().ok();
        let directory = self.db.directory();
        let memberships = directory.user(caller.user_id).map_or(&[][..], |user| &user.memberships);
        let orgs = memberships
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .filter_map(|(id, role)| membership(&directory, *id, *role));
        Ok(listing.page(orgs, |org| org.id.to_string()))
    }

    /// Gives an organisation another name.
    ///
    /// # Errors
    /// Bad or taken name, unknown organisation, role below admin.
    pub async fn rename_org(&self, caller: &Caller, org: &str, name: &str, origin: &Origin) -> Result<()> {
        let (id, _) = self.resolve_org(caller, org)?;
        let name = check_name(name)?.to_owned();
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_non_admin(connection, &by, id)?;
                let old_name: String = connection
                    .prepare_cached("SELECT name FROM organizations WHERE id = ?1")?
                    .query_row([id.to_string()], |row| row.get(0))?;
                if old_name == name {
                    return Ok(());
                }
                refuse_taken(connection, &by, id, &name)?;
                connection
                    .prepare_cached("UPDATE organizations SET name = ?2 WHERE id = ?1")?
                    .execute([id.to_string().as_str(), &name])?;
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "org.rename", &name);
                row.org_id = Some(id);
                row.detail = json!({ "old_name": old_name });
                row.insert(connection)?;
                transaction.effect(ControlEffect::OrgRenamed { id, name });
                Ok(())
            })
            .await
    }

    /// Deletes a shared organisation that has no databases left; memberships and invitations end.
    ///
    /// # Errors
    /// Unknown organisation, role below admin; failed precondition for a personal one and while it has databases.
    pub async fn delete_org(&self, caller: &Caller, org: &str, origin: &Origin) -> Result<()> {
        let (id, _) = self.resolve_org(caller, org)?;
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_non_admin(connection, &by, id)?;
                let (name, personal, databases): (String, bool, u64) = connection
                    .prepare_cached(
                        "SELECT name, personal, (SELECT count(*) FROM databases
                                             WHERE org_id = organizations.id AND deleted IS NULL)
                     FROM organizations WHERE id = ?1",
                    )?
                    .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                let refuse = |message: String| Err(Error::new(Reason::FailedPrecondition, message).into());
                if personal {
                    return refuse("a personal organisation ends with the account of its user".to_owned());
                }
                if databases > 0 {
                    return refuse(format!("the organisation has {databases} databases: delete them first"));
                }
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "org.delete", &name);
                row.org_id = Some(id);
                // Whoever was its admin may read its trail as long as this row is kept.
                row.detail = json!({ "admins": members::admins(connection, id)? });
                row.insert(connection)?;
                bury(transaction, id, now).map(drop)
            })
            .await
    }
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
