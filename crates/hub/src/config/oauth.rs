//! Settings of login at a provider (OAU-01…13).

use std::fmt;

use super::{ConfigError, Values};
use ferry_http_client::RemoteUrl;

/// What a provider knows this hub by.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthClient {
    /// Client id: public.
    pub id: String,
    /// Client secret.
    pub secret: String,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where GitHub is asked.
#[derive(Clone, Debug)]
pub struct GitHubUrls {
    /// Where browsers are sent to.
    pub authorize: String,
    /// Where codes are exchanged.
    pub token: String,
    /// Who one is.
    pub user: String,
    /// One's e-mail addresses.
    pub emails: String,
}

/// Login at a provider.
#[derive(Clone, Debug)]
pub struct OAuthConfig {
    /// URL of the hub, as browsers reach it; without it nobody can come back.
    pub redirect_base: Option<String>,
    /// How long a login may take, seconds.
    pub state_ttl_seconds: i64,
    /// Whether clients that send no challenge may log in (OAU-04).
    pub legacy: bool,
    /// Whether those must finish from the address they began from.
    pub legacy_bind_ip: bool,
    /// GitHub, if it is configured.
    pub github: Option<OAuthClient>,
    /// Google, if it is configured.
    pub google: Option<OAuthClient>,
    /// GitHub's endpoints.
    pub github_urls: GitHubUrls,
    /// Whose id_tokens count.
    pub google_issuer: String,
}

impl Default for OAuthConfig {
    /// No provider is configured.
    fn default() -> Self {
        Self {
            redirect_base: None,
            state_ttl_seconds: 600,
            legacy: true,
            legacy_bind_ip: true,
            github: None,
            google: None,
            github_urls: GitHubUrls {
                authorize: "https://github.com/login/oauth/authorize".to_owned(),
                token: "https://github.com/login/oauth/access_token".to_owned(),
                user: "https://api.github.com/user".to_owned(),
                emails: "https://api.github.com/user/emails".to_owned(),
            },
            google_issuer: "https://accounts.google.com".to_owned(),
        }
    }
}

impl Values {
    pub(super) fn oauth(&self) -> Result<OAuthConfig, ConfigError> {
        let default = OAuthConfig::default();
        let endpoint = |name: &str, default: String| {
            let read = self
                .read(name, |text| RemoteUrl::secure(text).map(|_| text.to_owned()).map_err(str::to_owned));
            read.map(|url| url.unwrap_or(default))
        };
        let client = |id: &str, secret: &str| {
            let (id, secret) = (self.text(id)?.trim().to_owned(), self.text(secret)?.trim().to_owned());
            Some(OAuthClient { id, secret })
        };
        let base = self.read("oauth_redirect_base", super::public_url::parse)?;
        let urls = default.github_urls;
        Ok(OAuthConfig {
            redirect_base: base.or(self.read("public_url", super::public_url::parse)?),
            state_ttl_seconds: self.number(
                "oauth_state_ttl_seconds",
                default.state_ttl_seconds,
                10,
                86_400,
            )?,
            legacy: self.truth("oauth_legacy", default.legacy)?,
            legacy_bind_ip: self.truth("oauth_legacy_bind_ip", default.legacy_bind_ip)?,
            github: client("github_client_id", "github_client_secret"),
            google: client("google_client_id", "google_client_secret"),
            github_urls: GitHubUrls {
                authorize: endpoint("github_authorize_url", urls.authorize)?,
                token: endpoint("github_token_url", urls.token)?,
                user: endpoint("github_user_url", urls.user)?,
                emails: endpoint("github_emails_url", urls.emails)?,
            },
            google_issuer: endpoint("google_issuer", default.google_issuer)?,
        })
    }
}
