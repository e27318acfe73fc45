//! Settings of login at a provider (OAU-01…13).

use ferry_http_client::RemoteUrl;

use super::{ConfigError, Key, Values, keys::key, public_url};

use ferry_control::{GitHubUrls, OAuthClient, OAuthConfig};

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

/// Reads them.
pub(super) fn read(values: &Values) -> Result<OAuthConfig, ConfigError> {
    let default = OAuthConfig::default();
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
    Ok(OAuthConfig {
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
