//! The signing keys of the hub.

use ferry_auth::keyring::KeyInfo;
use ferry_types::Result;

use crate::{
    credentials::signing_keys::{SigningKeys, kid_text},
    directory::listing::Listing,
};

/// A page of the signing keys, in order of their names, and the token of the next page.
pub struct ListSigningKeys<'a> {
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListSigningKeys<'_> {
    /// # Errors
    /// Bad page size or token.
    pub async fn run(self, signing: &SigningKeys) -> Result<(Vec<KeyInfo>, String)> {
        let Self { page_size, page_token } = self;
        let listing = Listing::new("ListSigningKeys", &[], page_size, page_token)?;
        let mut keys = signing.keys.lock().await.list();
        keys.sort_by_key(|key| key.kid);
        keys.retain(|key| kid_text(key.kid) > listing.after);
        Ok(listing.page(keys, |key| kid_text(key.kid)))
    }
}
