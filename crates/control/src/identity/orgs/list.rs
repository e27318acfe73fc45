//! A user's organisations.

use ferry_types::{OrgId, Result};

use crate::{
    caller::Caller,
    control_db::ControlDb,
    directory::listing::Listing,
    identity::whoami::{OrgMembership, membership},
};

/// A page of the caller's organisations, oldest first, and the token of the next one.
pub struct ListOrgs<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListOrgs<'_> {
    /// # Errors
    /// Bad page size or token.
    pub fn run(self, db: &ControlDb) -> Result<(Vec<OrgMembership>, String)> {
        let Self { caller, page_size, page_token } = self;
        let user = caller.user_id.to_string();
        let listing = Listing::new("ListOrgs", &[&user], page_size, page_token)?;
        let after: Option<OrgId> = listing.after.parse().ok();
        let directory = db.directory();
        let memberships = directory.user(caller.user_id).map_or(&[][..], |user| &user.memberships);
        let orgs = memberships
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .filter_map(|(id, role)| membership(&directory, *id, *role));
        Ok(listing.page(orgs, |org| org.id.to_string()))
    }
}
