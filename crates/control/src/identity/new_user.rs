//! A user with its personal organisation, created (ORG-01).

use ferry_sqlite::Transaction;
use ferry_types::{Error, OrgId, Reason, Result, UnixMillis, UserId, id::IdentityId};
use rusqlite::OptionalExtension as _;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    credentials::recheck::refuse_demoted,
    directory::effects::ControlEffect,
    identity::{accounts::Accounts, email::email_key, verification::VerificationMail},
    origin::Origin,
};

/// A user that is about to be created.
pub(crate) struct NewUser {
    pub(crate) user_id: UserId,
    pub(crate) org_id: OrgId,
    pub(crate) identity_id: IdentityId,
    pub(crate) email: String,
    /// PHC string of the password.
    pub(crate) secret: String,
    /// The provider that vouches for the user in place of a password, and what it calls the user.
    pub(crate) vouched: Option<(&'static str, String)>,
    /// Whether the user may operate the hub.
    pub(crate) operator: bool,
    /// Whether the address needs no proof: a provider vouches for it, or the hub made the account for itself.
    pub(crate) is_verified: bool,
    pub(crate) now: UnixMillis,
}

impl NewUser {
    /// Creates user, identity, personal organisation and membership (ORG-01).
    pub(crate) fn insert(
        &self,
        transaction: &mut Transaction<'_, ControlEffect>,
    ) -> ferry_sqlite::Result<()> {
        let connection = transaction.connection();
        let (user, org, key) = (self.user_id.to_string(), self.org_id.to_string(), email_key(&self.email));
        let taken = connection
            .prepare_cached("SELECT 1 FROM users WHERE email_key = ?1")?
            .query_row([&key], |_| Ok(()))
            .optional()?;
        if taken.is_some() {
            let message = "an account with this e-mail exists: log in instead";
            return Err(Error::new(Reason::AlreadyExists, message).into());
        }
        connection
            .prepare_cached(
                "INSERT INTO users(id, email, email_key, email_verified, operator, created)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(rusqlite::params![user, self.email, key, self.is_verified, self.operator, self.now.0])?;
        let (provider, subject, secret) = match &self.vouched {
            Some((provider, subject)) => (*provider, subject, None),
            None => ("password", &user, Some(&self.secret)),
        };
        connection
            .prepare_cached(
                "INSERT INTO identities(id, user_id, provider, provider_user_id, secret)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(rusqlite::params![self.identity_id.to_string(), user, provider, subject, secret])?;
        let org_name = format!("{} (personal)", self.email);
        connection
            .prepare_cached(
                "INSERT INTO organizations(id, name, personal, owner_user_id, created) VALUES (?1, ?2, 1, ?3, ?4)",
            )?
            .execute(rusqlite::params![org, org_name, user, self.now.0])?;
        connection
            .prepare_cached(
                "INSERT INTO memberships(user_id, org_id, role, created) VALUES (?1, ?2, 'admin', ?3)",
            )?
            .execute(rusqlite::params![user, org, self.now.0])?;
        transaction.effect(ControlEffect::UserCreated {
            user_id: self.user_id,
            email: self.email.clone(),
            email_verified: self.is_verified,
            operator: self.operator,
            org_id: self.org_id,
            org_name,
        });
        Ok(())
    }
}

/// A user with a personal organisation, about to be created.
pub(crate) fn new_user(db: &ControlDb, email: String, secret: String, now: UnixMillis) -> NewUser {
    NewUser {
        user_id: UserId::from_uuid(db.next_id(now)),
        org_id: OrgId::from_uuid(db.next_id(now)),
        identity_id: IdentityId::from_uuid(db.next_id(now)),
        email,
        secret,
        vouched: None,
        operator: false,
        is_verified: false,
        now,
    }
}

/// Stores an account that nobody signs up for.
pub(crate) async fn store_user(accounts: &Accounts, user: NewUser, origin: &Origin) -> Result<()> {
    let (db, origin, asking) = (&accounts.db, origin.clone(), VerificationMail::new(accounts)?);
    db.write(move |transaction| {
        refuse_demoted(transaction.connection(), &origin)?;
        user.insert(transaction)?;
        let target = user.user_id.to_string();
        let mut row = AuditRow::ok(user.now, &origin, Who::Operator, "user.create", &target);
        row.org_id = Some(user.org_id);
        row.insert(transaction.connection())?;
        if !user.is_verified {
            asking.queue_unless_many(transaction.connection(), user.now, user.user_id, &user.email)?;
        }
        Ok(())
    })
    .await?;
    db.outbox().wake();
    Ok(())
}
