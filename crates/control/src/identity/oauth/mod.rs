//! Logging in through a provider (OAU-01…13): begun here, continued in the user's browser, completed here. What is
//! only computed stands in `ferry_auth::oauth`.

mod enter;
mod exchange;
mod states;

use std::sync::Arc;

use ferry_auth::oauth::{self, Challenge, Client, Identity, Provider, callback::is_plain, github, pkce};
use ferry_http_client::HttpClient;
use ferry_types::{Error, Reason, Result, UserId};
use serde_json::json;

pub use self::states::Return;
use self::{
    enter::{enter, link_identity, prove_own_password},
    exchange::{Discovered, ProviderClient},
    states::{Pending, bad_state, oauth_return, store_state, take_state},
};

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    config::{OAuthClient, OAuthConfig},
    credentials::throttling::ThrottleKey,
    identity::{accounts::Accounts, email::check_outline, whoami::Session},
    origin::Origin,
    random,
};

/// Ports where a client may wait for the browser: those that need no privilege.
const LOOPBACK_PORTS: std::ops::RangeInclusive<u32> = 1024..=65_535;

/// What a client that begins a login asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOAuth<'a> {
    /// `github` or `google`.
    pub provider: &'a str,
    /// base64url(SHA-256(verifier)); empty: a client that proves nothing.
    pub client_challenge: &'a str,
    /// Where the client waits for the browser; 0: nowhere.
    pub loopback_port: u32,
    /// Whether the hub's own page begins it, and gets the browser back.
    pub is_of_page: bool,
}

/// What a client brings back.
#[derive(Clone, Copy, Default)]
pub struct CompleteOAuth<'a> {
    /// Names the login.
    pub state: &'a str,
    /// What the provider gave the browser.
    pub code: &'a str,
    /// What the challenge was made of.
    pub client_verifier: &'a str,
    /// Password of the account to which the identity is to be added.
    pub password: &'a str,
}

fn invalid(message: &'static str) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

/// Logins at providers.
pub struct OAuth {
    accounts: Arc<Accounts>,
    provider: ProviderClient,
}

impl StartOAuth<'_> {
    /// With `linker`, the identity is added to that account. The URL for the browser, and the state.
    ///
    /// # Errors
    /// Invalid argument; unimplemented where the provider is not configured; unavailable when it must be asked and
    /// does not answer; rate limit.
    pub async fn run(
        self,
        oauth: &OAuth,
        linker: Option<&Caller>,
        origin: &Origin,
    ) -> Result<(String, String)> {
        oauth.start(self, linker, origin).await
    }
}

impl CompleteOAuth<'_> {
    /// Logs in, creates the account, or adds the identity to that of `linker`.
    ///
    /// # Errors
    /// `invalid or expired oauth state`; what the provider or the account forbids; unavailable when the provider
    /// does not answer as it should; rate limit.
    pub async fn run(self, oauth: &OAuth, linker: Option<&Caller>, origin: &Origin) -> Result<Session> {
        oauth.complete(self, linker, origin).await
    }
}

impl OAuth {
    /// Logins at the providers that `config` names.
    pub(crate) fn new(accounts: Arc<Accounts>, config: OAuthConfig, http_client: Arc<HttpClient>) -> Self {
        let clock = Arc::clone(accounts.db.clock());
        let provider = ProviderClient { config, http_client, discovered: Discovered::default(), clock };
        Self { accounts, provider }
    }

    /// The providers that this hub knows.
    #[must_use]
    pub fn providers(&self) -> Vec<Provider> {
        let config = &self.provider.config;
        let known = [(Provider::GitHub, &config.github), (Provider::Google, &config.google)];
        let can_return = config.redirect_base.is_some();
        known
            .into_iter()
            .filter(|(_, client)| can_return && client.is_some())
            .map(|(provider, _)| provider)
            .collect()
    }

    /// Where the browser that brings this state back goes next. An unknown state is treated as one of EdgeReplica's,
    /// so that the page tells nobody which states exist.
    ///
    /// # Errors
    /// When `control.db` cannot be read.
    pub async fn return_of(&self, provider: &str, state: &str) -> Result<Return> {
        oauth_return(&self.accounts.db, provider, state).await
    }

