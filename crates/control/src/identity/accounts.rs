//! What logins, signups and passwords share.

use std::sync::Arc;

use ferry_types::Result;

use crate::{
    config::Signup,
    control_db::ControlDb,
    credentials::throttling::{Limiter, ThrottleKey},
    identity::{operator_code::OperatorCode, passwords::pool::PasswordPool},
    origin::ClientIp,
    random,
};

/// The accounts of a hub.
pub struct Accounts {
    pub(crate) db: Arc<ControlDb>,
    pub(crate) passwords: PasswordPool,
    /// Rate limits (WEB-06).
    pub(crate) rates: Arc<Limiter>,
    /// Failed logins (PWD-05).
    pub(crate) failures: Limiter,
    /// Who may sign up.
    pub(crate) signup: Signup,
    /// By which the first account becomes an operator's.
    pub(crate) operator_code: OperatorCode,
    /// How long a session lives.
    pub(crate) session_ttl_seconds: i64,
}

impl Accounts {
    /// Counts a request of nobody in particular.
    ///
    /// # Errors
    /// Rate limit.
    pub fn charge_public(&self, ip: ClientIp) -> Result<()> {
        self.rates.charge(ThrottleKey::Public(ip.into()), self.db.now())
    }

    /// The PHC string of a password, hashed when it is its turn.
    pub(crate) async fn hash_password(&self, password: &str) -> Result<String> {
        let (password, salt) = (password.to_owned(), random::bytes()?);
        self.passwords.turn().await?.run(move |hasher| hasher.hash(&password, salt)).await?
    }
}
