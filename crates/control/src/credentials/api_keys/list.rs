//! The API keys of a database.

use ferry_auth::Role;
use ferry_types::Result;

use crate::{
    caller::{Caller, require_role},
    control_db::ControlDb,
    credentials::resolve::resolve_database,
    directory::{
        api_key_rows,
        api_key_rows::{ApiKeyInfo, ApiKeyRow},
        listing::Listing,
    },
};

/// A page of a database's live keys, oldest first, and the token of the next one.
pub struct ListApiKeys<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListApiKeys<'_> {
    /// # Errors
    /// `database not found`; role below admin; bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<ApiKeyInfo>, String)> {
        let Self { caller, database, page_size, page_token } = self;
        let (entry, role) = resolve_database(db, caller, database)?;
        require_role(role, Role::Admin)?;
        let listing = Listing::new("ListApiKeys", &[&entry.id.to_string()], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), db.now());
        let found = db
            .read(move |connection| api_key_rows::of_database(connection, entry.id, &after, now, wanted))
            .await?;
        let directory = db.directory();
        // Memory knows of uses that are not stored yet.
        let fresh = |row: ApiKeyRow| {
            let used = directory.api_keys().by_digest(&row.digest).and_then(|entry| entry.last_used());
            ApiKeyInfo { last_used: used.or(row.info.last_used), ..row.info }
        };
        Ok(listing.page(found.into_iter().map(fresh), |info| info.id.to_string()))
    }
}
