//! Google, and other issuers of OpenID Connect: where its endpoints are, and whom an id_token names (OAU-09).
//! Sources: OpenID Connect Discovery 1.0, section 4; OpenID Connect Core 1.0, sections 3.1.2.1 and 3.1.3.7.

use serde::Deserialize;

use super::{Challenge, Client, Identity, OAuthError, read_json, with_query};
use crate::jwt::{self, JwtAlgorithm, KeySet};

/// Rights asked for: who one is, and one's e-mail address.
const SCOPES: &str = "openid email";
/// Longest `sub`.
const SUBJECT_MAX_BYTES: usize = 255;

/// Where an issuer's endpoints are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Discovery {
    issuer: String,
    /// Where browsers are sent to.
    pub authorization_endpoint: String,
    /// Where codes are exchanged.
    pub token_endpoint: String,
    /// Where its keys are.
    pub jwks_uri: String,
}

/// Where an issuer tells its endpoints.
#[must_use]
pub fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

impl Discovery {
    /// Reads what [`discovery_url`] answered.
    ///
    /// # Errors
    /// When it is of another issuer.
    pub fn read(issuer: &str, status: u16, body: &[u8]) -> Result<Self, OAuthError> {
        let found: Self = read_json("discovery", status, body)?;
        if found.issuer != issuer {
            return Err(OAuthError::provider(format!("discovery: of another issuer, {:?}", found.issuer)));
        }
        Ok(found)
    }

    /// Where the browser is sent to. The id_token must repeat `nonce`.
    #[must_use]
    pub fn authorize_url(&self, client: Client<'_>, secrets: Challenge<'_>, nonce: &str) -> String {
        with_query(
            &self.authorization_endpoint,
            &[
                ("response_type", "code"),
                ("client_id", client.id),
                ("redirect_uri", client.redirect_uri),
                ("scope", SCOPES),
                ("state", secrets.state),
                ("nonce", nonce),
                ("code_challenge", secrets.challenge),
                ("code_challenge_method", "S256"),
            ],
        )
    }
}

/// What an id_token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who made it.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// In which login.
    pub nonce: &'a str,
}

/// `aud`: one name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Claims of an id_token.
#[derive(Deserialize)]
struct IdClaims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    nonce: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

/// Whom an id_token names; `keys` is what the issuer's `jwks_uri` answered.
///
/// # Errors
/// [`OAuthError::CodeRefused`] for a token of another login, [`OAuthError::NoVerifiedEmail`], or what was wrong.
pub fn identity(
    id_token: &str,
    keys: (u16, &[u8]),
    expected: Expected<'_>,
    now_unix: i64,
) -> Result<Identity, OAuthError> {
    let (status, body) = keys;
    if status != 200 {
        return Err(OAuthError::provider(format!("keys: status {status}")));
    }
    let keys = KeySet::parse(body).map_err(|error| OAuthError::provider(format!("keys: {error}")))?;
    let claims: IdClaims = jwt::signed_claims(id_token, &keys, JwtAlgorithm::Rs256)
        .map_err(|error| OAuthError::provider(format!("id_token: {error}")))?;
    claims.identity(expected, now_unix)
}

