//! The cookie that holds a session of the dashboard (OPR-52).

use http::{HeaderMap, header};

/// How it is named and marked: by how the hub is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionCookie {
    /// Over https.
    Secure,
    /// Over http on this machine, which no network sees.
    Loopback,
}

impl SessionCookie {
    const fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Secure-ferry",
            Self::Loopback => "ferry",
        }
    }

    /// What a request carries.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<&str> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == self.name() && !value.is_empty()).then_some(value))
    }

    /// The header that keeps the sealed session `value` for so long, below `prefix`, the path of the hub.
    pub(super) fn keep(self, value: &str, max_age_seconds: u64, prefix: &str) -> String {
        self.line(value, max_age_seconds, prefix)
    }

    /// The header that forgets it.
    pub(super) fn forget(self, prefix: &str) -> String {
        self.line("", 0, prefix)
    }

    fn line(self, value: &str, max_age_seconds: u64, prefix: &str) -> String {
        let secure = if self == Self::Secure { "; Secure" } else { "" };
        let name = self.name();
        format!(
            "{name}={value}; Path={prefix}/_/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Strict{secure}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-52
    #[test]
    fn what_is_kept_is_read() {
        let line = SessionCookie::Secure.keep("fy_abc", 43_200, "/hub");
        assert_eq!(
            line,
            "__Secure-ferry=fy_abc; Path=/hub/_/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"
        );
        let of = |text: &str| HeaderMap::from_iter([(header::COOKIE, text.parse().unwrap())]);
        let both = of("a=b; ferry=one; __Secure-ferry=two");
        assert_eq!(SessionCookie::Loopback.read(&both), Some("one"));
        assert_eq!(SessionCookie::Secure.read(&both), Some("two"));
        assert_eq!(SessionCookie::Loopback.read(&of("xferry=one; ferry=")), None);
        assert!(SessionCookie::Loopback.forget("").starts_with("ferry=; Path=/_/; Max-Age=0;"));
    }
}
