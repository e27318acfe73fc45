//! The end of an account (ORG-11): its personal organisation and the databases there go with it; what it made in
//! shared organisations stays.

use std::sync::Arc;

use ferry_types::{DatabaseId, Error, OrgId, Reason, Result, UnixMillis, UserId};
use rusqlite::Connection;
use serde_json::json;

use super::{
    Caller, Control, ControlEffect, Origin,
    accounts::email_key,
    audit::{AuditRow, Who},
    load::parsed,
    operator::forget_resets,
    password_change::has_password,
    sessions,
};

/// Without a password, a login this fresh proves who is there, milliseconds.
const FRESH_LOGIN_MS: i64 = 5 * 60 * 1000;

/// The first column of every row.
fn ids<T: std::str::FromStr>(connection: &Connection, sql: &str, id: &str) -> ferry_store::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(parsed(row, 0)?);
    }
    Ok(ids)
}

/// Refuses if a shared organisation has no other admin than the user.
fn refuse_sole_admin(connection: &Connection, user: &str) -> ferry_store::Result<()> {
    let sql = "SELECT organizations.id FROM memberships AS own
               JOIN organizations ON organizations.id = own.org_id
               WHERE own.user_id = ?1 AND own.role = 'admin' AND NOT personal AND deleted IS NULL
                   AND NOT EXISTS(SELECT 1 FROM memberships AS other WHERE other.org_id = own.org_id
                                  AND other.user_id <> ?1 AND other.role = 'admin')";
    let orphans: Vec<OrgId> = ids(connection, sql, user)?;
    match orphans.first() {
        None => Ok(()),
        Some(org) => {
            let message =
                format!("you are the only admin of organisation {org}: make another one, or delete it first");
            Err(Error::new(Reason::SoleAdmin, message).into())
        }
    }
}

impl Control {
    /// Deletes the caller's account, its personal organisation and that one's databases.
    ///
    /// # Errors
    /// A `confirm_email` that is not the account's; `invalid credentials`; `SOLE_ADMIN`.
    pub async fn delete_account(
        self: &Arc<Self>,
        caller: &Caller,
        confirm_email: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<()> {
        let email = self.email_of(caller)?;
        if email_key(confirm_email) != email_key(&email) {
            let message = "confirm_email must be the e-mail of the account that is to be deleted";
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        self.prove_presence(caller, &email, password, origin).await?;
        let (control, caller, origin) = (Arc::clone(self), caller.clone(), origin.clone());
        // A task of its own: a caller that goes away must not leave the files behind.
        let deletion = tokio::spawn(async move {
            let databases = control.bury_account(caller, origin).await?;
            metrics::counter!("ferry_revocations_total", "kind" => "user").increment(1);
            for id in databases {
                control.trash(id).await;
            }
            Ok(())
        });
        deletion.await.unwrap_or_else(|error| {
            tracing::error!(%error, "deleting an account panicked");
            Err(Error::internal())
        })
    }

    /// The password, or for an account without one a fresh login.
    async fn prove_presence(
        &self,
        caller: &Caller,
        email: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<()> {
        let user_id = caller.user_id;
        let has_one = self.write(move |transaction| has_password(transaction.connection(), user_id)).await?;
        if has_one {
            return self.prove_password(email, password, origin).await;
        }
        if self.now().0 - self.logged_in_at(caller).await?.0 < FRESH_LOGIN_MS {
            return Ok(());
        }
        let message = "this account has no password: log in again and repeat within 5 minutes";
        Err(Error::new(Reason::PermissionDenied, message))
    }

    /// One transaction: account, personal organisation, tombstones of its databases, which it gives back.
    async fn bury_account(&self, caller: Caller, origin: Origin) -> Result<Vec<DatabaseId>> {
        let now = self.now();
        self.write(move |transaction| {
            let connection = transaction.connection();
            sessions::refuse_ended(connection, caller.session_id, caller.user_epoch)?;
            let (user_id, user) = (caller.user_id, caller.user_id.to_string());
            refuse_sole_admin(connection, &user)?;
            let personal = "SELECT id FROM organizations WHERE owner_user_id = ?1 AND personal";
            let orgs: Vec<OrgId> = ids(connection, personal, &user)?;
            let mut databases = Vec::new();
            for org in &orgs {
                databases.extend(bury_org(connection, *org, now)?);
            }
            forget_resets(connection, &user)?;
            // Its row takes sessions, identities and memberships along.
            connection.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([&user])?;
            note(connection, user_id, caller.org_id, &databases, &origin, now)?;
            databases.iter().for_each(|id| transaction.effect(ControlEffect::DatabaseDeleted { id: *id }));
            orgs.into_iter().for_each(|id| transaction.effect(ControlEffect::OrgDeleted { id }));
            transaction.effect(ControlEffect::UserDeleted { user_id });
            Ok(databases)
        })
        .await
    }
}

/// Marks an organisation and its databases as deleted; the databases.
fn bury_org(connection: &Connection, org: OrgId, now: UnixMillis) -> ferry_store::Result<Vec<DatabaseId>> {
    let org = org.to_string();
    let databases = ids(connection, "SELECT id FROM databases WHERE org_id = ?1 AND deleted IS NULL", &org)?;
    for sql in [
        "UPDATE databases SET deleted = ?2 WHERE org_id = ?1 AND deleted IS NULL",
        "UPDATE organizations SET deleted = ?2 WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute(rusqlite::params![org, now.0])?;
    }
    connection.prepare_cached("DELETE FROM memberships WHERE org_id = ?1")?.execute([&org])?;
    connection
        .prepare_cached("DELETE FROM invitations WHERE json_extract(payload, '$.org_id') = ?1")?
        .execute([&org])?;
    Ok(databases)
}

fn note(
    connection: &Connection,
    user_id: UserId,
    org_id: OrgId,
    databases: &[DatabaseId],
    origin: &Origin,
    now: UnixMillis,
) -> ferry_store::Result<()> {
    let target = user_id.to_string();
    let mut row = AuditRow::ok(now, origin, Who::User(user_id), "user.delete", &target);
    row.org_id = Some(org_id);
    row.detail = json!({ "databases": databases.iter().map(ToString::to_string).collect::<Vec<_>>() });
    row.insert(connection)
}