    /// Begins a login at a provider; with `linker`, adds an identity to that account. The URL for the browser, and
    /// the state.
    ///
    /// # Errors
    /// Invalid argument; unimplemented where the provider is not configured; unavailable when it must be asked and
    /// does not answer; rate limit.
    async fn start(
        &self,
        wanted: StartOAuth<'_>,
        linker: Option<&Caller>,
        origin: &Origin,
    ) -> Result<(String, String)> {
        let now = self.accounts.db.now();
        self.accounts.charge_public(origin.ip)?;
        let provider: Provider =
            wanted.provider.parse().map_err(|_| invalid("provider must be github or google"))?;
        let (client, redirect_uri) = self.oauth_client(provider)?;
        let challenge = self.client_challenge(wanted.client_challenge)?;
        let loopback_port = loopback_port(wanted.loopback_port, challenge.is_some())?;
        // Logins that are begun count, not what they take: an office behind one address has many.
        self.accounts.rates.charge(ThrottleKey::OAuth(origin.ip.into()), now)?;
        let state = hex::encode(random::bytes::<32>()?);
        let pending = Pending {
            provider: provider.to_string(),
            verifier: pkce::verifier(random::bytes()?),
            nonce: hex::encode(random::bytes::<16>()?),
            redirect_uri,
            challenge,
            ip: origin.ip.0,
            loopback_port,
            is_of_page: wanted.is_of_page,
            link: linker.map(|caller| caller.user_id.to_string()),
        };
        let known_as = Client { id: &client.id, redirect_uri: &pending.redirect_uri };
        let provers = pkce::challenge(&pending.verifier);
        let secrets = Challenge { state: &state, challenge: &provers };
        let url = match provider {
            Provider::GitHub => {
                github::authorize_url(&self.provider.config.github_urls.authorize, known_as, secrets)
            }
            Provider::Google => {
                let discovery =
                    self.provider.discovery().await.map_err(|error| refusal(provider, &error, &[]))?;
                discovery.authorize_url(known_as, secrets, &pending.nonce)
            }
        };
        store_state(&self.accounts.db, self.provider.config.state_ttl_seconds, &state, &pending, now).await?;
        Ok((url, state))
    }

    /// What the client is to prove later.
    fn client_challenge(&self, challenge: &str) -> Result<Option<String>> {
        match challenge {
            "" if !self.provider.config.legacy => Err(Error::new(
                Reason::PermissionDenied,
                "this hub wants clients that send client_challenge: use ferry oauth start",
            )),
            "" => Ok(None),
            challenge if pkce::is_challenge(challenge) => Ok(Some(challenge.to_owned())),
            _ => Err(invalid("client_challenge must be the base64url of a SHA-256, without padding")),
        }
    }

    /// What a provider knows this hub by, and where it sends browsers back to (OAU-01).
    fn oauth_client(&self, provider: Provider) -> Result<(OAuthClient, String)> {
        let config = &self.provider.config;
        let client = match provider {
            Provider::GitHub => &config.github,
            Provider::Google => &config.google,
        };
        match (client, &config.redirect_base) {
            (Some(client), Some(base)) => Ok((client.clone(), format!("{base}/oauth/{provider}/callback"))),
            _ => Err(not_configured(provider.as_str())),
        }
    }

    /// Completes a login at a provider: logs in, creates the account, or adds the identity to that of `linker`.
    ///
    /// # Errors
    /// `invalid or expired oauth state`; what the provider or the account forbids; unavailable when the provider
    /// does not answer as it should; rate limit.
    async fn complete(
        &self,
        wanted: CompleteOAuth<'_>,
        linker: Option<&Caller>,
        origin: &Origin,
    ) -> Result<Session> {
        self.accounts.charge_public(origin.ip)?;
        if self.provider.config.github.is_none() && self.provider.config.google.is_none() {
            return Err(not_configured("a provider"));
        }
        if !is_plain(wanted.code) {
            return Err(invalid("code must have 1 to 512 characters of A-Z, a-z, 0-9 and ._~/+=-"));
        }
        if !is_plain(wanted.state) {
            return Err(bad_state());
        }
        if let Some(caller) = linker {
            // Before the state is spent, so that a slip of the finger costs no second trip to the provider.
            prove_own_password(&self.accounts, caller, wanted.password, origin).await?;
        }
        let config = &self.provider.config;
        let mine = |pending: &Pending| {
            let verifier = wanted.client_verifier;
            pending.is_completed_by(verifier, origin.ip.0, config.legacy_bind_ip, config.legacy)
                && pending.link == linker.map(|caller| caller.user_id.to_string())
        };
        let pending =
            take_state(&self.accounts.db, wanted.state).await?.filter(mine).ok_or_else(bad_state)?;
        let provider: Provider = pending.provider.parse().map_err(|_| bad_state())?;
        let finished = self.finish(provider, &pending, wanted.code, linker, origin).await;
        let result = if finished.is_ok() { "ok" } else { "failed" };
        metrics::counter!("ferry_login_attempts_total", "result" => result).increment(1);
        if let Err(error) = &finished {
            self.audit_failed(provider, error, linker, origin).await?;
        }
        finished
    }

