//! A JWT is tried out.

use ferry_auth::Principal;
use ferry_types::Result;

use crate::{
    caller::Caller,
    credentials::{authenticate::Authenticator, jwt::JwtRefusal, resolve::resolve_own_database},
};

/// What a token is worth at a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtTrial {
    /// Why it is refused; `None`: it is good.
    pub refused: Option<String>,
    /// Its subject, if it is good.
    pub subject: String,
    /// When it ends, leeway included; Unix seconds.
    pub exp_unix: i64,
}

/// Tries a token as a data endpoint of the database would, and says why it is refused.
pub struct TestJwt<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// The token that is tried.
    pub token: &'a str,
}

impl TestJwt<'_> {
    /// # Errors
    /// `database not found`, role below admin.
    pub async fn run(self, authenticator: &Authenticator) -> Result<JwtTrial> {
        let Self { caller, database, token } = self;
        let (db, jwts) = (&authenticator.db, &authenticator.jwts);
        let entry = resolve_own_database(db, caller, database)?;
        let refused = |why: String| JwtTrial { refused: Some(why), subject: String::new(), exp_unix: 0 };
        Ok(match jwts.context(token, Some(&entry.id.to_string())).await {
            Ok(auth) => JwtTrial {
                refused: None,
                subject: match &auth.principal {
                    Principal::Jwt(jwt) => jwt.subject.to_string(),
                    _ => String::new(),
                },
                exp_unix: auth.deadline_unix.unwrap_or_default(),
            },
            Err(JwtRefusal::NoKeys(no_keys)) => refused(no_keys.failure.to_string()),
            Err(JwtRefusal::Bad(error)) => refused(error.to_string()),
            Err(JwtRefusal::Revoked) => {
                refused("issued before the credentials of the database were revoked".to_owned())
            }
            Err(JwtRefusal::NoDatabase | JwtRefusal::Nowhere) => {
                refused("the database has no JWT settings: set them with ferry jwt set".to_owned())
            }
        })
    }
}