impl IdClaims {
    /// Whom they name, if they are for this hub, this login and this time.
    fn identity(self, expected: Expected<'_>, now_unix: i64) -> Result<Identity, OAuthError> {
        let wrong = |what: &str| Err(OAuthError::provider(format!("id_token: {what}")));
        if self.iss != expected.issuer {
            return wrong("another issuer");
        }
        let for_us = match &self.aud {
            Audience::One(name) => name == expected.client_id,
            // With several audiences `azp` names the one that asked.
            Audience::Many(names) => {
                names.iter().any(|name| name == expected.client_id)
                    && (names.len() == 1 || self.azp.as_deref() == Some(expected.client_id))
            }
        };
        if !for_us || self.azp.is_some_and(|azp| azp != expected.client_id) {
            return wrong("for another client");
        }
        if self.exp <= now_unix {
            return wrong("expired");
        }
        if self.nonce != expected.nonce {
            // A code of another login of the same client, swapped in.
            return Err(OAuthError::CodeRefused);
        }
        if !(1..=SUBJECT_MAX_BYTES).contains(&self.sub.len()) {
            return wrong("a bad sub");
        }
        match self.email.filter(|email| self.email_verified && !email.is_empty()) {
            Some(email) => Ok(Identity { subject: self.sub, email }),
            None => Err(OAuthError::NoVerifiedEmail),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://accounts.example";

    fn named(change: impl FnOnce(&mut Value)) -> Result<Identity, OAuthError> {
        let mut claims = json!({
            "iss": ISSUER, "sub": "1076", "aud": "client", "exp": 1000, "nonce": "n",
            "email": "ada@x", "email_verified": true,
        });
        change(&mut claims);
        let expected = Expected { issuer: ISSUER, client_id: "client", nonce: "n" };
        let claims: IdClaims =
            serde_json::from_value(claims).map_err(|error| OAuthError::provider(error.to_string()))?;
        claims.identity(expected, 999)
    }

    // Verifies: OAU-09
    #[test]
    fn every_claim_counts() {
        let ada = Identity { subject: "1076".into(), email: "ada@x".into() };
        assert_eq!(named(|_| ()), Ok(ada.clone()));
        assert_eq!(named(|claims| claims["aud"] = json!(["client"])), Ok(ada.clone()));
        let several = named(|claims| {
            claims["aud"] = json!(["client", "other"]);
            claims["azp"] = json!("client");
        });
        assert_eq!(several, Ok(ada));
        let unverified = json!(false);
        assert_eq!(named(|claims| claims["email_verified"] = unverified), Err(OAuthError::NoVerifiedEmail));
        assert_eq!(named(|claims| claims["nonce"] = json!("m")), Err(OAuthError::CodeRefused));
        for (name, value) in [
            ("iss", json!("https://accounts.example.evil")),
            ("iss", json!("https://accounts.example/")),
            ("aud", json!("other")),
            ("aud", json!(["client", "other"])),
            ("aud", json!([])),
            ("azp", json!("other")),
            ("exp", json!(999)),
            ("exp", json!("1000")),
            ("exp", Value::Null),
            ("sub", json!("")),
            ("sub", json!("x".repeat(256))),
            ("nonce", Value::Null),
            ("email_verified", json!("true")),
        ] {
            let outcome = named(|claims| claims[name] = value.clone());
            assert!(matches!(outcome, Err(OAuthError::Provider(_))), "{name} {value}: {outcome:?}");
        }
    }

    // Verifies: OAU-09
    #[test]
    fn only_the_issuers_rs256_signature_counts() {
        use ferry_testkit::jwt::{ED, RSA, key_set};
        let claims = json!({
            "iss": ISSUER, "sub": "1076", "aud": "client", "exp": 1000, "nonce": "n",
            "email": "ada@x", "email_verified": true,
        });
        let keys = key_set(&[RSA, ED]).to_string();
        let expected = Expected { issuer: ISSUER, client_id: "client", nonce: "n" };
        let named = |token: &str, keys: &str| identity(token, (200, keys.as_bytes()), expected, 999);
        assert_eq!(named(&RSA.token(&claims), &keys).unwrap().subject, "1076");
        let mut broken = RSA.token(&claims);
        broken.replace_range(broken.len() - 8.., "AAAAAAAA");
        let unsigned = RSA.token_with(&json!({"alg": "none"}), &claims);
        for bad in [ED.token(&claims), RSA.forged(&claims), broken, unsigned, "a.b".to_owned()] {
            assert!(matches!(named(&bad, &keys), Err(OAuthError::Provider(_))), "{bad}");
        }
        for bad in ["{}", "<html>", &key_set(&[ED]).to_string()] {
            assert!(matches!(named(&RSA.token(&claims), bad), Err(OAuthError::Provider(_))), "{bad}");
        }
        assert!(identity(&RSA.token(&claims), (500, keys.as_bytes()), expected, 999).is_err());
    }

    // Verifies: OAU-09
    #[test]
    fn discovery_is_of_the_issuer() {
        let document = |issuer: &str| {
            json!({
                "issuer": issuer,
                "authorization_endpoint": "https://accounts.example/auth",
                "token_endpoint": "https://oauth2.example/token",
                "jwks_uri": "https://keys.example/certs",
                "scopes_supported": ["openid"],
            })
            .to_string()
        };
        let good = document(ISSUER);
        let found = Discovery::read(ISSUER, 200, good.as_bytes()).unwrap();
        assert_eq!(found.jwks_uri, "https://keys.example/certs");
        let client = Client { id: "client", redirect_uri: "https://hub/oauth/google/callback" };
        let url = found.authorize_url(client, Challenge { state: "s", challenge: "c" }, "n");
        assert_eq!(
            url,
            "https://accounts.example/auth?response_type=code&client_id=client\
             &redirect_uri=https%3A%2F%2Fhub%2Foauth%2Fgoogle%2Fcallback&scope=openid+email&state=s&nonce=n\
             &code_challenge=c&code_challenge_method=S256"
        );
        assert!(Discovery::read(ISSUER, 200, document("https://evil.example").as_bytes()).is_err());
        assert!(Discovery::read(ISSUER, 404, good.as_bytes()).is_err());
        assert_eq!(
            discovery_url("https://accounts.google.com"),
            "https://accounts.google.com/.well-known/openid-configuration"
        );
    }
}
