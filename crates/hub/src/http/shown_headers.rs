//! What of a request's headers the code of a database's developers sees.

use http::HeaderMap;

/// Headers that carry an API key.
const KEY_HEADERS: [&str; 2] = ["ferry-key", "x-edgepod-key"];

/// Names, in lower case, and values, without API keys (FUN-05).
pub(crate) fn shown_headers(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> + '_ {
    let shown = headers.iter().filter(|(name, _)| !KEY_HEADERS.contains(&name.as_str()));
    shown.map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    })
}
