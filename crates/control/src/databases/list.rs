//! The databases of an organisation.

use ferry_types::Result;

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::resolve::resolve_org,
    directory::{entries::DatabaseEntry, listing::Listing},
};

/// All databases of the session's organisation, oldest first.
pub struct ListAllDatabases<'a> {
    /// Who asks.
    pub caller: &'a Caller,
}

impl ListAllDatabases<'_> {
    /// # Errors
    /// When the caller no longer belongs to it.
    pub fn run(self, db: &ControlDb) -> Result<Vec<DatabaseEntry>> {
        let Self { caller } = self;
        let (org_id, _) = resolve_org(db, caller, "")?;
        Ok(db.directory().databases_after(org_id, None).cloned().collect())
    }
}

/// A page of an organisation's databases, oldest first, and the token of the next one (empty: the end).
pub struct ListDatabases<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// What names begin with; empty: all.
    pub name_prefix: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListDatabases<'_> {
    /// # Errors
    /// Unknown organisation, bad page size or token.
    pub fn run(self, db: &ControlDb) -> Result<(Vec<DatabaseEntry>, String)> {
        let Self { caller, org, name_prefix, page_size, page_token } = self;
        let (org_id, _) = resolve_org(db, caller, org)?;
        let filter = [org_id.to_string(), name_prefix.to_owned()];
        let listing = Listing::new("ListDatabases", &[&filter[0], &filter[1]], page_size, page_token)?;
        let directory = db.directory();
        let found = directory
            .databases_after(org_id, listing.after.parse().ok())
            .filter(|entry| entry.name.starts_with(name_prefix));
        let (page, next) = listing.page(found, |entry| entry.id.to_string());
        Ok((page.into_iter().cloned().collect(), next))
    }
}
