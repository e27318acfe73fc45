//! The credentials that a request carries, and where they may stand (control.md, 2.5). Collecting never fails;
//! what contradicts itself is refused when it is used.

use std::{borrow::Cow, fmt};

use ferry_types::{Error, Reason, Result};
use http::{HeaderMap, HeaderName, header};

use crate::{credentials::bearer, origin::ClientIp};

/// Headers that carry an API key.
const KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("ferry-key"), HeaderName::from_static("x-edgepod-key")];
/// In front of a bearer that stands among a WebSocket's subprotocols, beside the model's own.
pub const BEARER_PROTOCOL: &str = "ferry.bearer.";

/// Where a request comes from, as far as rights ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInfo<'r> {
    /// Address of the client.
    pub ip: ClientIp,
    /// The web page that a browser says is behind it.
    pub origin: Option<&'r str>,
}

impl<'r> ClientInfo<'r> {
    /// The client at `ip` that sent `headers`.
    #[must_use]
    pub fn of(ip: ClientIp, headers: &'r HeaderMap) -> Self {
        let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("null"));
        Self { ip, origin }
    }
}

/// One place for one secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Carried<'r> {
    #[default]
    Nothing,
    One(Cow<'r, str>),
    /// Different ones, of which nobody can say which is meant.
    Several,
}

impl<'r> Carried<'r> {
    fn add(&mut self, secret: impl Into<Cow<'r, str>>) {
        let secret = secret.into();
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(secret),
            Self::One(known) if known == secret => Self::One(known),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    fn get(&self, several: &'static str) -> Result<Option<&str>> {
        match self {
            Self::Nothing => Ok(None),
            Self::One(secret) => Ok(Some(secret)),
            Self::Several => Err(Error::new(Reason::Unauthenticated, several)),
        }
    }
}

/// The credentials of one request: at most one bearer and one API key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials<'r> {
    bearer: Carried<'r>,
    key: Carried<'r>,
}

impl<'r> Credentials<'r> {
    /// What the headers carry: `Authorization: Bearer`, `Ferry-Key`, `X-Edgepod-Key`.
    #[must_use]
    pub fn of_headers(headers: &'r HeaderMap) -> Self {
        let mut found = Self::default();
        bearer::bearers(headers).for_each(|token| found.bearer.add(token));
        for name in &KEY_HEADERS {
            for value in headers.get_all(name) {
                // What is no text is no key; it must still not pass for none.
                found.key.add(value.to_str().unwrap_or("\u{fffd}"));
            }
        }
        found
    }

    /// What a plain request carries: [`Self::of_headers`] and `?key=`.
    #[must_use]
    pub fn of_request(headers: &'r HeaderMap, query: Option<&'r str>) -> Self {
        let mut found = Self::of_headers(headers);
        parameters(query, "key").for_each(|key| found.key.add(key));
        found
    }

    /// What the request of a WebSocket or of server-sent events carries: [`Self::of_request`], `?access_token=`,
    /// and the subprotocol `ferry.bearer.<x>`. Browsers cannot set headers there.
    #[must_use]
    pub fn of_stream(headers: &'r HeaderMap, query: Option<&'r str>) -> Self {
        let mut found = Self::of_request(headers, query);
        parameters(query, "access_token").for_each(|token| found.bearer.add(token));
        let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let names = protocols.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
        names
            .filter_map(|name| name.trim().strip_prefix(BEARER_PROTOCOL))
            .for_each(|token| found.bearer.add(token));
        found
    }

    /// The same with a bearer that stood in a payload, a cookie or an `auth` frame.
    #[must_use]
    pub fn with_bearer(mut self, token: impl Into<Cow<'r, str>>) -> Self {
        self.bearer.add(token);
        self
    }

    /// The same with an API key that stood in a payload.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Cow<'r, str>>) -> Self {
        self.key.add(key);
        self
    }

    /// The same without the bearer, for a message that carries one of its own.
    #[must_use]
    pub fn without_bearer(self) -> Self {
        Self { bearer: Carried::Nothing, ..self }
    }

    /// The same with the first API key in place of all: `Ferry-Key`, else `X-Edgepod-Key`, else `?key=`. So functions
    /// read them, where clients may send more than one.
    #[must_use]
    pub fn with_first_key(mut self, headers: &'r HeaderMap, query: Option<&'r str>) -> Self {
        let header = KEY_HEADERS.iter().find_map(|name| headers.get(name));
        let header = header.map(|value| Cow::Borrowed(value.to_str().unwrap_or("\u{fffd}")));
        let first = header.or_else(|| parameters(query, "key").next());
        self.key = first.map_or(Carried::Nothing, Carried::One);
        self
    }

    /// Whether the API key begins with `prefix`.
    #[must_use]
    pub fn key_begins_with(&self, prefix: &str) -> bool {
        matches!(&self.key, Carried::One(key) if key.starts_with(prefix))
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn bearer(&self) -> Result<Option<&str>> {
        self.bearer.get("two different bearer tokens: send one")
    }

    pub(crate) fn key(&self) -> Result<Option<&str>> {
        self.key.get("two different API keys: send one")
    }
}

