//! What only the operator may do: the accounts of others, and facts of the hub.

use ferry_auth::password;
use ferry_types::{Error, OrgId, Reason, Result, UnixMillis, UserId, id::IdentityId};
use http::HeaderMap;
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::throttling::Counted,
    identity::{
        codes::{code_hash, new_code},
        email::check_email,
        new_user::NewUser,
        users::{end_credentials, find_user, forget_resets, user_not_found},
    },
    origin::Origin,
    random,
};

/// Life of a code that resets a password (PWD-06), seconds.
const RESET_TTL_SECONDS: i64 = 3600;

/// A code that resets a password.
#[derive(Clone, Debug)]
pub struct ResetCode {
    /// The code: a secret.
    pub code: String,
    /// From this Unix second on it is dead.
    pub exp_unix: i64,
}

impl Control {
    /// Refuses a request that does not carry the operator token.
    ///
    /// # Errors
    /// Unauthenticated; rate limit of those who guess.
    pub fn authenticate_operator(&self, headers: &HeaderMap, origin: &Origin) -> Result<()> {
        if self.is_operator(headers) {
            return Ok(());
        }
        self.rates.charge(Counted::Public(origin.ip.into()), self.now())?;
        let message = "operator token required: it lies in the hub's data directory, in operator.token";
        Err(Error::new(Reason::Unauthenticated, message))
    }

    /// What tells this hub from others.
    #[must_use]
    pub fn hub_id(&self) -> &str {
        &self.hub_id
    }

    /// Creates an account, whatever `signup` says.
    ///
    /// # Errors
    /// Bad e-mail or password, e-mail taken, `BUSY`.
    pub async fn create_user(&self, email: &str, password: &str, origin: &Origin) -> Result<UserId> {
        let email = check_email(email)?.to_owned();
        password::check_new(password)?;
        let secret = self.hash_password(password).await?;
        let user = self.new_user(email, secret, self.now());
        let user_id = user.user_id;
        self.store_user(user, origin).await?;
        Ok(user_id)
    }

    /// Stores an account that nobody signs up for.
    pub(crate) async fn store_user(&self, user: NewUser, origin: &Origin) -> Result<()> {
        let origin = origin.clone();
        self.db
            .write(move |transaction| {
                user.insert(transaction)?;
                let target = user.user_id.to_string();
                let mut row = AuditRow::ok(user.now, &origin, Who::Operator, "user.create", &target);
                row.org_id = Some(user.org_id);
                row.insert(transaction.connection())
            })
            .await
    }

    /// Locks a user out and ends all its credentials, or lets it in again.
    ///
    /// # Errors
    /// `user not found`.
    pub async fn disable_user(&self, user: &str, disabled: bool, origin: &Origin) -> Result<()> {
        let (user, origin, now) = (user.to_owned(), origin.clone(), self.now());
        self.db
            .write(move |transaction| {
                let user_id = find_user(transaction.connection(), &user)?.ok_or_else(user_not_found)?;
                end_credentials(transaction, user_id, now, Some(disabled))?;
                let action = if disabled { "user.disable" } else { "user.enable" };
                let target = user_id.to_string();
                AuditRow::ok(now, &origin, Who::Operator, action, &target).insert(transaction.connection())
            })
            .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "user").increment(1);
        Ok(())
    }

    /// Makes a code with which the user may set a new password (PWD-06). It replaces an earlier one.
    ///
    /// # Errors
    /// `user not found`.
    pub async fn issue_password_reset(&self, email: &str, origin: &Origin) -> Result<ResetCode> {
        let (email, origin, now) = (email.to_owned(), origin.clone(), self.now());
        let code = new_code()?;
        let (hash, exp_unix) = (code_hash(&code), now.as_secs() + RESET_TTL_SECONDS);
        self.db
            .write(move |transaction| {
                let connection = transaction.connection();
                let user_id = find_user(connection, &email)?.ok_or_else(user_not_found)?.to_string();
                forget_resets(connection, &user_id)?;
                connection
                    .prepare_cached(
                        "INSERT INTO password_resets(secret_hash, payload, expires) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(rusqlite::params![
                        hash,
                        json!({ "user_id": user_id }).to_string(),
                        exp_unix * 1000
                    ])?;
                AuditRow::ok(now, &origin, Who::Operator, "password.reset_code", &user_id).insert(connection)
            })
            .await?;
        Ok(ResetCode { code, exp_unix })
    }

    /// A user with a personal organisation, about to be created.
    pub(crate) fn new_user(&self, email: String, secret: String, now: UnixMillis) -> NewUser {
        NewUser {
            user_id: UserId::from_uuid(self.db.next_id(now)),
            org_id: OrgId::from_uuid(self.db.next_id(now)),
            identity_id: IdentityId::from_uuid(self.db.next_id(now)),
            email,
            secret,
            vouched: None,
            now,
        }
    }

    /// The PHC string of a password, hashed when it is its turn.
    pub(crate) async fn hash_password(&self, password: &str) -> Result<String> {
        let (password, salt) = (password.to_owned(), random::bytes()?);
        self.passwords.turn().await?.run(move |hasher| hasher.hash(&password, salt)).await?
    }
}
