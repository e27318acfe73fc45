//! GitHub: OAuth without OpenID Connect; the user and the e-mail addresses are asked of its API (OAU-08).
//! Source: GitHub documentation, "Authorizing OAuth apps" and REST endpoints `/user` and `/user/emails`.

use serde::Deserialize;

use super::{Challenge, Client, Identity, OAuthError, read_json, with_query};

/// Rights asked for: who one is, and one's e-mail addresses.
const SCOPES: &str = "read:user user:email";

/// Where the browser is sent to.
#[must_use]
pub fn authorize_url(endpoint: &str, client: Client<'_>, secrets: Challenge<'_>) -> String {
    with_query(
        endpoint,
        &[
            ("client_id", client.id),
            ("redirect_uri", client.redirect_uri),
            ("scope", SCOPES),
            ("state", secrets.state),
            ("code_challenge", secrets.challenge),
            ("code_challenge_method", "S256"),
            ("response_type", "code"),
        ],
    )
}

#[derive(Deserialize)]
struct User {
    /// Stays when the user takes another name.
    id: u64,
}

#[derive(Deserialize)]
struct Email {
    email: String,
    #[serde(default)]
    primary: bool,
    #[serde(default)]
    verified: bool,
}

/// An answer of the API: status and body.
pub type ReceivedAnswer<'a> = (u16, &'a [u8]);

/// Whom the API's answers name. The e-mail of the profile is no proof and not looked at.
///
/// # Errors
/// [`OAuthError::NoVerifiedEmail`], or what was wrong with an answer.
pub fn identity(user: ReceivedAnswer<'_>, emails: ReceivedAnswer<'_>) -> Result<Identity, OAuthError> {
    let user: User = read_json("user", user.0, user.1)?;
    let emails: Vec<Email> = read_json("emails", emails.0, emails.1)?;
    let mut verified = emails.into_iter().filter(|email| email.verified);
    let first = verified.next().ok_or(OAuthError::NoVerifiedEmail)?;
    let best = if first.primary { first } else { verified.find(|email| email.primary).unwrap_or(first) };
    Ok(Identity { subject: user.id.to_string(), email: best.email })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(user: &str, emails: &str) -> Result<Identity, OAuthError> {
        identity((200, user.as_bytes()), (200, emails.as_bytes()))
    }

    // Verifies: OAU-08
    #[test]
    fn the_identity_is_the_number_and_a_verified_address() {
        let user = r#"{"login":"ada","id":583231,"email":"forged@example.com"}"#;
        let emails = r#"[{"email":"old@x","verified":true,"primary":false},
            {"email":"bad@x","verified":false,"primary":false},
            {"email":"ada@x","verified":true,"primary":true,"visibility":null}]"#;
        assert_eq!(named(user, emails), Ok(Identity { subject: "583231".into(), email: "ada@x".into() }));
        let secondary =
            r#"[{"email":"a@x","verified":false,"primary":true},{"email":"b@x","verified":true}]"#;
        assert_eq!(named(user, secondary).unwrap().email, "b@x");
        for none in ["[]", r#"[{"email":"a@x","primary":true}]"#] {
            assert_eq!(named(user, none), Err(OAuthError::NoVerifiedEmail), "{none}");
        }
        for (user, emails) in
            [(r#"{"id":"583231"}"#, emails), ("{}", emails), (user, "{}"), ("<html>", emails)]
        {
            assert!(matches!(named(user, emails), Err(OAuthError::Provider(_))), "{user} {emails}");
        }
        assert!(matches!(identity((500, b"{}"), (200, b"[]")), Err(OAuthError::Provider(_))));
    }

    // Verifies: OAU-03, OAU-08
    #[test]
    fn the_browser_carries_scopes_and_challenge() {
        let client = Client { id: "id", redirect_uri: "https://hub.example/oauth/github/callback" };
        let secrets = Challenge { state: "abc", challenge: "xyz" };
        assert_eq!(
            authorize_url("https://github.com/login/oauth/authorize", client, secrets),
            "https://github.com/login/oauth/authorize?client_id=id\
             &redirect_uri=https%3A%2F%2Fhub.example%2Foauth%2Fgithub%2Fcallback\
             &scope=read%3Auser+user%3Aemail&state=abc&code_challenge=xyz&code_challenge_method=S256\
             &response_type=code"
        );
    }
}