    async fn finish(
        &self,
        provider: Provider,
        pending: &Pending,
        code: &str,
        linker: Option<&Caller>,
        origin: &Origin,
    ) -> Result<Session> {
        let (client, _) = self.oauth_client(provider)?;
        let named = self.provider.exchange(provider, &client, pending, code).await;
        let secrets = [code, &pending.verifier, &client.secret];
        let identity = named.map_err(|error| refusal(provider, &error, &secrets))?;
        let email = check_outline(&identity.email).map_err(|_| {
            let what = oauth::OAuthError::Provider("an e-mail address that is none".to_owned());
            refusal(provider, &what, &[])
        })?;
        let identity = Identity { email: email.to_owned(), subject: identity.subject };
        match linker {
            Some(caller) => link_identity(&self.accounts, provider, identity, caller, origin).await,
            None => enter(&self.accounts, provider, identity, origin).await,
        }
    }

    async fn audit_failed(
        &self,
        provider: Provider,
        error: &Error,
        linker: Option<&Caller>,
        origin: &Origin,
    ) -> Result<()> {
        let (at, origin, reason) = (self.accounts.db.now(), origin.clone(), error.reason);
        let actor: Option<UserId> = linker.map(|caller| caller.user_id);
        self.accounts
            .db
            .write(move |transaction| {
                let row = AuditRow {
                    outcome: "failed",
                    detail: json!({ "reason": reason.as_str() }),
                    ..AuditRow::ok(
                        at,
                        &origin,
                        actor.map_or(Who::Nobody, Who::User),
                        "user.oauth",
                        provider.as_str(),
                    )
                };
                row.insert(transaction.connection())
            })
            .await
    }
}

fn loopback_port(port: u32, proves: bool) -> Result<Option<u16>> {
    if port == 0 {
        return Ok(None);
    }
    if !LOOPBACK_PORTS.contains(&port) {
        return Err(invalid("loopback_port must be from 1024 to 65535, or 0 for none"));
    }
    if !proves {
        return Err(invalid(
            "loopback_port needs client_challenge: whoever else listens there must gain nothing",
        ));
    }
    Ok(u16::try_from(port).ok())
}

fn not_configured(provider: &str) -> Error {
    let message = format!(
        "login with {provider} is not configured on this hub: it needs the client id and secret \
         (github_client_id, github_client_secret or google_client_id, google_client_secret) and \
         oauth_redirect_base (or public_url); use a password instead"
    );
    Error::new(Reason::Unimplemented, message)
}

/// What a provider's failure tells the caller. The provider's own words go to the log alone, without `secrets`.
fn refusal(provider: Provider, error: &oauth::OAuthError, secrets: &[&str]) -> Error {
    let cause = secrets.iter().fold(error.to_string(), |told, secret| told.replace(secret, "…"));
    let cause: String = cause.chars().take(PROVIDER_TEXT_MAX_CHARS).collect();
    tracing::warn!(%provider, %cause, "a login at a provider failed");
    match error {
        oauth::OAuthError::CodeRefused(_) => Error::new(
            Reason::PermissionDenied,
            format!("{provider} refused the code: start the login again"),
        ),
        oauth::OAuthError::NoVerifiedEmail => Error::new(
            Reason::FailedPrecondition,
            format!("{provider} verified no e-mail address of yours: verify one there and start again"),
        ),
        oauth::OAuthError::NoEmail => Error::new(
            Reason::FailedPrecondition,
            format!(
                "{provider} named no e-mail address of yours: add and verify one there; if you have one, ask whoever \
                 runs the hub, whose log says what the provider must allow"
            ),
        ),
        oauth::OAuthError::ClientRefused(_) | oauth::OAuthError::Provider(_) => Error::new(
            Reason::Unavailable,
            format!(
                "{provider} did not answer as it should: try again in a minute; if it stays so, ask whoever runs the \
                 hub, whose log says why"
            ),
        ),
    }
}

/// How much of a provider's words the log takes.
const PROVIDER_TEXT_MAX_CHARS: usize = 300;
