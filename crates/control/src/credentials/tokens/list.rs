//! The live sync tokens of a database.

use ferry_auth::Role;
use ferry_types::{Model, ModelSet, Op, OpSet, Result, TokenId, UnixMillis, UserId};
use rusqlite::Row;

use crate::{
    caller::Caller,
    control_db::ControlDb,
    credentials::resolve::resolve_database,
    directory::{
        columns::{parsed, words},
        listing::Listing,
    },
};

/// A token as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its id.
    pub token_id: TokenId,
    /// Who minted it.
    pub user_id: UserId,
    /// Its name.
    pub label: String,
    /// The models it reaches.
    pub models: ModelSet,
    /// What it may do.
    pub ops: OpSet,
    /// When it was minted.
    pub issued: UnixMillis,
    /// When it ends.
    pub expires: UnixMillis,
}

/// Tokens that still count: neither they nor what they rest on was taken away. Ordered by `place`.
const LIVE_TOKENS: &str = "
    SELECT token_id, issued_tokens.user_id, issued_tokens.label, models, ops, issued, issued_tokens.expires,
           printf('%020d.%s', issued, lower(hex(token_id))) AS place
    FROM issued_tokens
    JOIN databases ON databases.id = database_id AND databases.deleted IS NULL
    JOIN users ON users.id = issued_tokens.user_id AND NOT disabled
    JOIN memberships ON memberships.user_id = users.id AND memberships.org_id = databases.org_id
    JOIN sessions ON sessions.id = session_id AND (sessions.revoked IS NULL OR keeps_tokens)
    WHERE database_id = ?1 AND (?2 = '' OR issued_tokens.user_id = ?2) AND place > ?3
        AND issued_tokens.revoked IS NULL AND issued_tokens.expires > ?4
    ORDER BY place LIMIT ?5";

fn info(row: &Row<'_>) -> ferry_sqlite::Result<TokenInfo> {
    Ok(TokenInfo {
        token_id: TokenId(row.get(0)?),
        user_id: parsed(row, 1)?,
        label: row.get(2)?,
        models: words::<Model, _>(row, 3)?,
        ops: words::<Op, _>(row, 4)?,
        issued: UnixMillis(row.get(5)?),
        expires: UnixMillis(row.get(6)?),
    })
}

/// A page of a database's live tokens, oldest first: all of them for an admin, the caller's own for others.
pub struct ListTokens<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

impl ListTokens<'_> {
    /// # Errors
    /// `database not found`, bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<TokenInfo>, String)> {
        let Self { caller, database, page_size, page_token } = self;
        let (entry, role) = resolve_database(db, caller, database)?;
        let owner = if role == Role::Admin { String::new() } else { caller.user_id.to_string() };
        let id = entry.id.to_string();
        let listing = Listing::new("ListTokens", &[&id, &owner], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), db.now());
        let rows = db
            .read(move |connection| {
                let mut statement = connection.prepare_cached(LIVE_TOKENS)?;
                let mut rows = statement.query(rusqlite::params![id, owner, after, now.0, wanted])?;
                let mut found: Vec<(TokenInfo, String)> = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push((info(row)?, row.get(7)?));
                }
                Ok(found)
            })
            .await?;
        let (page, next) = listing.page(rows, |(_, place)| place.clone());
        Ok((page.into_iter().map(|(token, _)| token).collect(), next))
    }
}
