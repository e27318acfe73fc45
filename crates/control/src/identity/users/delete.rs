//! The end of an account (ORG-11): its personal organisation and the databases there go with it; what it made in
//! shared organisations stays.

use std::sync::Arc;

use ferry_types::{DatabaseId, Error, OrgId, Reason, Result, UnixMillis, UserId};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::recheck::refuse_ended,
    databases::storage::DatabaseStorage,
    directory::{columns::parsed, effects::ControlEffect},
    identity::{
        accounts::Accounts,
        email::email_key,
        orgs,
        password_proof::prove_password,
        passwords::has_password,
        sessions::logged_in_at,
        users::{email_of, forget_resets},
    },
    origin::Origin,
};

/// Without a password, a login this fresh proves who is there, milliseconds.
const FRESH_LOGIN_MS: i64 = 5 * 60 * 1000;

/// The first column of every row.
fn ids<T: std::str::FromStr>(connection: &Connection, sql: &str, id: &str) -> ferry_sqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(parsed(row, 0)?);
    }
    Ok(ids)
}

/// Refuses if a shared organisation has no other admin than the user.
fn refuse_sole_admin(connection: &Connection, user: &str) -> ferry_sqlite::Result<()> {
    let sql = "SELECT organizations.id FROM memberships AS own
               JOIN organizations ON organizations.id = own.org_id
               WHERE own.user_id = ?1 AND own.role = 'admin' AND NOT personal AND deleted IS NULL
                   AND NOT EXISTS(SELECT 1 FROM memberships AS other JOIN users ON users.id = other.user_id
                                  WHERE other.org_id = own.org_id AND other.user_id <> ?1
                                      AND other.role = 'admin' AND NOT disabled)";
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

/// Deletes the caller's account, its personal organisation and that one's databases.
pub struct DeleteAccount<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The account's e-mail once more, against slips.
    pub confirm_email: &'a str,
    /// The password, if there is one.
    pub password: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl DeleteAccount<'_> {
    /// # Errors
    /// A `confirm_email` that is not the account's; `invalid credentials`; `SOLE_ADMIN`.
    pub async fn run(self, accounts: &Accounts, storage: &Arc<DatabaseStorage>) -> Result<()> {
        let Self { caller, confirm_email, password, origin } = self;
        let email = email_of(&accounts.db, caller)?;
        if email_key(confirm_email) != email_key(&email) {
            let message = "confirm_email must be the e-mail of the account that is to be deleted";
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        prove_presence(accounts, caller, &email, password, origin).await?;
        let (db, storage) = (Arc::clone(&accounts.db), Arc::clone(storage));
        let (caller, origin) = (caller.clone(), origin.clone());
        // A task of its own: a caller that goes away must not leave the files behind.
        let deletion = tokio::spawn(async move {
            let databases = bury_account(&db, caller, origin).await?;
            metrics::counter!("ferry_revocations_total", "kind" => "user").increment(1);
            for id in databases {
                storage.trash(id).await;
            }
            Ok(())
        });
        deletion.await.unwrap_or_else(|error| {
            tracing::error!(%error, "deleting an account panicked");
            Err(Error::internal())
        })
    }
}

/// The password, or for an account without one a fresh login.
async fn prove_presence(
    accounts: &Accounts,
    caller: &Caller,
    email: &str,
    password: &str,
    origin: &Origin,
) -> Result<()> {
    let user_id = caller.user_id;
    let has_one = accounts.db.read(move |connection| has_password(connection, user_id)).await?;
    if has_one {
        return prove_password(accounts, email, password, origin).await;
    }
    if accounts.db.now().0 - logged_in_at(&accounts.db, caller).await?.0 < FRESH_LOGIN_MS {
        return Ok(());
    }
    let message = "this account has no password: log in again and repeat within 5 minutes";
    Err(Error::new(Reason::PermissionDenied, message))
}

/// One transaction: account, personal organisation, tombstones of its databases, which it gives back.
async fn bury_account(db: &ControlDb, caller: Caller, origin: Origin) -> Result<Vec<DatabaseId>> {
    let now = db.now();
    let by = caller.clone();
    db.write_by(&by, move |transaction| {
        let connection = transaction.connection();
        refuse_ended(connection, caller.session_id, caller.user_epoch)?;
        let (user_id, user) = (caller.user_id, caller.user_id.to_string());
        refuse_sole_admin(connection, &user)?;
        let personal = "SELECT id FROM organizations WHERE owner_user_id = ?1 AND personal";
        let mut databases = Vec::new();
        for org in &ids::<OrgId>(connection, personal, &user)? {
            databases.extend(orgs::bury(transaction, *org, now)?);
        }
        let connection = transaction.connection();
        forget_resets(connection, &user)?;
        // Its row takes sessions, identities and memberships along.
        connection.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([&user])?;
        note(connection, user_id, caller.org_id, &databases, &origin, now)?;
        transaction.effect(ControlEffect::UserDeleted { user_id });
        Ok(databases)
    })
    .await
}

fn note(
    connection: &Connection,
    user_id: UserId,
    org_id: OrgId,
    databases: &[DatabaseId],
    origin: &Origin,
    now: UnixMillis,
) -> ferry_sqlite::Result<()> {
    let target = user_id.to_string();
    let mut row = AuditRow::ok(now, origin, Who::User(user_id), "user.delete", &target);
    row.org_id = Some(org_id);
    row.detail = json!({ "databases": databases.iter().map(ToString::to_string).collect::<Vec<_>>() });
    row.insert(connection)
}
