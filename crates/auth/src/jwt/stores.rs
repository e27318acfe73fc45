//! Which event stores a JWT opens, where the operator wants its issuer to say so (EVT-51): a claim that holds a pattern
//! or a list of them.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Patterns of one token.
const PATTERNS_MAX: usize = 64;

/// Why a claim opens no store at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadScope {
    /// The token does not have it.
    Missing,
    /// It is neither a text nor a list of at most 64 texts.
    IllFormed,
}

/// The stores that a JWT opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreScope {
    /// The claim that names them.
    pub claim: Arc<str>,
    /// Regular expressions of which a store's id must match one as a whole.
    pub patterns: Result<Box<[Box<str>]>, BadScope>,
}

impl StoreScope {
    /// What `claim` says among the claims of a token.
    #[must_use]
    pub fn of(claims: &Map<String, Value>, claim: &Arc<str>) -> Self {
        let patterns = match claims.get(&**claim) {
            None | Some(Value::Null) => Err(BadScope::Missing),
            Some(Value::String(one)) => Ok([one.as_str().into()].into()),
            Some(Value::Array(list)) if list.len() <= PATTERNS_MAX => {
                let texts = list.iter().map(|pattern| pattern.as_str().map(Box::from));
                texts.collect::<Option<_>>().ok_or(BadScope::IllFormed)
            }
            Some(_) => Err(BadScope::IllFormed),
        };
        Self { claim: Arc::clone(claim), patterns }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Verifies: EVT-51
    #[test]
    fn a_claim_is_a_pattern_or_a_list_and_nothing_else() {
        let of = |value: Value| {
            let claims = json!({"sub": "ada", "stores": value});
            StoreScope::of(claims.as_object().unwrap(), &"stores".into()).patterns
        };
        assert_eq!(of(json!("team-.*")), Ok(["team-.*".into()].into()));
        assert_eq!(of(json!(["a", "b"])), Ok(["a".into(), "b".into()].into()));
        assert_eq!(of(json!([])), Ok([].into()), "none at all");
        assert_eq!(of(Value::Null), Err(BadScope::Missing));
        assert_eq!(StoreScope::of(&Map::new(), &"stores".into()).patterns, Err(BadScope::Missing));
        for bad in [json!(7), json!(true), json!({"a": 1}), json!(["a", 7]), json!(vec!["a"; 65])] {
            assert_eq!(of(bad.clone()), Err(BadScope::IllFormed), "{bad}");
        }
    }
}
