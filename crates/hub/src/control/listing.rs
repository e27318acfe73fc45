//! Page tokens: opaque keyset cursors, bound to the RPC and its filter (ORG-13).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ferry_types::{DatabaseId, Error, OrgId, Reason, Result};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

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
pub(super) fn page_size(page_size: i32) -> Result<usize> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(PAGE_DEFAULT),
        Ok(rows) if rows <= PAGE_MAX => Ok(rows),
        _ => Err(Error::new(Reason::InvalidArgument, "page_size must be from 0 (meaning 100) to 1000")),
    }
}

/// What a list of databases is asked for; its page tokens fit no other.
pub(super) struct DatabaseQuery<'a> {
    pub(super) org_id: OrgId,
    pub(super) name_prefix: &'a str,
}

impl DatabaseQuery<'_> {
    fn digest(&self) -> [u8; QUERY_BYTES] {
        let digest = Sha256::new()
            .chain_update(b"ListDatabases\0")
            .chain_update(self.org_id.uuid().as_bytes())
            .chain_update(self.name_prefix)
            .finalize();
        let mut short = [0; QUERY_BYTES];
        short.copy_from_slice(&digest[..QUERY_BYTES]);
        short
    }

    /// The token of the page after `last`.
    pub(super) fn token_after(&self, last: DatabaseId) -> String {
        URL_SAFE_NO_PAD.encode([self.digest().as_slice(), last.uuid().as_bytes()].concat())
    }

    /// The last row of the page before; `None` for an empty token: the list from its beginning.
    ///
    /// # Errors
    /// When the token is not one of this query's.
    pub(super) fn cursor(&self, token: &str) -> Result<Option<DatabaseId>> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let cursor = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(&self.digest()));
        let cursor = cursor.and_then(|uuid| Uuid::from_slice(uuid).ok());
        cursor.map(|uuid| Some(DatabaseId::from_uuid(uuid))).ok_or_else(|| {
            let message = "page_token is not one of this list: repeat the request without it";
            Error::new(Reason::InvalidArgument, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-13
    #[test]
    fn tokens_fit_their_query_alone() {
        let org_id: OrgId = "o_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap();
        let last: DatabaseId = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902154".parse().unwrap();
        let all = DatabaseQuery { org_id, name_prefix: "" };
        let token = all.token_after(last);
        assert_eq!(all.cursor(&token), Ok(Some(last)));
        assert_eq!(all.cursor(""), Ok(None));
        assert!(DatabaseQuery { org_id, name_prefix: "a" }.cursor(&token).is_err());
        let other: OrgId = "o_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902155".parse().unwrap();
        assert!(DatabaseQuery { org_id: other, name_prefix: "" }.cursor(&token).is_err());
        assert!(all.cursor("x").is_err() && all.cursor(&token[1..]).is_err());
        assert_eq!((page_size(0), page_size(1), page_size(1000)), (Ok(100), Ok(1), Ok(1000)));
        assert!(page_size(-1).is_err() && page_size(1001).is_err());
    }
}
