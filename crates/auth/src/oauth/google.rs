//! Google, and other issuers of OpenID Connect: where its endpoints are, and whom an id_token names (OAU-09).
//! Sources: OpenID Connect Discovery 1.0, section 4; OpenID Connect Core 1.0, sections 3.1.2.1 and 3.1.3.7.

use serde::{Deserialize, de::IgnoredAny};

use super::{Challenge, Client, ClientAuth, Identity, OAuthError, read_json, with_query};
use crate::jwt::{self, JwtAlgorithm, JwtError, KeySet};

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
    /// Where the claims about the user are that the id_token lacks.
    #[serde(default)]
    pub userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
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

    /// How the client shows its secret: the ways that the issuer takes, to be tried in this order. Of one client it may
    /// take one of them only.
    #[must_use]
    pub fn client_auths(&self) -> Vec<ClientAuth> {
        let ways = [(ClientAuth::Basic, "client_secret_basic"), (ClientAuth::Post, "client_secret_post")];
        let supported = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let is_supported = |name: &str| supported.iter().any(|method| method == name);
        let takes_any = !ways.iter().any(|(_, name)| is_supported(name));
        ways.into_iter().filter(|(_, name)| takes_any || is_supported(name)).map(|(way, _)| way).collect()
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
    #[serde(flatten)]
    email: EmailClaims,
}

/// What an issuer says of the user's e-mail address (OpenID Connect Core 1.0, section 5.1).
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct EmailClaims {
    #[serde(default)]
    email: Option<String>,
    #[serde(default, rename = "email_verified")]
    is_verified: Option<Truth>,
}

/// A boolean, which some issuers write as text.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
struct Truth(bool);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bool(bool),
    Text(String),
    Other(IgnoredAny),
}

impl From<Written> for Truth {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Bool(value) => value,
            Written::Text(text) => text.eq_ignore_ascii_case("true"),
            Written::Other(_) => false,
        })
    }
}

/// Claims of a userinfo endpoint (OpenID Connect Core 1.0, section 5.3.2).
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    email: EmailClaims,
}

/// Whom an id_token names.
#[derive(Debug, PartialEq, Eq)]
pub struct IdTokenSubject {
    subject: String,
    email: EmailClaims,
}

impl IdTokenSubject {
    /// Whether the id_token does not say all that is asked for; the userinfo endpoint does.
    #[must_use]
    pub fn needs_userinfo(&self) -> bool {
        self.email.email.is_none() || self.email.is_verified.is_none()
    }

    /// Takes in what the userinfo endpoint answered.
    ///
    /// # Errors
    /// When it speaks of somebody else, or not as it should.
    pub fn with_userinfo(self, status: u16, body: &[u8]) -> Result<Self, OAuthError> {
        let info: UserInfo = read_json("userinfo", status, body)?;
        if info.sub != self.subject {
            return Err(OAuthError::provider("userinfo: its sub is not the id_token's"));
        }
        Ok(Self { email: info.email, ..self })
    }

    /// The identity, if the issuer verified its e-mail address.
    ///
    /// # Errors
    /// [`OAuthError::NoVerifiedEmail`], [`OAuthError::NoEmail`].
    pub fn identity(self) -> Result<Identity, OAuthError> {
        match (self.email.email.filter(|email| !email.is_empty()), self.email.is_verified) {
            (Some(email), Some(Truth(true))) => Ok(Identity { subject: self.subject, email }),
            (Some(_), _) => Err(OAuthError::NoVerifiedEmail),
            (None, _) => Err(OAuthError::NoEmail),
        }
    }
}

/// Whom an id_token names; `keys` is what the issuer's `jwks_uri` answered.
///
/// # Errors
/// [`OAuthError::CodeRefused`] for a token of another login, or what was wrong.
pub fn named(
    id_token: &str,
    keys: (u16, &[u8]),
    expected: Expected<'_>,
    now_unix: i64,
) -> Result<IdTokenSubject, OAuthError> {
    let (status, body) = keys;
    if status != 200 {
        return Err(OAuthError::provider(format!("keys: status {status}")));
    }
    let keys = KeySet::parse(body).map_err(|error| OAuthError::provider(format!("keys: {error}")))?;
    let claims: IdClaims = jwt::signed_claims(id_token, &keys, JwtAlgorithm::Rs256)
        .map_err(|error| match error {
            JwtError::Algorithm => OAuthError::provider(
                "id_token: it is not signed with RS256: set id_token_signed_response_alg of this client to RS256 at \
                 the provider",
            ),
            error => OAuthError::provider(format!("id_token: {error}")),
        })?;
    claims.named(expected, now_unix)
}

impl IdClaims {
    /// Whom they name, if they are for this hub, this login and this time.
    fn named(self, expected: Expected<'_>, now_unix: i64) -> Result<IdTokenSubject, OAuthError> {
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
            return Err(OAuthError::CodeRefused("id_token: the nonce of another login".to_owned()));
        }
        if !(1..=SUBJECT_MAX_BYTES).contains(&self.sub.len()) {
            return wrong("a bad sub");
        }
        Ok(IdTokenSubject { subject: self.sub, email: self.email })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://accounts.example";

    fn identity(change: impl FnOnce(&mut Value)) -> Result<Identity, OAuthError> {
        let mut claims = json!({
            "iss": ISSUER, "sub": "1076", "aud": "client", "exp": 1000, "nonce": "n",
            "email": "ada@x", "email_verified": true,
        });
        change(&mut claims);
        let expected = Expected { issuer: ISSUER, client_id: "client", nonce: "n" };
        let claims: IdClaims =
            serde_json::from_value(claims).map_err(|error| OAuthError::provider(error.to_string()))?;
        claims.named(expected, 999)?.identity()
    }

