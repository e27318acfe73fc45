//! Asking a provider who a code names (OAU-08, OAU-09, OAU-13).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ferry_auth::oauth::{
    self, Client, ClientAuth, Identity, OAuthError, Provider, TokenResponse, github,
    google::{self, Discovery, Expected},
};
use ferry_http_client::{Bounds, HttpClient, Reach, RemoteUrl};
use ferry_types::{Clock, Result, UnixMillis};
use http::{Request, header};

use super::Pending;

use crate::config::{OAuthClient, OAuthConfig};

/// Bounds of one request (OAU-13).
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(10), max_bytes: 256 << 10 };

/// How long the endpoints of an issuer are believed to stay where they are.
const DISCOVERY_MS: i64 = 3_600_000;
/// Longest exchange in all, below what an RPC may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(25);
/// Version of GitHub's REST API.
const GITHUB_API_VERSION: &str = "2022-11-28";

/// What the issuer told of its endpoints, and when.
#[derive(Default)]
pub(super) struct Discovered(Mutex<Option<(Discovery, UnixMillis)>>);

/// Status and body of an answer.
type Answer = (u16, Bytes);

fn get(url: &str) -> Result<Request<Bytes>, OAuthError> {
    build(Request::get(url).header(header::ACCEPT, "application/json"), Bytes::new())
}

fn build(request: http::request::Builder, body: Bytes) -> Result<Request<Bytes>, OAuthError> {
    request.body(body).map_err(|error| OAuthError::Provider(format!("request: {error}")))
}

/// Asks the providers.
pub(super) struct ProviderClient {
    pub(super) config: OAuthConfig,
    pub(super) http_client: Arc<HttpClient>,
    pub(super) discovered: Discovered,
    pub(super) clock: Arc<dyn Clock>,
}

impl ProviderClient {
    /// Whom the code of a login names.
    pub(super) async fn exchange(
        &self,
        provider: Provider,
        client: &OAuthClient,
        pending: &Pending,
        code: &str,
    ) -> Result<Identity, OAuthError> {
        let asked = async {
            match provider {
                Provider::GitHub => self.ask_github(client, pending, code).await,
                Provider::Google => self.ask_google(client, pending, code).await,
            }
        };
        let outcome = tokio::time::timeout(EXCHANGE_MAX, asked).await;
        outcome.unwrap_or_else(|_| Err(OAuthError::Provider("the exchange took too long".to_owned())))
    }

    async fn ask_github(
        &self,
        client: &OAuthClient,
        pending: &Pending,
        code: &str,
    ) -> Result<Identity, OAuthError> {
        let urls = &self.config.github_urls;
        let tokens = self.tokens_for(&urls.token, client, ClientAuth::Post, pending, code).await?;
        let authorization = format!("Bearer {}", tokens.access_token()?);
        let api = |url: &str| {
            let request = Request::get(url)
                .header(header::ACCEPT, "application/vnd.github+json")
                .header("x-github-api-version", GITHUB_API_VERSION)
                .header(header::AUTHORIZATION, &authorization);
            build(request, Bytes::new())
        };
        let (user, emails) = tokio::try_join!(self.ask(api(&urls.user)?), self.ask(api(&urls.emails)?))?;
        github::identity((user.0, &user.1), (emails.0, &emails.1))
    }

    async fn ask_google(
        &self,
        client: &OAuthClient,
        pending: &Pending,
        code: &str,
    ) -> Result<Identity, OAuthError> {
        let discovery = self.discovery().await?;
        let keys = async { self.ask(get(&discovery.jwks_uri)?).await };
        let (tokens, keys) =
            tokio::try_join!(self.tokens_of_issuer(&discovery, client, pending, code), keys)?;
        let expected =
            Expected { issuer: &self.config.google_issuer, client_id: &client.id, nonce: &pending.nonce };
        let named =
            google::named(tokens.id_token()?, (keys.0, &keys.1), expected, self.clock.now().as_secs())?;
        let Some(url) = discovery.userinfo_endpoint.as_ref().filter(|_| named.needs_userinfo()) else {
            return named.identity();
        };
        let authorization = format!("Bearer {}", tokens.access_token()?);
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, authorization);
        let (status, body) = self.ask(build(request, Bytes::new())?).await?;
        named.with_userinfo(status, &body)?.identity()
    }

    /// The tokens of an issuer of OpenID Connect, to which the hub shows its secret as the issuer wants it.
    async fn tokens_of_issuer(
        &self,
        discovery: &Discovery,
        client: &OAuthClient,
        pending: &Pending,
        code: &str,
    ) -> Result<TokenResponse, OAuthError> {
        let mut refused = OAuthError::ClientRefused("no way to show the secret".to_owned());
        for auth in discovery.client_auths() {
            match self.tokens_for(&discovery.token_endpoint, client, auth, pending, code).await {
                // Asked before the code is looked at, so that the code is still good.
                Err(error @ OAuthError::ClientRefused(_)) => refused = error,
                outcome => return outcome,
            }
        }
        Err(refused)
    }

    async fn tokens_for(
        &self,
        endpoint: &str,
        client: &OAuthClient,
        auth: ClientAuth,
        pending: &Pending,
        code: &str,
    ) -> Result<TokenResponse, OAuthError> {
        let known_as = Client { id: &client.id, redirect_uri: &pending.redirect_uri };
        let wanted = oauth::token_request(known_as, &client.secret, auth, code, &pending.verifier);
        let mut request = Request::post(endpoint)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = wanted.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let (status, body) = self.ask(build(request, wanted.body.into())?).await?;
        TokenResponse::read(status, &body)
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Answer, OAuthError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        // The operator, or the issuer that the operator trusts, chose the URL.
        let answer = self.http_client.send(request, Reach::Anywhere, BOUNDS).await;
        let answer = answer.map_err(|error| OAuthError::Provider(format!("{host}: {error}")))?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    /// Where the issuer's endpoints are, asked now or in the last hour.
    pub(super) async fn discovery(&self) -> Result<Discovery, OAuthError> {
        let now = self.clock.now();
        let known = self.discovered.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((discovery, at)) = known
            && (0..DISCOVERY_MS).contains(&(now.0 - at.0))
        {
            return Ok(discovery);
        }
        let issuer = &self.config.google_issuer;
        let (status, body) = self.ask(get(&google::discovery_url(issuer))?).await?;
        let discovery = Discovery::read(issuer, status, &body)?;
        let needed = [&discovery.authorization_endpoint, &discovery.token_endpoint, &discovery.jwks_uri];
        for url in needed.into_iter().chain(&discovery.userinfo_endpoint) {
            RemoteUrl::secure(url)
                .map_err(|why| OAuthError::Provider(format!("discovery: {url:?}: {why}")))?;
        }
        *self.discovered.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((discovery.clone(), now));
        Ok(discovery)
    }
}
