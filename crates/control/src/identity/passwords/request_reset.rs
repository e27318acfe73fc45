//! A code for a new password, mailed to whoever asks for it and has an account (OPR-93).

use ferry_types::{Error, Reason, Result};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    credentials::throttling::ThrottleKey,
    identity::{
        accounts::Accounts,
        codes::new_code,
        email::{check_email, email_hash, email_key},
        users::find_account_of,
    },
    mail::{MailKind, MailTo},
    origin::Origin,
};

/// Has a code mailed to the account of this e-mail, if there is one. Nothing tells the caller whether there is: the same rows
/// are written for every address, and whose it is is only asked when the mail is to be sent. A code that is out already stays
/// good, so that asking for others takes nothing from them.
pub struct RequestPasswordReset<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RequestPasswordReset<'_> {
    /// # Errors
    /// The hub sends no mail; no e-mail address; rate limit; too many mails wait.
    pub async fn run(self, accounts: &Accounts) -> Result<()> {
        let Self { email, origin } = self;
        let (db, now) = (&accounts.db, accounts.db.now());
        accounts.rates.charge(ThrottleKey::Public(origin.ip.into()), now)?;
        db.outbox().require()?;
        let email = check_email(email)?.to_owned();
        accounts.rates.charge(ThrottleKey::ResetsFrom(origin.ip.into()), now)?;
        accounts.rates.charge(ThrottleKey::MailTo(email_hash(&email), MailKind::Reset), now)?;
        let (code, outbox, from) = (new_code()?, db.outbox().clone(), origin.clone());
        let has_room = db
            .write(move |transaction| {
                let connection = transaction.connection();
                let key = email_key(&email);
                // An account is named by its id, as in the rows of failed logins.
                let account = find_account_of(connection, &key)?;
                let target = account.map_or_else(|| email.clone(), |(user_id, _)| user_id.to_string());
                let mut row = AuditRow::ok(now, &from, Who::Nobody, "password.request", &target);
                row.org_id = account.map(|(_, org_id)| org_id);
                row.detail = json!({});
                row.insert(connection)?;
                let mail = MailTo {
                    kind: MailKind::Reset,
                    address: &email,
                    address_key: &key,
                    user_id: None,
                    code: Some(&code),
                    words: &[("ip", from.ip.to_string())],
                };
                outbox.queue_or_full(connection, now, &mail)
            })
            .await?;
        db.outbox().wake();
        if has_room { Ok(()) } else { Err(too_many_wait()) }
    }
}

/// More mails wait than the hub keeps.
pub(crate) fn too_many_wait() -> Error {
    let message = "too many mails wait to be sent: try again in a few minutes";
    Error::new(Reason::Busy, message).retry_after_ms(60_000)
}
