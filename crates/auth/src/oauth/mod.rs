//! Login at a provider, as far as it only computes (OAU-01…13): what a browser is sent to, what is asked of the
//! provider, and what its answers mean. Fetching, storing and the clock are the hub's.

pub mod callback;
pub mod github;
pub mod google;
pub mod pkce;

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

/// An identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// github.com, or GitHub Enterprise.
    GitHub,
    /// Google, or another issuer of OpenID Connect.
    Google,
}

impl Provider {
    /// The word on the wire, in URLs and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Google => "google",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word names no provider.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("provider must be github or google")]
pub struct UnknownProvider;

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        match text {
            "github" => Ok(Self::GitHub),
            "google" => Ok(Self::Google),
            _ => Err(UnknownProvider),
        }
    }
}

/// A user as a provider identifies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider's stable id of the user.
    pub subject: String,
    /// An e-mail address that the provider verified.
    pub email: String,
}

/// Why a provider's answers name nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// The provider does not know the code, or it belongs to another login. The text is for the log alone.
    #[error("the code was refused: {0}")]
    CodeRefused(String),
    /// The provider does not take the hub for its client. For the log alone.
    #[error("the hub was refused: {0}")]
    ClientRefused(String),
    /// The provider verified no e-mail address of the user.
    #[error("the e-mail address is not verified")]
    NoVerifiedEmail,
    /// The provider named no e-mail address of the user.
    #[error(
        "no e-mail address was named: the client needs the scope email, and its claims in id_token or userinfo"
    )]
    NoEmail,
    /// The provider answered what its documentation does not foresee. For the log alone.
    #[error("{0}")]
    Provider(String),
}

impl OAuthError {
    fn provider(what: impl Into<String>) -> Self {
        Self::Provider(what.into())
    }
}

/// What the provider knows this hub by.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Client id: public.
    pub id: &'a str,
    /// Where the provider sends browsers back to.
    pub redirect_uri: &'a str,
}

/// The secrets of one login.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// Names the login to the hub.
    pub state: &'a str,
    /// What the provider is to check the verifier against (PKCE).
    pub challenge: &'a str,
}

/// `endpoint` with these parameters added.
fn with_query(endpoint: &str, pairs: &[(&str, &str)]) -> String {
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{joint}{}", form(pairs))
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// How a client shows its secret (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// In the header `Authorization`: what OpenID Connect takes for granted.
    Basic,
    /// In the body.
    Post,
}

/// What exchanges a code for tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The body, `application/x-www-form-urlencoded`.
    pub body: String,
    /// The header `Authorization`, if the secret stands there.
    pub authorization: Option<String>,
}

/// The request that exchanges a code for tokens (RFC 6749, section 4.1.3; RFC 7636, section 4.5).
#[must_use]
pub fn token_request(
    client: Client<'_>,
    client_secret: &str,
    auth: ClientAuth,
    code: &str,
    verifier: &str,
) -> TokenRequest {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", client.redirect_uri),
        ("code_verifier", verifier),
    ];
    let authorization = match auth {
        ClientAuth::Basic => {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let both = format!("{}:{}", encoded(client.id), encoded(client_secret));
            Some(format!("Basic {}", STANDARD.encode(both)))
        }
        ClientAuth::Post => {
            pairs.extend([("client_id", client.id), ("client_secret", client_secret)]);
            None
        }
    };
    TokenRequest { body: form(&pairs), authorization }
}

/// What a provider gives for a code.
#[derive(Deserialize)]
pub struct TokenResponse {
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
}

impl TokenResponse {
    /// Reads the answer to [`token_request`]. GitHub tells errors with status 200.
    ///
    /// # Errors
    /// [`OAuthError::CodeRefused`], [`OAuthError::ClientRefused`], or what was wrong with the answer.
    pub fn read(status: u16, body: &[u8]) -> Result<Self, OAuthError> {
        let tokens: Self = serde_json::from_slice(body)
            .map_err(|error| OAuthError::provider(format!("token endpoint: {status}, no JSON: {error}")))?;
        let described = |word: &str| {
            let why = tokens.error_description.as_deref().unwrap_or_default();
            format!("token endpoint: {status}, error {word:?} {why:?}")
        };
        match tokens.error.as_deref() {
            Some(word @ ("invalid_grant" | "bad_verification_code")) => {
                Err(OAuthError::CodeRefused(described(word)))
            }
            Some(word @ ("invalid_client" | "incorrect_client_credentials")) => {
                Err(OAuthError::ClientRefused(described(word)))
            }
            Some(word) => Err(OAuthError::Provider(described(word))),
            None if status == 200 => Ok(tokens),
            None => Err(OAuthError::provider(format!("token endpoint: status {status}"))),
        }
    }

