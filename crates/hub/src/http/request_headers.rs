//! Lists in the headers of requests, read as RFC 9110 has them.

use http::{HeaderMap, HeaderName, header};

/// The members of a list, which may stand in several lines (section 5.3).
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

fn bare(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What the sender of a request has already: the entity tags of its `If-None-Match` (section 13.1.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownTags(Vec<String>);

impl KnownTags {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(members(headers, &header::IF_NONE_MATCH).map(str::to_owned).collect())
    }

    /// Whether what has this tag, which is there, need not be sent: it is named, or anything is by `*`. Compared weakly.
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == "*" || bare(known) == bare(tag))
    }
}

/// Whether `Accept-Encoding` names a coding, and not with a weight of nought (section 12.5.3).
pub(crate) fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    members(headers, &header::ACCEPT_ENCODING).any(|member| {
        let mut parts = member.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_named && weight.is_none_or(|weight| weight.trim().parse().unwrap_or(0.0_f32) > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn tags_are_compared_weakly() {
        let known = |values: &[&str]| KnownTags::of(&lines(&header::IF_NONE_MATCH, values));
        for tag in ["\"id-5\"", "W/\"id-5\""] {
            assert!(known(&["W/\"id-5\""]).has(tag) && known(&["\"x\", \"id-5\""]).has(tag), "{tag}");
            assert!(known(&["\"x\"", "\"id-5\""]).has(tag) && known(&["*"]).has(tag), "{tag}");
            assert!(!known(&["W/\"id-6\""]).has(tag) && !known(&["id-5"]).has(tag), "{tag}");
            assert!(!known(&[]).has(tag) && !known(&[""]).has(tag), "{tag}");
        }
    }

    #[test]
    fn codings_have_weights() {
        for (values, gzip, zstd) in [
            (&[""] as &[&str], false, false),
            (&["gzip"], true, false),
            (&["gzip, ZSTD"], true, true),
            (&["gzip", "zstd"], true, true),
            (&["br;q=1.0, gzip;q=0.8, zstd;q=0"], true, false),
            (&["gzip; Q=0.000, zstd ; q=0.001"], false, true),
            (&["identity"], false, false),
            (&["gzip;q=much"], false, false),
        ] {
            let headers = lines(&header::ACCEPT_ENCODING, values);
            assert_eq!((accepts(&headers, "gzip"), accepts(&headers, "zstd")), (gzip, zstd), "{values:?}");
        }
    }
}
