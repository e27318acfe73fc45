//! Settings of login at a provider (OAU-01…13).

use std::fmt;

use ferry_http_client::RemoteUrl;

use super::{ConfigError, Key, Values, keys::key, public_url};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key("oauth_redirect_base", "URL", "URL to which providers send browsers back [default: public_url]")
        .or(&["OAUTH_REDIRECT_BASE"]),
    key("oauth_state_ttl_seconds", "N", "How long a login at a provider may take [default: 600]")
        .or(&["OAUTH_STATE_TTL_SECONDS"]),
    key("github_client_id", "ID", "Client id of the hub at GitHub").or(&["GITHUB_CLIENT_ID"]),
    key("github_client_secret", "SECRET", "Client secret of the hub at GitHub")
        .or(&["GITHUB_CLIENT_SECRET"])
        .secret(),
    key("google_client_id", "ID", "Client id of the hub at Google").or(&["GOOGLE_CLIENT_ID"]),
    key("google_client_secret", "SECRET", "Client secret of the hub at Google")
        .or(&["GOOGLE_CLIENT_SECRET"])
        .secret(),
    key("github_authorize_url", "URL", "Where GitHub asks the user [default: GitHub's]"),
    key("github_token_url", "URL", "Where GitHub exchanges codes [default: GitHub's]"),
    key("github_user_url", "URL", "Where GitHub's API names the user [default: GitHub's]"),
    key("github_emails_url", "URL", "Where GitHub's API lists e-mail addresses [default: GitHub's]"),
    key("google_issuer", "URL", "Issuer of OpenID Connect [default: https://accounts.google.com]"),
    key(
        "oauth_legacy",
        "BOOL",
        "Let clients log in at a provider that prove nothing, as EdgeReplica's [default: true]",
    ),
    key("oauth_legacy_bind_ip", "BOOL", "Have those finish from the address they began from [default: true]"),
];

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

impl OAuthConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let default = Self::default();
        let endpoint = |name: &str, default: String| {
            let secure = |text: &str| RemoteUrl::secure(text).map(|_| text.to_owned()).map_err(str::to_owned);
            values.read(name, secure).map(|url| url.unwrap_or(default))
        };
        let client = |id: &str, secret: &str| {
            let (id, secret) = (values.text(id)?.trim().to_owned(), values.text(secret)?.trim().to_owned());
            Some(OAuthClient { id, secret })
        };
        let base = values.read("oauth_redirect_base", public_url::parse)?;
        let state_ttl_seconds = default.state_ttl_seconds;
        let urls = default.github_urls;
        Ok(Self {
            redirect_base: base.or(values.read("public_url", public_url::parse)?),
            state_ttl_seconds: values.number("oauth_state_ttl_seconds", state_ttl_seconds, 10, 86_400)?,
            legacy: values.truth("oauth_legacy", default.legacy)?,
            legacy_bind_ip: values.truth("oauth_legacy_bind_ip", default.legacy_bind_ip)?,
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
