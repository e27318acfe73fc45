//! The users of the hub, for whoever operates it.

use ferry_types::{Result, UnixMillis, UserId};

use crate::{
    control_db::ControlDb,
    directory::{columns::parsed, listing::Listing},
};

/// A user as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// Its id.
    pub id: UserId,
    /// Its e-mail address.
    pub email: String,
    /// Whether somebody has proven that it is theirs.
    pub is_email_verified: bool,
    /// Whether the user is locked out.
    pub is_disabled: bool,
    /// Whether the user may operate the hub.
    pub is_operator: bool,
    /// When the account was made.
    pub created: UnixMillis,
    /// The newest login or refresh of a session that still stands or has ended lately.
    pub last_seen: Option<UnixMillis>,
}

/// A page of the users, in order of their ids, which is that in which they were made; and the token of the next page.
pub struct ListUsers<'a> {
    /// Text that addresses contain, whatever its case; empty: all.
    pub email_contains: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListUsers<'_> {
    /// # Errors
    /// Bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<UserInfo>, String)> {
        let Self { email_contains, page_size, page_token } = self;
        let wanted = email_contains.to_lowercase();
        let listing = Listing::new("ListUsers", &[&wanted], page_size, page_token)?;
        let (after, rows) = (listing.after.clone(), listing.wanted());
        let users = db
            .read(move |connection| {
                let sql = "SELECT id, email, email_verified, disabled, created,
                               (SELECT max(last_seen) FROM sessions WHERE user_id = users.id), operator
                           FROM users WHERE id > ?1 AND (?2 = '' OR instr(lower(email), ?2) > 0)
                           ORDER BY id LIMIT ?3";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params![after, wanted, rows])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(UserInfo {
                        id: parsed(row, 0)?,
                        email: row.get(1)?,
                        is_email_verified: row.get(2)?,
                        is_disabled: row.get(3)?,
                        is_operator: row.get(6)?,
                        created: UnixMillis(row.get(4)?),
                        last_seen: row.get::<_, Option<i64>>(5)?.map(UnixMillis),
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(users, |user| user.id.to_string()))
    }
}
