//! What of a request's headers the code of a database's developers sees.

use http::HeaderMap;

/// Headers that carry an API key.
const KEY_HEADERS: [&str; 2] = ["ferry-key", "x-edgepod-key"];

/// Names, in lower case, and values, without API keys (FUN-05) and without the hub's own tokens: a JWT, which code may
/// judge for itself, is all that is left of `Authorization`.
pub(crate) fn shown_headers(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> + '_ {
    let is_jwt = |value: &[u8]| value.iter().filter(|byte| **byte == b'.').count() == 2;
    let shown = headers.iter().filter(move |(name, value)| {
        !KEY_HEADERS.contains(&name.as_str())
            && (*name != http::header::AUTHORIZATION || is_jwt(value.as_bytes()))
    });
    shown.map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    })
}
