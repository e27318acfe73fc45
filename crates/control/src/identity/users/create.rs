//! An account that the operator makes.

use ferry_auth::password;
use ferry_types::{Result, UserId};

use crate::{
    identity::{
        accounts::Accounts,
        email::check_email,
        new_user::{new_user, store_user},
    },
    origin::Origin,
};

/// Creates an account, whatever `signup` says.
pub struct CreateUser<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl CreateUser<'_> {
    /// # Errors
    /// Bad e-mail or password, e-mail taken, `BUSY`; a caller who operates the hub no longer.
    pub async fn run(self, accounts: &Accounts) -> Result<UserId> {
        let Self { email, password, origin } = self;
        let email = check_email(email)?.to_owned();
        password::check_new(password)?;
        let secret = accounts.hash_password(password).await?;
        let user = new_user(&accounts.db, email, secret, accounts.db.now());
        let user_id = user.user_id;
        store_user(accounts, user, origin).await?;
        Ok(user_id)
    }
}
