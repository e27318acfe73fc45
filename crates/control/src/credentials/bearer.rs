//! The bearer token of the `Authorization` header.

use ferry_types::{Error, Reason, Result};
use http::{HeaderMap, header};

/// The bearer token of the `Authorization` header, if it has one; the scheme's case does not matter.
///
/// # Errors
/// When two headers carry different tokens.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut found = None;
    for token in bearers(headers) {
        if found.is_some_and(|other| other != token) {
            return Err(Error::new(Reason::Unauthenticated, "two different bearer tokens: send one"));
        }
        found = Some(token);
    }
    Ok(found)
}

/// Every bearer token of the `Authorization` headers.
pub(crate) fn bearers(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok().and_then(of_value))
}

fn of_value(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_tokens_must_agree() {
        for value in ["Bearer abc", "bearer abc", "BEARER  abc", " Bearer abc "] {
            assert_eq!(bearer(&headers(&[value])), Ok(Some("abc")), "{value}");
        }
        for value in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(bearer(&headers(&[value])), Ok(None), "{value}");
        }
        assert_eq!(bearer(&headers(&["Bearer abc", "bearer abc"])), Ok(Some("abc")));
        assert!(bearer(&headers(&["Bearer abc", "Bearer abd"])).is_err());
    }
}
