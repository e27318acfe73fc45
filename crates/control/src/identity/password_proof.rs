//! Proving a password: one answer and one amount of work for every failure (PWD-03), few failures (PWD-05).

use ferry_auth::password::{PasswordMatch, SALT_BYTES};
use ferry_types::{Error, OrgId, Reason, Result, UnixMillis, UserId};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    credentials::throttling::{ClientPrefix, EmailHash, Limiter, ThrottleKey},
    directory::columns::parsed,
    identity::{
        accounts::Accounts,
        email::{email_hash, email_key},
        passwords::pool::HashingTurn,
    },
    origin::Origin,
    random,
};

/// Longest e-mail that a failed login leaves in the audit trail.
const AUDIT_EMAIL_MAX_CHARS: usize = 254;

/// One attempt, whoever it claims to be.
pub(crate) struct Attempt<'a> {
    key: String,
    hash: EmailHash,
    client: ClientPrefix,
    pub(crate) origin: &'a Origin,
}

/// How an attempt passed the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AdmittedAttempt {
    /// Nothing stands against it.
    Below,
    /// The account is attacked, and the network has not failed in the last hour: it has this one guess.
    AsOnlyGuess,
}

/// What `control.db` knows of an e-mail.
pub(crate) struct Account {
    pub(crate) user_id: UserId,
    pub(crate) org_id: OrgId,
    disabled: bool,
    secret: Option<String>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(email: &str, origin: &'a Origin) -> Self {
        let (key, hash) = (email_key(email), email_hash(email));
        Self { key, hash, client: origin.ip.into(), origin }
    }

    /// What counts its failures.
    fn counted(&self) -> [ThrottleKey; 4] {
        [
            ThrottleKey::FailedPair(self.hash, self.client),
            ThrottleKey::FailedClient(self.client),
            ThrottleKey::FailedEmail(self.hash),
            self.network(),
        ]
    }

    fn network(&self) -> ThrottleKey {
        ThrottleKey::FailedNetwork(self.client.into())
    }
}

/// Refuses unless `password` is that of the account, with the limits and the record of a login.
///
/// # Errors
/// `invalid credentials`; rate limit; `BUSY`.
pub(crate) async fn prove_password(
    accounts: &Accounts,
    email: &str,
    password: &str,
    origin: &Origin,
) -> Result<()> {
    let attempt = Attempt::new(email, origin);
    match verified(accounts, &attempt, password).await? {
        Some(_) => Ok(()),
        None => Err(login_failed(accounts, &attempt).await),
    }
}

/// The account, if it may log in with this password, and a new hash if the stored one is old.
pub(crate) async fn verified(
    accounts: &Accounts,
    attempt: &Attempt<'_>,
    password: &str,
) -> Result<Option<(Account, Option<String>)>> {
    // Whoever is refused waits for no turn.
    check_failures(accounts, attempt, Limiter::check).await?;
    let account = account(&accounts.db, &attempt.key).await?;
    let turn = accounts.passwords.turn().await?;
    // Others may have failed while this one waited. The one guess of a network counts before it is looked at: of
    // many at once only one is the first.
    let admitted = check_failures(accounts, attempt, Limiter::charge).await?;
    let (verdict, new_secret) = verify(turn, password, account.as_ref()).await?;
    let let_in = account.filter(|account| verdict != PasswordMatch::Wrong && !account.disabled);
    if admitted == AdmittedAttempt::AsOnlyGuess && let_in.is_some() {
        accounts.failures.forget(attempt.network());
    }
    Ok(let_in.map(|account| (account, new_secret)))
}

/// Refuses an attempt that follows too many failures, before any hashing (PWD-05). `ask` looks whether the network
/// of a stranger to an attacked account has failed.
async fn check_failures(
    accounts: &Accounts,
    attempt: &Attempt<'_>,
    ask: fn(&Limiter, ThrottleKey, UnixMillis) -> Result<()>,
) -> Result<AdmittedAttempt> {
    let judged = judge_failures(accounts, attempt, ask).await;
    if judged.as_ref().is_err_and(|error| error.reason == Reason::RateLimited) {
        metrics::counter!("ferry_login_attempts_total", "result" => "throttled").increment(1);
        audit_login(&accounts.db, attempt, "throttled").await?;
    }
    judged
}

