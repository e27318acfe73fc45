//! Where requests carry their credential (control specification, 2.5; what a wire adds, in its own).

use http::{HeaderMap, HeaderValue, header, request::Parts};

use ferry_control::Credentials;

/// What publishable API keys begin with; everything else that stands where both may is a bearer.
const KEY_PREFIXES: &[&str] = &["fy_pk_", "ep_pk_"];

/// The places of a request in which a wire looks for its credential.
#[derive(Clone, Copy)]
pub(crate) enum Carriers<'r> {
    /// `Authorization: Bearer` with a sync token or a secret API key, and nothing else.
    BearerHeader,
    /// Headers and `?key=`.
    Request,
    /// These, `?access_token=` and the subprotocol `ferry.bearer.…`: where browsers open a stream or a socket, their pages
    /// cannot set headers.
    Stream,
    /// As `Stream` or `Request`; if there is none, this secret, which the wire found elsewhere: a cookie, or a payload.
    Else { is_stream: bool, secret: Option<&'r str> },
    /// The token of a message on an open socket. What its request carried does not count.
    Message(&'r str),
}

impl<'r> Carriers<'r> {
    /// [`Self::Stream`] or [`Self::Request`].
    pub(crate) const fn of_stream(is_stream: bool) -> Self {
        if is_stream { Self::Stream } else { Self::Request }
    }

    /// The credentials that the request carries; `None` where its `Authorization` header alone is asked.
    pub(crate) fn credentials(self, parts: &'r Parts) -> Option<Credentials<'r>> {
        let (headers, query) = (&parts.headers, parts.uri.query());
        Some(match self {
            Self::BearerHeader => return None,
            Self::Request => Credentials::of_request(headers, query),
            Self::Stream => Credentials::of_stream(headers, query),
            Self::Else { is_stream, secret } => {
                let found = Self::of_stream(is_stream).credentials(parts).unwrap_or_default();
                match secret.filter(|_| found.is_empty()) {
                    Some(key) if KEY_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {
                        found.with_key(key)
                    }
                    Some(token) => found.with_bearer(token),
                    None => found,
                }
            }
            Self::Message("") => Credentials::default(),
            Self::Message(token) => Credentials::default().with_bearer(token),
        })
    }
}

/// The cookie called `name`, if the page that sends it may use it: browsers add cookies by themselves.
pub(crate) fn cookie<'r>(
    headers: &'r HeaderMap,
    name: &str,
    may_use: impl Fn(&HeaderValue) -> bool,
) -> Option<&'r str> {
    headers.get(header::ORIGIN).filter(|origin| may_use(origin))?;
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(header: Option<(&'static str, &str)>) -> Parts {
        let mut request = http::Request::get("/");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_secret_from_elsewhere_counts_only_where_the_request_has_none() {
        let bare = parts(None);
        let found =
            |parts, secret| Carriers::Else { is_stream: false, secret: Some(secret) }.credentials(parts);
        assert!(found(&bare, "a.b.c") == Some(Credentials::default().with_bearer("a.b.c")));
        assert!(found(&bare, "fy_pk_1") == Some(Credentials::default().with_key("fy_pk_1")));
        let own = parts(Some(("ferry-key", "k")));
        assert!(found(&own, "a.b.c") == Some(Credentials::default().with_key("k")));
    }

    #[test]
    fn a_message_counts_alone() {
        let own = parts(Some(("authorization", "Bearer t")));
        assert!(Carriers::Message("").credentials(&own) == Some(Credentials::default()));
        assert!(Carriers::Message("u").credentials(&own) == Some(Credentials::default().with_bearer("u")));
        assert!(Carriers::BearerHeader.credentials(&own).is_none());
    }

    #[test]
    fn a_cookie_counts_for_pages_that_may_use_it() {
        let ours = |origin: &HeaderValue| origin == "https://app.example";
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=1; token=t; b=2"));
        assert_eq!(cookie(&headers, "token", ours), None);
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert_eq!(cookie(&headers, "token", ours), None);
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        assert_eq!(cookie(&headers, "token", ours), Some("t"));
        assert_eq!(cookie(&headers, "toke", ours), None);
    }
}
