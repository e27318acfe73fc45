//! The invitations of an organisation that wait.

use ferry_types::{Result, UnixMillis};

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::resolve::resolve_own_org,
    directory::{columns::parsed, listing::Listing},
    identity::invitations::Invitation,
};

/// A page of the invitations that wait to be accepted, oldest first, and the token of the next one.
pub struct ListInvitations<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListInvitations<'_> {
    /// # Errors
    /// Unknown organisation, role below admin, bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<Invitation>, String)> {
        let Self { caller, org, page_size, page_token } = self;
        let org_id = resolve_own_org(db, caller, org)?.to_string();
        let listing = Listing::new("ListInvitations", &[&org_id], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), db.now());
        let rows = db
            .read(move |connection| {
                let sql = "SELECT json_extract(payload, '$.id') AS id, json_extract(payload, '$.email'),
                                  json_extract(payload, '$.role'), expires
                           FROM invitations
                           WHERE json_extract(payload, '$.org_id') = ?1 AND id > ?2 AND expires > ?3
                           ORDER BY id LIMIT ?4";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params![org_id, after, now.0, wanted])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(Invitation {
                        id: parsed(row, 0)?,
                        email: row.get(1)?,
                        role: parsed(row, 2)?,
                        exp_unix: UnixMillis(row.get(3)?).as_secs(),
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(rows, |row| row.id.to_string()))
    }
}