async fn judge_failures(
    accounts: &Accounts,
    attempt: &Attempt<'_>,
    ask: fn(&Limiter, ThrottleKey, UnixMillis) -> Result<()>,
) -> Result<AdmittedAttempt> {
    let now = accounts.db.now();
    accounts.failures.check(ThrottleKey::FailedPair(attempt.hash, attempt.client), now)?;
    accounts.failures.check(ThrottleKey::FailedClient(attempt.client), now)?;
    let Err(refusal) = accounts.failures.check(ThrottleKey::FailedEmail(attempt.hash), now) else {
        return Ok(AdmittedAttempt::Below);
    };
    // Those of whom nothing is known cannot be told apart.
    let Some(client) = attempt.client.known() else { return Err(refusal) };
    if has_logged_in(&accounts.db, attempt, client).await? {
        return Ok(AdmittedAttempt::Below);
    }
    ask(&accounts.failures, attempt.network(), now).map(|()| AdmittedAttempt::AsOnlyGuess)
}

pub(crate) async fn login_failed(accounts: &Accounts, attempt: &Attempt<'_>) -> Error {
    let now = accounts.db.now();
    attempt.counted().into_iter().for_each(|counted| accounts.failures.count(counted, now));
    metrics::counter!("ferry_login_attempts_total", "result" => "failed").increment(1);
    if let Err(error) = audit_login(&accounts.db, attempt, "failed").await {
        return error;
    }
    Error::new(Reason::Unauthenticated, "invalid credentials")
}

/// Whether someone has logged in to the account from this client before.
async fn has_logged_in(db: &ControlDb, attempt: &Attempt<'_>, client: [u8; 16]) -> Result<bool> {
    let key = attempt.key.clone();
    db.read(move |connection| {
        let sql = "SELECT EXISTS(SELECT 1 FROM users JOIN login_clients ON user_id = users.id
                                 WHERE email_key = ?1 AND client = ?2)";
        let params = rusqlite::params![key, client];
        Ok(connection.prepare_cached(sql)?.query_row(params, |row| row.get(0))?)
    })
    .await
}

async fn account(db: &ControlDb, key: &str) -> Result<Option<Account>> {
    let key = key.to_owned();
    db.read(move |connection| find_account(connection, &key)).await
}

async fn audit_login(db: &ControlDb, attempt: &Attempt<'_>, outcome: &'static str) -> Result<()> {
    let (at, origin) = (db.now(), attempt.origin.clone());
    let email: String = attempt.key.chars().take(AUDIT_EMAIL_MAX_CHARS).collect();
    let key = attempt.key.clone();
    db.write(move |transaction| {
        let connection = transaction.connection();
        // An account is named by its id: its e-mail goes with it, the trail stays. Its user may read of it.
        let account = find_account(connection, &key)?;
        let user = account.as_ref().map(|account| account.user_id.to_string());
        let row = AuditRow {
            at,
            origin: &origin,
            actor: Who::Nobody,
            org_id: account.map(|account| account.org_id),
            database_id: None,
            action: "user.login",
            target: user.as_deref().unwrap_or(&email),
            outcome,
            detail: json!({}),
        };
        row.insert(connection)
    })
    .await
}

/// Exactly one verification, on a thread that may block; and a new hash if the stored one is old.
async fn verify(
    turn: HashingTurn,
    password: &str,
    account: Option<&Account>,
) -> Result<(PasswordMatch, Option<String>)> {
    let password = password.to_owned();
    let stored = account.and_then(|account| account.secret.clone());
    let salt: [u8; SALT_BYTES] = random::bytes()?;
    turn.run(move |hasher| {
        let verdict = hasher.verify(&password, stored.as_deref());
        let renew = verdict == PasswordMatch::RightButOld;
        let new_secret = renew.then(|| hasher.hash(&password, salt)).transpose()?;
        Ok((verdict, new_secret))
    })
    .await?
}

fn find_account(connection: &Connection, key: &str) -> ferry_sqlite::Result<Option<Account>> {
    let sql = "SELECT users.id, organizations.id, disabled, secret
               FROM users
               JOIN organizations ON owner_user_id = users.id AND personal
               LEFT JOIN identities ON user_id = users.id AND provider = 'password'
               WHERE email_key = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Account {
        user_id: parsed(row, 0)?,
        org_id: parsed(row, 1)?,
        disabled: row.get(2)?,
        secret: row.get(3)?,
    }))
}
