//! The URL under which clients reach the hub.

use http::Uri;

use super::is_loopback_host;

/// A URL whose path others are put behind.
pub(super) fn base(text: &str) -> Result<String, String> {
    let expected = || "expected a URL such as https://hub.example or https://example.com/hub".to_owned();
    if text.contains('#') {
        return Err(expected());
    }
    let url: Uri = text.parse().map_err(|_| expected())?;
    match (url.scheme_str(), url.authority(), url.query()) {
        (Some("http" | "https"), Some(_), None) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(expected()),
    }
}

/// The same, which names no user.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let url = base(text)?;
    if url.split('/').nth(2).is_some_and(|authority| authority.contains('@')) {
        return Err(
            "everybody is told this URL, so it names no user: leave out what stands before @".to_owned()
        );
    }
    Ok(url)
}

/// Whether clients find the hub by a name that is not this machine's own.
pub(super) fn is_reached_from_afar(public_url: Option<&str>) -> bool {
    let host = public_url.and_then(|url| url.parse::<Uri>().ok()).and_then(|url| url.authority().cloned());
    host.is_some_and(|host| !is_loopback_host(host.as_str()))
}

/// Its path, empty or as `/hub`.
pub(super) fn path(public_url: Option<&str>) -> &str {
    let after_scheme = public_url.and_then(|url| url.split_once("://"));
    after_scheme.and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_have_a_path() {
        for (text, url, of) in [
            ("https://example.com/a/b/", "https://example.com/a/b", "/a/b"),
            ("https://example.com/", "https://example.com", ""),
            ("http://localhost:8787", "http://localhost:8787", ""),
        ] {
            assert_eq!(parse(text).unwrap(), url);
            assert_eq!(path(Some(url)), of);
        }
        assert_eq!(path(None), "");
    }
}
