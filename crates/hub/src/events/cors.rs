//! CORS of this model's paths (section 2.1): by default every page may call, since a credential is never a cookie
//! that a browser adds by itself.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use ferry_control::origin_matches;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const ANY: HeaderValue = HeaderValue::from_static("*");
const ANY_ORIGIN: &str = "*";
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The answer to `OPTIONS`.
pub(super) fn preflight(request: &HeaderMap, origins: &[String]) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    allow(&mut response, request, origins);
    response
}

/// Adds what lets the page of `request` read `response`.
pub(super) fn allow(response: &mut Response, request: &HeaderMap, origins: &[String]) {
    let headers = response.headers_mut();
    let origin = request.get(header::ORIGIN);
    if origins.iter().any(|rule| rule == ANY_ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    } else {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin.filter(|origin| is_listed(origin, origins)) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    let wanted = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(ANY);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
}

/// Whether the page's origin is named, so that a cookie of its browser counts. `*` names nobody.
pub(super) fn is_listed(origin: &HeaderValue, origins: &[String]) -> bool {
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    origins.iter().any(|rule| rule != ANY_ORIGIN && origin_matches(rule, &origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(origins: &[&str], origin: &str) -> Option<String> {
        let origins: Vec<String> = origins.iter().map(|&rule| rule.to_owned()).collect();
        let request = HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
        let response = preflight(&request, &origins);
        let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(allowed.to_str().unwrap().to_owned())
    }

    #[test]
    fn all_pages_or_the_listed_ones() {
        assert_eq!(answered(&["*"], "https://a.example").as_deref(), Some("*"));
        let listed = ["https://a.example"];
        assert_eq!(answered(&listed, "https://a.example").as_deref(), Some("https://a.example"));
        assert_eq!(answered(&listed, "https://b.example"), None);
        assert!(!is_listed(&HeaderValue::from_static("https://a.example"), &["*".to_owned()]));
    }
}
