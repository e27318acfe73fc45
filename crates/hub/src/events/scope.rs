//! Which stores a JWT opens, where its issuer says so (EVT-51). Whatever cannot be understood opens none.

use ferry_auth::{AuthContext, jwt::BadScope};
use ferry_types::{Error, Reason, Result};
use regex_lite::{Regex, RegexBuilder};

/// Memory of one compiled pattern, bytes: whoever signs tokens must not fill the hub's.
const PATTERN_MAX_BYTES: usize = 64 << 10;

/// Refuses a JWT whose claim does not name the store.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn check(auth: &AuthContext, store_id: &str) -> Result<()> {
    let Some(scope) = &auth.stores else { return Ok(()) };
    let claim = &scope.claim;
    let denied = |why: String| Err(Error::new(Reason::PermissionDenied, why));
    let patterns = match &scope.patterns {
        Ok(patterns) => patterns,
        Err(BadScope::Missing) => {
            return denied(format!("the JWT has no claim {claim}, which names the stores that it opens"));
        }
        Err(BadScope::IllFormed) => {
            return denied(format!("the JWT's claim {claim} must be a pattern or a list of at most 64"));
        }
    };
    let mut opens = false;
    for pattern in patterns {
        match whole(pattern) {
            Some(pattern) => opens |= pattern.is_match(store_id),
            None => {
                return denied(format!("the JWT's claim {claim} holds {pattern:?}, which is no pattern"));
            }
        }
    }
    if opens {
        Ok(())
    } else {
        denied(format!("the JWT's claim {claim} does not name the store {store_id:?}"))
    }
}

/// A pattern that a whole id must match.
fn whole(text: &str) -> Option<Regex> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_MAX_BYTES).build().ok();
    // By itself first: one such as `a)|(b` would break out of its group.
    compile(text)?;
    compile(&format!("^(?:{text})$"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferry_auth::jwt::StoreScope;
    use serde_json::json;

    use super::*;

    fn opens(claim: &serde_json::Value, store_id: &str) -> bool {
        let claims = json!({ "stores": claim });
        let scope = StoreScope::of(claims.as_object().unwrap(), &"stores".into());
        let id = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap();
        let auth = AuthContext { stores: Some(Arc::new(scope)), ..AuthContext::anonymous(id) };
        let outcome = check(&auth, store_id);
        assert!(outcome.as_ref().err().is_none_or(|error| error.reason == Reason::PermissionDenied));
        outcome.is_ok()
    }

    // Verifies: EVT-51
    #[test]
    fn patterns_match_whole_ids_and_what_is_no_pattern_opens_nothing() {
        assert!(opens(&json!("team-[0-9]+"), "team-17"));
        assert!(opens(&json!(["a", "b|c"]), "c"));
        for (claim, store_id) in [
            (json!("team-[0-9]+"), "team-17x"),
            (json!("team-[0-9]+"), "my-team-17"),
            (json!("team-[0-9]+"), "team-17\n"),
            (json!("b|c"), "cb"),
            (json!([]), "a"),
            (json!(null), "a"),
            (json!(7), "a"),
            (json!(["a", "("]), "a"),
            (json!("x)|(.*"), "a"),
            (json!("(?x)a#"), "b"),
            (json!("(a{1000}){1000}"), "a"),
        ] {
            assert!(!opens(&claim, store_id), "{claim} {store_id:?}");
        }
    }
}