    // Verifies: OAU-09
    #[test]
    fn every_claim_of_the_id_token_is_checked() {
        let ada = Identity { subject: "1076".into(), email: "ada@x".into() };
        assert_eq!(identity(|_| ()), Ok(ada.clone()));
        assert_eq!(identity(|claims| claims["aud"] = json!(["client"])), Ok(ada.clone()));
        let several = identity(|claims| {
            claims["aud"] = json!(["client", "other"]);
            claims["azp"] = json!("client");
        });
        assert_eq!(several, Ok(ada));
        let unverified = json!(false);
        assert_eq!(
            identity(|claims| claims["email_verified"] = unverified),
            Err(OAuthError::NoVerifiedEmail)
        );
        let swapped = identity(|claims| claims["nonce"] = json!("m"));
        assert!(matches!(swapped, Err(OAuthError::CodeRefused(_))), "{swapped:?}");
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
        ] {
            let outcome = identity(|claims| claims[name] = value.clone());
            assert!(matches!(outcome, Err(OAuthError::Provider(_))), "{name} {value}: {outcome:?}");
        }
    }

    // An issuer that writes booleans as text let nobody in, and one that names e-mails in userinfo alone neither.
    // Verifies: OAU-09
    #[test]
    fn an_email_is_verified_as_issuers_write_it_and_userinfo_fills_what_lacks() {
        let written = |value: Value| identity(|claims| claims["email_verified"] = value);
        for yes in [json!(true), json!("true"), json!("True")] {
            assert!(written(yes.clone()).is_ok(), "{yes}");
        }
        for no in [json!(false), json!("false"), json!("yes"), json!(1), json!({}), Value::Null] {
            assert_eq!(written(no.clone()), Err(OAuthError::NoVerifiedEmail), "{no}");
        }
        assert_eq!(identity(|claims| claims["email"] = json!("")), Err(OAuthError::NoEmail));
        let bare = || IdTokenSubject { subject: "1076".into(), email: EmailClaims::default() };
        assert!(bare().needs_userinfo());
        assert_eq!(bare().identity(), Err(OAuthError::NoEmail));
        let outcome = |body: &str| bare().with_userinfo(200, body.as_bytes());
        let ada = outcome(r#"{"sub":"1076","email":"ada@x","email_verified":"true"}"#).unwrap();
        assert!(!ada.needs_userinfo());
        assert_eq!(ada.identity(), Ok(Identity { subject: "1076".into(), email: "ada@x".into() }));
        assert_eq!(outcome(r#"{"sub":"1076"}"#).unwrap().identity(), Err(OAuthError::NoEmail));
        for bad in [r#"{"sub":"1077","email":"eve@x","email_verified":true}"#, "{}", "ey.J.x"] {
            assert!(matches!(outcome(bad), Err(OAuthError::Provider(_))), "{bad}");
        }
        assert!(bare().with_userinfo(401, b"{}").is_err());
    }

    // Verifies: OAU-09
    #[test]
    fn only_the_issuers_rs256_signature_counts() {
        use ferry_testkit::jwt::{EC, ED, RSA, key_set};
        let claims = json!({
            "iss": ISSUER, "sub": "1076", "aud": "client", "exp": 1000, "nonce": "n",
            "email": "ada@x", "email_verified": true,
        });
        let keys = key_set(&[RSA, ED]).to_string();
        let expected = Expected { issuer: ISSUER, client_id: "client", nonce: "n" };
        let verdict = |token: &str, keys: &str| named(token, (200, keys.as_bytes()), expected, 999);
        assert_eq!(verdict(&RSA.token(&claims), &keys).unwrap().subject, "1076");
        let mut broken = RSA.token(&claims);
        broken.replace_range(broken.len() - 8.., "AAAAAAAA");
        let unsigned = RSA.token_with(&json!({"alg": "none"}), &claims);
        for bad in [ED.token(&claims), RSA.forged(&claims), broken, unsigned, "a.b".to_owned()] {
            assert!(matches!(verdict(&bad, &keys), Err(OAuthError::Provider(_))), "{bad}");
        }
        // Its words were those for a database's JWTs, and named the refused algorithm as one to use.
        for other in [ED, EC] {
            let Err(OAuthError::Provider(outcome)) = verdict(&other.token(&claims), &keys) else { panic!() };
            assert!(outcome.contains("not signed with RS256") && !outcome.contains("EdDSA"), "{outcome}");
        }
        for bad in ["{}", "<html>", &key_set(&[ED]).to_string()] {
            assert!(matches!(verdict(&RSA.token(&claims), bad), Err(OAuthError::Provider(_))), "{bad}");
        }
        assert!(named(&RSA.token(&claims), (500, keys.as_bytes()), expected, 999).is_err());
    }

    // Verifies: OAU-09
    #[test]
    fn discovery_must_be_of_the_configured_issuer() {
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
        let auths = |methods: &Value| {
            let mut outcome: Value = serde_json::from_str(&good).unwrap();
            outcome["token_endpoint_auth_methods_supported"] = methods.clone();
            Discovery::read(ISSUER, 200, outcome.to_string().as_bytes()).unwrap().client_auths()
        };
        let both = vec![ClientAuth::Basic, ClientAuth::Post];
        assert_eq!(found.client_auths(), both);
        assert_eq!(auths(&json!(["client_secret_post", "client_secret_basic", "none"])), both);
        assert_eq!(auths(&json!(["client_secret_post"])), [ClientAuth::Post]);
        assert_eq!(auths(&json!(["client_secret_basic"])), [ClientAuth::Basic]);
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
