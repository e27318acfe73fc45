//! A login at a provider while the user is away (OAU-02): stored under the hash of its state, read when the browser
//! comes back, and taken by whoever completes it, before any network call.

use std::net::IpAddr;

use ferry_auth::oauth::pkce;
use ferry_types::{Error, Reason, Result, UnixMillis, limits::OAUTH_STATES_MAX};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::{control_db::ControlDb, identity::codes::code_hash};

/// How long to wait when too many logins are going on, milliseconds.
const FULL_RETRY_MS: u64 = 60_000;

/// The column `payload`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// `github` or `google`.
    pub(super) provider: String,
    /// PKCE verifier between hub and provider: a secret.
    pub(super) verifier: String,
    /// What an id_token must repeat.
    pub(super) nonce: String,
    /// Where the provider was told to send the browser.
    pub(super) redirect_uri: String,
    /// What the client's verifier must fit; `None`: a client that proves nothing.
    pub(super) challenge: Option<String>,
    /// From where the login began, if that is known.
    pub(super) ip: Option<IpAddr>,
    /// Where the client waits for the browser, on its own machine.
    pub(super) loopback_port: Option<u16>,
    /// Whether the hub's own page began it. Missing in what earlier programs wrote.
    #[serde(default)]
    pub(super) is_of_page: bool,
    /// The user to whom the identity is to be added.
    pub(super) link: Option<String>,
}

impl Pending {
    /// Whether who completes it is who began it (OAU-04).
    pub(super) fn is_completed_by(
        &self,
        verifier: &str,
        ip: Option<IpAddr>,
        bind_ip: bool,
        legacy: bool,
    ) -> bool {
        match &self.challenge {
            Some(challenge) => pkce::proves(verifier, challenge),
            None => legacy && (!bind_ip || ip.is_some() && self.ip == ip),
        }
    }
}

/// Where the browser of a login goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// To the client, which waits at this port of the same machine (OAU-07).
    Loopback(u16),
    /// Back to the hub's own page, which began it.
    Page,
    /// To a page with a command of `ferry`.
    Ferry,
    /// To a page with a command of EdgeReplica's client.
    EdgeReplica,
}

pub(super) fn bad_state() -> Error {
    Error::new(Reason::PermissionDenied, "invalid or expired oauth state")
}

pub(super) async fn store_state(
    db: &ControlDb,
    ttl_seconds: i64,
    state: &str,
    pending: &Pending,
    now: UnixMillis,
) -> Result<()> {
    let payload = serde_json::to_string(pending).expect("BUG: a pending login is text");
    let hash = code_hash(state);
    let expires_ms = now.0 + ttl_seconds * 1000;
    db.write(move |transaction| {
        let connection = transaction.connection();
        make_room(connection, now)?;
        connection
            .prepare_cached("INSERT INTO oauth_states(secret_hash, payload, expires) VALUES (?1, ?2, ?3)")?
            .execute(rusqlite::params![hash, payload, expires_ms])?;
        Ok(())
    })
    .await
}

/// Takes the login of a state: nobody else gets it any more, whatever comes of it.
pub(super) async fn take_state(db: &ControlDb, state: &str) -> Result<Option<Pending>> {
    let (hash, now) = (code_hash(state), db.now());
    db.write(move |transaction| {
        let sql = "DELETE FROM oauth_states WHERE secret_hash = ?1 RETURNING payload, expires";
        let mut statement = transaction.connection().prepare_cached(sql)?;
        let taken = statement.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        taken.filter(|(_, expires): &(String, i64)| *expires > now.0).map(|(text, _)| read(&text)).transpose()
    })
    .await
}

/// Where the browser that brings this state back goes next. An unknown state is treated as one of EdgeReplica's,
/// so that the page tells nobody which states exist.
///
/// # Errors
/// When `control.db` cannot be read.
pub(super) async fn oauth_return(db: &ControlDb, provider: &str, state: &str) -> Result<Return> {
    let (hash, now) = (code_hash(state), db.now());
    let pending = db
        .read(move |connection| {
            let sql = "SELECT payload FROM oauth_states WHERE secret_hash = ?1 AND expires > ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let found: Option<String> =
                statement.query_row(rusqlite::params![hash, now.0], |row| row.get(0)).optional()?;
            found.map(|text| read(&text)).transpose()
        })
        .await?;
    Ok(match pending.filter(|pending| pending.provider == provider) {
        Some(Pending { loopback_port: Some(port), .. }) => Return::Loopback(port),
        Some(Pending { challenge: Some(_), is_of_page: true, .. }) => Return::Page,
        Some(Pending { challenge: Some(_), .. }) => Return::Ferry,
        _ => Return::EdgeReplica,
    })
}

/// Refuses when too many logins wait, after forgetting those that wait in vain.
fn make_room(connection: &Connection, now: UnixMillis) -> ferry_sqlite::Result<()> {
    let count = || -> ferry_sqlite::Result<u64> {
        Ok(connection.prepare_cached("SELECT count(*) FROM oauth_states")?.query_row([], |row| row.get(0))?)
    };
    if count()? < OAUTH_STATES_MAX {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM oauth_states WHERE expires <= ?1")?.execute([now.0])?;
    if count()? < OAUTH_STATES_MAX {
        return Ok(());
    }
    let message = "too many logins at providers are going on: try again in a minute";
    Err(Error::new(Reason::Busy, message).retry_after_ms(FULL_RETRY_MS).into())
}

fn read(text: &str) -> ferry_sqlite::Result<Pending> {
    serde_json::from_str(text)
        .map_err(|_| ferry_sqlite::Error::Damaged("a pending login of control.db".to_owned()))
}
