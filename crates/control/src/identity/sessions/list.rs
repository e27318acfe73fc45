//! A user's sessions: listed, made longer, all ended.

use ferry_types::{Result, SessionId, UnixMillis};

use crate::{
    caller::Caller,
    control_db::ControlDb,
    directory::{columns::parsed, listing::Listing},
};

/// A session as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Name of the device.
    pub label: String,
    /// Where it logged in.
    pub ip: String,
    /// When it logged in.
    pub created: UnixMillis,
    /// Login, or the newest refresh.
    pub last_seen: UnixMillis,
    /// When it ends.
    pub expires: UnixMillis,
}

/// A page of the caller's sessions, oldest first, and the token of the next one.
pub struct ListSessions<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListSessions<'_> {
    /// # Errors
    /// Bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<SessionInfo>, String)> {
        let Self { caller, page_size, page_token } = self;
        let user = caller.user_id.to_string();
        let listing = Listing::new("ListSessions", &[&user], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), db.now());
        let rows = db
            .read(move |connection| {
                let sql = "SELECT id, label, ip, created, last_seen, expires FROM sessions
                           WHERE user_id = ?1 AND id > ?2 AND revoked IS NULL AND expires > ?3
                           ORDER BY id LIMIT ?4";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params![user, after, now.0, wanted])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(SessionInfo {
                        id: parsed(row, 0)?,
                        label: row.get(1)?,
                        ip: row.get(2)?,
                        created: UnixMillis(row.get(3)?),
                        last_seen: UnixMillis(row.get(4)?),
                        expires: UnixMillis(row.get(5)?),
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(rows, |row| row.id.to_string()))
    }
}
