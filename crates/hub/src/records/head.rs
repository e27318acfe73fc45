//! The head of a request: the parameters of its query, its device.

use ferry_protocol::records::check_name;
use http::request::Parts;

/// A query parameter, decoded; the first of that name.
pub(super) fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query().unwrap_or("");
    form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

/// The device of a request: header `X-Client-Id`.
pub(super) fn client_header(parts: &Parts) -> Option<String> {
    let value = parts.headers.get("x-client-id")?.to_str().ok()?;
    check_name(value, "client id").ok().map(|()| value.to_owned())
}
