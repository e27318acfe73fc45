//! A function asks whether a JWT is good (`verifyJwt`, FUN-55): as a call's own would be judged.

use std::sync::Arc;

use ferry_types::DatabaseId;
use serde_json::Value;

use crate::credentials::{
    authenticate::Authenticator,
    functions::authenticate::{BearerFault, FunctionRefusal},
};

/// Judges a JWT by the mode of the database's auth.
pub struct VerifyJwt<'a> {
    /// The database.
    pub database_id: DatabaseId,
    /// The token.
    pub token: &'a str,
    /// What must stand in `iss` besides; `None`: what the mode says.
    pub issuer: Option<&'a str>,
    /// What must stand in `aud` besides.
    pub audience: Option<&'a str>,
}

impl VerifyJwt<'_> {
    /// The claims, a JSON object.
    ///
    /// # Errors
    /// What callers are told of such a token (FUN-51).
    pub async fn run(self, authenticator: &Authenticator) -> Result<Arc<str>, String> {
        let Self { database_id, token, issuer, audience } = self;
        let judged = authenticator.function_jwt_at(database_id, token).await;
        let (_, claims) = judged.map_err(|refusal| match refusal {
            FunctionRefusal::Key => BearerFault::Invalid.as_str().to_owned(),
            FunctionRefusal::Bearer(fault) => fault.as_str().to_owned(),
            FunctionRefusal::Other(error) => error.message.into_owned(),
        })?;
        if names(&claims, issuer, audience) {
            Ok(claims)
        } else {
            Err(BearerFault::Invalid.as_str().to_owned())
        }
    }
}

/// Whether the claims name this issuer and this audience, where one is asked for.
fn names(claims: &str, issuer: Option<&str>, audience: Option<&str>) -> bool {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    let is_for = |audience: &str| match &claims["aud"] {
        Value::Array(all) => all.iter().any(|one| one == audience),
        one => one == audience,
    };
    issuer.is_none_or(|issuer| claims["iss"] == issuer) && audience.is_none_or(is_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-55
    #[test]
    fn issuer_and_audience_count_where_they_are_asked_for() {
        let (one, many) = (r#"{"iss":"i","aud":"a"}"#, r#"{"iss":"i","aud":["b","a"]}"#);
        for claims in [one, many] {
            assert!(names(claims, None, None) && names(claims, Some("i"), Some("a")), "{claims}");
            assert!(!names(claims, Some("j"), None) && !names(claims, None, Some("c")), "{claims}");
        }
        assert!(!names("{}", Some("i"), None) && !names("{}", None, Some("a")));
    }
}
