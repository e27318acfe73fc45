//! Sessions: what a login opens, and ending one before its time.

pub(crate) mod list;
pub(crate) mod refresh;
pub(crate) mod revoke;
pub(crate) mod revoke_all;

use ferry_auth::{Caveat, Claims, Grant, macaroon};
use ferry_types::{Error, OrgId, Reason, Result, SessionId, TokenId, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::throttling::ClientPrefix,
    identity::whoami::{Session, whoami_of},
    origin::{ClientIp, Origin},
    random,
};

/// What sessions of the dashboard are called.
const DASHBOARD_LABEL: &str = "dashboard";
/// Addresses that are remembered of an account, the newest.
const LOGIN_CLIENTS_MAX: usize = 32;

/// A session that is about to be stored.
#[derive(Clone)]
pub(crate) struct NewSession {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) label: String,
    pub(crate) ip: ClientIp,
    pub(crate) now: UnixMillis,
    pub(crate) expires_unix: i64,
    /// Whether no refresh makes it live longer.
    pub(crate) is_final: bool,
}

impl NewSession {
    pub(crate) fn insert(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        let sql = "INSERT INTO sessions(id, user_id, label, ip, created, last_seen, expires, ends)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)";
        connection.prepare_cached(sql)?.execute(rusqlite::params![
            self.session_id.to_string(),
            self.user_id.to_string(),
            self.label,
            self.ip.to_string(),
            self.now.0,
            self.expires_unix * 1000,
            self.is_final.then_some(self.expires_unix * 1000),
        ])?;
        self.remember_client(connection)
    }

    /// Keeps from where the account was entered: there it stays open while it is attacked from elsewhere (PWD-05).
    fn remember_client(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        let Some(client) = ClientPrefix::from(self.ip).known() else { return Ok(()) };
        let user = self.user_id.to_string();
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO login_clients(user_id, client, last) VALUES (?1, ?2, ?3)",
            )?
            .execute(rusqlite::params![user, client, self.now.0])?;
        connection
            .prepare_cached(
                "DELETE FROM login_clients WHERE user_id = ?1 AND client NOT IN
                     (SELECT client FROM login_clients WHERE user_id = ?1 ORDER BY last DESC LIMIT ?2)",
            )?
            .execute(rusqlite::params![user, LOGIN_CLIENTS_MAX])?;
        Ok(())
    }
}

/// When the caller signed in: a refresh does not count.
pub struct SignedInAt<'a> {
    /// Who asks.
    pub caller: &'a Caller,
}

impl SignedInAt<'_> {
    /// # Errors
    /// `session token required`: the session has gone.
    pub async fn run(self, db: &ControlDb) -> Result<UnixMillis> {
        logged_in_at(db, self.caller).await
    }
}

/// When the caller logged in.
pub(crate) async fn logged_in_at(db: &ControlDb, caller: &Caller) -> Result<UnixMillis> {
    let id = caller.session_id.to_string();
    db.read(move |connection| {
        let sql = "SELECT created FROM sessions WHERE id = ?1";
        let created = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0));
        let gone = || Error::new(Reason::TokenRevoked, "session token required");
        Ok(UnixMillis(created.optional()?.ok_or_else(gone)?))
    })
    .await
}

/// A session of `user_id` from now on. One that the dashboard opens ends when that says, and is told by its label.
pub(crate) fn new_session(
    db: &ControlDb,
    ttl_seconds: i64,
    user_id: UserId,
    label: &str,
    origin: &Origin,
    now: UnixMillis,
) -> NewSession {
    let is_final = origin.session_max_seconds.is_some();
    let ttl_seconds = origin.session_max_seconds.map_or(ttl_seconds, |most| ttl_seconds.min(most));
    let label = if label.is_empty() && is_final { DASHBOARD_LABEL } else { label };
    NewSession {
        is_final,
        session_id: SessionId::from_uuid(db.next_id(now)),
        user_id,
        label: label.to_owned(),
        ip: origin.ip,
        now,
        expires_unix: now.as_secs().saturating_add(ttl_seconds),
    }
}

/// The token of a stored session.
pub(crate) fn mint_session(
    db: &ControlDb,
    session: &NewSession,
    user_epoch: u32,
    org_id: OrgId,
    caveats: &[Caveat],
) -> Result<String> {
    let ring = db.keys();
    let key = ring.signing();
    let claims = Claims {
        kid: key.kid(),
        token_id: TokenId(random::bytes()?),
        issued_unix: session.now.as_secs(),
        expires_unix: session.expires_unix,
        user_id: session.user_id,
        user_epoch,
        org_id,
        session_id: session.session_id,
        grant: Grant::Session,
    };
    metrics::counter!("ferry_tokens_issued_total", "kind" => "session").increment(1);
    macaroon::mint(key, &claims, caveats).map_err(|error| {
        tracing::error!(%error, "BUG: a fresh session token does not fit");
        Error::internal()
    })
}

/// The answer to a login: the token, and whose it is.
pub(crate) fn opened(
    db: &ControlDb,
    session: &NewSession,
    user_epoch: u32,
    org_id: OrgId,
) -> Result<Session> {
    let token = mint_session(db, session, user_epoch, org_id, &[])?;
    let directory = db.directory();
    let whoami = whoami_of(&directory, session.user_id, org_id, session.session_id, session.expires_unix)?;
    Ok(Session { token, whoami })
}
