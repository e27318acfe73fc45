//! Page tokens: opaque keyset cursors, bound to the RPC and its filter (ORG-13).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ferry_types::{Error, Reason, Result};
use sha2::{Digest as _, Sha256};

/// Rows of a page when none are asked for.
const PAGE_DEFAULT: usize = 100;
/// Most rows of a page.
const PAGE_MAX: usize = 1000;
/// Bytes of a page token that name its query.
const QUERY_BYTES: usize = 8;

/// The number of rows that `page_size` asks for.
///
/// # Errors
/// When it is negative or too large.
fn page_size(page_size: i32) -> Result<usize> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(PAGE_DEFAULT),
        Ok(rows) if rows <= PAGE_MAX => Ok(rows),
        _ => Err(Error::new(Reason::InvalidArgument, "page_size must be from 0 (meaning 100) to 1000")),
    }
}

/// One page of a list: which rows it begins after, and how many it has. Its tokens fit no other RPC or filter.
pub(crate) struct Listing {
    query: [u8; QUERY_BYTES],
    rows: usize,
    /// Key of the last row of the page before; empty: the list from its beginning.
    pub(crate) after: String,
}

impl Listing {
    /// # Errors
    /// When `page_size` is out of range, or `page_token` is not one of this query's.
    pub(crate) fn new(rpc: &str, filter: &[&str], size: i32, page_token: &str) -> Result<Self> {
        let rows = page_size(size)?;
        let query = digest(rpc, filter);
        let after = match page_token {
            "" => String::new(),
            token => cursor(&query, token).ok_or_else(|| {
                let message = "page_token is not one of this list: repeat the request without it";
                Error::new(Reason::InvalidArgument, message)
            })?,
        };
        Ok(Self { query, rows, after })
    }

    /// Rows to ask storage for: one more than the page has, so that it is known whether there are more.
    pub(crate) const fn wanted(&self) -> usize {
        self.rows + 1
    }

    /// The page of `rows`, which follow [`Self::after`], and the token of the next one (empty: the end).
    pub(crate) fn page<T>(
        &self,
        rows: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, String) {
        let mut rows = rows.into_iter();
        let page: Vec<T> = rows.by_ref().take(self.rows).collect();
        let next = match page.last() {
            Some(last) if rows.next().is_some() => self.token_after(&key(last)),
            _ => String::new(),
        };
        (page, next)
    }

    fn token_after(&self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode([self.query.as_slice(), key.as_bytes()].concat())
    }
}

fn digest(rpc: &str, filter: &[&str]) -> [u8; QUERY_BYTES] {
    let mut hasher = Sha256::new();
    for part in [rpc].iter().chain(filter) {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    let mut short = [0; QUERY_BYTES];
    short.copy_from_slice(&hasher.finalize()[..QUERY_BYTES]);
    short
}

fn cursor(query: &[u8], token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let key = bytes.strip_prefix(query).filter(|key| !key.is_empty())?;
    String::from_utf8(key.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-13
    #[test]
    fn tokens_fit_their_query_alone() {
        let first = Listing::new("ListX", &["o_1", ""], 2, "").unwrap();
        let (page, token) = first.page(["a", "b", "c"], ToString::to_string);
        assert_eq!(page, ["a", "b"]);
        let second = Listing::new("ListX", &["o_1", ""], 2, &token).unwrap();
        assert_eq!(second.after, "b");
        assert_eq!(second.page(["c", "d"], ToString::to_string), (vec!["c", "d"], String::new()));
        for (rpc, filter) in [("ListY", ["o_1", ""]), ("ListX", ["o_2", ""]), ("ListX", ["o_1", "a"])] {
            assert!(Listing::new(rpc, &filter, 2, &token).is_err(), "{rpc} {filter:?}");
        }
        assert!(Listing::new("ListX", &["o_1", ""], 2, "x").is_err());
        assert!(Listing::new("ListX", &["o_1", ""], 2, &token[1..]).is_err());
        assert_eq!((page_size(0), page_size(1), page_size(1000)), (Ok(100), Ok(1), Ok(1000)));
        assert!(page_size(-1).is_err() && page_size(1001).is_err());
    }
}
