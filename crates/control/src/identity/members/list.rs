//! The members of an organisation.

use ferry_types::{Result, UnixMillis};

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::resolve::resolve_own_org,
    directory::{columns::parsed, listing::Listing},
    identity::members::Member,
};

/// A page of an organisation's members, in order of their ids, and the token of the next one.
pub struct ListMembers<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListMembers<'_> {
    /// # Errors
    /// Unknown organisation, role below admin, bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<Member>, String)> {
        let Self { caller, org, page_size, page_token } = self;
        let org_id = resolve_own_org(db, caller, org)?.to_string();
        let listing = Listing::new("ListMembers", &[&org_id], page_size, page_token)?;
        let (after, wanted) = (listing.after.clone(), listing.wanted());
        let rows = db
            .read(move |connection| {
                let sql = "SELECT user_id, email, role, memberships.created
                           FROM memberships JOIN users ON users.id = user_id
                           WHERE org_id = ?1 AND user_id > ?2 ORDER BY user_id LIMIT ?3";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params![org_id, after, wanted])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(Member {
                        user_id: parsed(row, 0)?,
                        email: row.get(1)?,
                        role: parsed(row, 2)?,
                        joined: UnixMillis(row.get(3)?),
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(rows, |row| row.user_id.to_string()))
    }
}