/// Secrets are not shown.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |carried: &Carried<'_>| match carried {
            Carried::Nothing => "none",
            Carried::One(_) => "one",
            Carried::Several => "several",
        };
        write!(f, "Credentials(bearer: {}, key: {})", shown(&self.bearer), shown(&self.key))
    }
}

/// The values of a query parameter, decoded.
fn parameters<'r>(query: Option<&'r str>, name: &'static str) -> impl Iterator<Item = Cow<'r, str>> {
    form_urlencoded::parse(query.unwrap_or("").as_bytes())
        .filter(move |(found, _)| found == name)
        .map(|(_, value)| value)
        // `?key=` of a form left empty is no credential.
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn each_carrier_is_read_where_it_may_stand() {
        let plain = headers(&[("authorization", "bearer a.b.c"), ("ferry-key", "k1")]);
        let found = Credentials::of_headers(&plain);
        assert_eq!((found.bearer().unwrap(), found.key().unwrap()), (Some("a.b.c"), Some("k1")));
        let edgepod = headers(&[("x-edgepod-key", "ep_pk_1")]);
        assert_eq!(Credentials::of_headers(&edgepod).key().unwrap(), Some("ep_pk_1"));

        let query = Some("x=1&key=k%2B2&access_token=t%2F1");
        let none = HeaderMap::new();
        let request = Credentials::of_request(&none, query);
        assert_eq!((request.bearer().unwrap(), request.key().unwrap()), (None, Some("k+2")));
        let stream = Credentials::of_stream(&none, query);
        assert_eq!((stream.bearer().unwrap(), stream.key().unwrap()), (Some("t/1"), Some("k+2")));

        let socket = headers(&[("sec-websocket-protocol", "ferry.functions.v1, ferry.bearer.a-_.b.c")]);
        assert_eq!(Credentials::of_stream(&socket, None).bearer().unwrap(), Some("a-_.b.c"));
        assert!(Credentials::of_request(&socket, None).is_empty(), "only sockets have subprotocols");
        let payload = Credentials::default().with_bearer("t").with_key("k");
        assert_eq!((payload.bearer().unwrap(), payload.key().unwrap()), (Some("t"), Some("k")));
        assert!(Credentials::of_stream(&none, Some("key=&access_token=")).is_empty());
    }

    #[test]
    fn different_secrets_of_one_kind_are_refused_and_equal_ones_are_one() {
        let both = headers(&[("authorization", "Bearer t"), ("sec-websocket-protocol", "ferry.bearer.u")]);
        let refused = Credentials::of_stream(&both, None);
        assert_eq!(refused.bearer().unwrap_err().reason, Reason::Unauthenticated);
        assert_eq!(
            Credentials::of_stream(&both, Some("access_token=t")).bearer().unwrap_err().message.len(),
            37
        );
        let same = headers(&[("authorization", "Bearer t"), ("sec-websocket-protocol", "ferry.bearer.t")]);
        assert_eq!(Credentials::of_stream(&same, Some("access_token=t")).bearer().unwrap(), Some("t"));
        let keys = headers(&[("ferry-key", "k1"), ("x-edgepod-key", "k2")]);
        assert!(Credentials::of_headers(&keys).key().is_err());
        let odd = HeaderMap::from_iter([(
            HeaderName::from_static("ferry-key"),
            http::HeaderValue::from_bytes(b"\xff").unwrap(),
        )]);
        assert!(!Credentials::of_headers(&odd).is_empty(), "an unreadable key is not the same as none");
    }

    #[test]
    fn of_several_keys_the_first_counts_where_that_is_asked() {
        let all = headers(&[("x-edgepod-key", "k2"), ("ferry-key", "k1"), ("authorization", "Bearer t")]);
        let first = |headers, query| {
            Credentials::of_request(headers, query)
                .with_first_key(headers, query)
                .key()
                .unwrap()
                .map(str::to_owned)
        };
        assert_eq!(first(&all, Some("key=k3")).as_deref(), Some("k1"));
        let edgepod = headers(&[("x-edgepod-key", "k2")]);
        assert_eq!(first(&edgepod, Some("key=k3")).as_deref(), Some("k2"));
        let none = HeaderMap::new();
        assert_eq!(first(&none, Some("key=k3&key=k4")).as_deref(), Some("k3"));
        assert_eq!(first(&none, None), None);
        let without = Credentials::of_request(&all, None).with_first_key(&all, None).without_bearer();
        assert_eq!((without.bearer().unwrap(), without.key_begins_with("k")), (None, true));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials::default().with_bearer("hush").with_key("hush"));
        assert_eq!(shown, "Credentials(bearer: one, key: one)");
    }

    #[test]
    fn an_origin_that_is_no_text_is_still_one() {
        let ip = ClientIp::UNKNOWN;
        assert_eq!(ClientInfo::of(ip, &HeaderMap::new()).origin, None);
        let page = headers(&[("origin", "https://app.example")]);
        assert_eq!(ClientInfo::of(ip, &page).origin, Some("https://app.example"));
        let odd = HeaderMap::from_iter([(header::ORIGIN, http::HeaderValue::from_bytes(b"\xff").unwrap())]);
        assert_eq!(ClientInfo::of(ip, &odd).origin, Some("null"));
    }
}