    /// The token that opens the provider's API.
    ///
    /// # Errors
    /// When there is none, or none that can stand in a header.
    pub fn access_token(&self) -> Result<&str, OAuthError> {
        let token = self.access_token.as_deref().filter(|token| is_header_value(token));
        token.ok_or_else(|| OAuthError::provider("token endpoint: no access token"))
    }

    /// The token that says who the user is.
    ///
    /// # Errors
    /// When there is none.
    pub fn id_token(&self) -> Result<&str, OAuthError> {
        self.id_token.as_deref().ok_or_else(|| OAuthError::provider("token endpoint: no id_token"))
    }
}

fn is_header_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads a JSON answer of status 200.
fn read_json<'a, T: Deserialize<'a>>(what: &str, status: u16, body: &'a [u8]) -> Result<T, OAuthError> {
    if status != 200 {
        return Err(OAuthError::provider(format!("{what}: status {status}")));
    }
    serde_json::from_slice(body).map_err(|error| OAuthError::provider(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OAU-13
    #[test]
    fn answers_of_token_endpoints_are_parsed() {
        let refused = |status, body: &str| TokenResponse::read(status, body.as_bytes()).err();
        let described = refused(400, r#"{"error":"invalid_grant","error_description":"grant \n expired"}"#);
        let text = r#"token endpoint: 400, error "invalid_grant" "grant \n expired""#;
        assert_eq!(described, Some(OAuthError::CodeRefused(text.to_owned())));
        let github = refused(200, r#"{"error":"bad_verification_code"}"#);
        assert!(matches!(github, Some(OAuthError::CodeRefused(_))), "{github:?}");
        for (status, word) in [(200, "incorrect_client_credentials"), (401, "invalid_client")] {
            let described = refused(status, &format!(r#"{{"error":"{word}"}}"#));
            assert!(matches!(described, Some(OAuthError::ClientRefused(_))), "{described:?}");
        }
        for (status, body) in [(500, r#"{"access_token":"t"}"#), (200, "<html>"), (302, "")] {
            assert!(matches!(refused(status, body), Some(OAuthError::Provider(_))), "{status} {body}");
        }
        let tokens = TokenResponse::read(200, br#"{"access_token":"gho_1","token_type":"bearer"}"#).unwrap();
        assert_eq!(tokens.access_token(), Ok("gho_1"));
        assert!(tokens.id_token().is_err());
        assert!(
            TokenResponse::read(200, b"{\"access_token\":\"a\\r\\nb\"}").unwrap().access_token().is_err()
        );
    }

    #[test]
    fn requests_are_form_encoded() {
        let client = Client { id: "id&1", redirect_uri: "https://hub/oauth/github/callback" };
        let plain = "grant_type=authorization_code&code=c%2Bd\
                     &redirect_uri=https%3A%2F%2Fhub%2Foauth%2Fgithub%2Fcallback&code_verifier=v";
        let posted = token_request(client, "s=e", ClientAuth::Post, "c+d", "v");
        assert_eq!(posted.body, format!("{plain}&client_id=id%261&client_secret=s%3De"));
        assert_eq!(posted.authorization, None);
        let basic = token_request(client, "s=e", ClientAuth::Basic, "c+d", "v");
        assert_eq!(basic.body, plain);
        let header = format!("Basic {}", STANDARD.encode("id%261:s%3De"));
        assert_eq!(basic.authorization, Some(header));
        assert_eq!(with_query("https://a/b?c=d", &[("e", "f g")]), "https://a/b?c=d&e=f+g");
    }
}
