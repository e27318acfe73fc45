//! Sync tokens that were issued: listed, and revoked one by one or all of a database.

use ferry_auth::{Grant, Role, macaroon};
use ferry_types::{
    DatabaseId, Error, Model, ModelSet, Op, OpSet, Reason, Result, TokenId, UnixMillis, UserId,
};
use rusqlite::{OptionalExtension as _, Row};
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{
        caller::{Caller, database_not_found, require_role},
        recheck::refuse_non_admin_of,
    },
    directory::{
        columns::{parsed, words},
        effects::ControlEffect,
        listing::Listing,
    },
    origin::Origin,
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

fn token_not_found() -> Error {
    Error::new(Reason::NotFound, "token not found")
}

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

/// The token that a caller names: by its id, or by the token itself, whose narrowed copies share the id.
fn named_token(token_id: &str, token: &str) -> Result<TokenId> {
    let invalid = |message: &'static str| Error::new(Reason::InvalidArgument, message);
    match (token_id, token) {
        ("", "") => Err(invalid("token_id or token must name the token")),
        (id, "") => id.parse().map_err(|_| token_not_found()),
        ("", token) => {
            // Whoever may not revoke it is refused by its row, so that the signature need not be looked at.
            let decoded = macaroon::decode(token).map_err(|_| invalid("token is not a Ferry token"))?;
            match decoded.claims().grant {
                Grant::Sync { .. } => Ok(decoded.claims().token_id),
                Grant::Session => Err(invalid("token is a session: end it with RevokeSession")),
            }
        }
        _ => Err(invalid("token_id and token say the same: give one of them")),
    }
}

/// A row of `issued_tokens` that is to be revoked.
struct Named {
    user_id: UserId,
    database_id: DatabaseId,
    expires: UnixMillis,
}

impl Control {
    /// A page of a database's live tokens, oldest first: all of them for an admin, the caller's own for others.
    ///
    /// # Errors
    /// `database not found`, bad page size or token.
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        database: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<TokenInfo>, String)> {
        let (entry, role) = self.resolve_database(caller, database)?;
        let owner = if role == Role::Admin { String::new() } else { caller.user_id.to_string() };
        let id = entry.id.to_string();
        let listing = Listing::new("ListTokens", &[&id, &owner], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), self.now());
        let rows = self
            .db
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

    /// Revokes one token and its narrowed copies, for whoever minted it and for admins (TOK-12).
    ///
    /// # Errors
    /// `token not found`, also for tokens that the caller may not revoke.
    pub async fn revoke_token(
        &self,
        caller: &Caller,
        token_id: &str,
        token: &str,
        origin: &Origin,
    ) -> Result<TokenId> {
        let token_id = named_token(token_id, token)?;
        let named = self.named(token_id).await?;
        let entry = self.database(named.database_id).ok_or_else(token_not_found)?;
        let role = self.db.directory().role(caller.user_id, entry.org_id);
        if named.user_id != caller.user_id && role != Some(Role::Admin) {
            return Err(token_not_found());
        }
        let (by, org_id, origin, now) = (caller.clone(), entry.org_id, origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                if named.user_id != by.user_id {
                    refuse_non_admin_of(connection, &by, org_id, token_not_found)?;
                }
                connection
                    .prepare_cached(
                        "UPDATE issued_tokens SET revoked = coalesce(revoked, ?2) WHERE token_id = ?1",
                    )?
                    .execute(rusqlite::params![token_id.0, now.0])?;
                let target = token_id.to_string();
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "token.revoke", &target);
                (row.org_id, row.database_id) = (Some(org_id), Some(named.database_id));
                row.insert(connection)?;
                transaction.effect(ControlEffect::TokenRevoked {
                    token_id,
                    user_id: named.user_id,
                    expires_unix: named.expires.as_secs(),
                });
                Ok(())
            })
            .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "token").increment(1);
        Ok(token_id)
    }

    async fn named(&self, token_id: TokenId) -> Result<Named> {
        self.db
            .read(move |connection| {
                let sql = "SELECT user_id, database_id, expires FROM issued_tokens WHERE token_id = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([token_id.0])?;
                let row = rows.next()?.ok_or_else(token_not_found)?;
                let expires = UnixMillis(row.get(2)?);
                Ok(Named { user_id: parsed(row, 0)?, database_id: parsed(row, 1)?, expires })
            })
            .await
    }

    /// Revokes every sync token of a database (TOK-12).
    ///
    /// # Errors
    /// `database not found`, role below admin.
    pub async fn revoke_database_tokens(
        &self,
        caller: &Caller,
        database: &str,
        origin: &Origin,
    ) -> Result<()> {
        let (entry, role) = self.resolve_database(caller, database)?;
        require_role(role, Role::Admin)?;
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_non_admin_of(connection, &by, entry.org_id, database_not_found)?;
                let id = entry.id.to_string();
                let epoch = connection
                    .prepare_cached(
                        "UPDATE databases SET epoch = epoch + 1, jwt_not_before = ?2
                     WHERE id = ?1 AND deleted IS NULL RETURNING epoch",
                    )?
                    .query_row(rusqlite::params![id, now.0], |row| row.get(0))
                    .optional()?
                    .ok_or_else(database_not_found)?;
                let count = connection
                    .prepare_cached(
                        "UPDATE issued_tokens SET revoked = ?2
                     WHERE database_id = ?1 AND revoked IS NULL AND expires > ?2",
                    )?
                    .execute(rusqlite::params![id, now.0])?;
                let mut row =
                    AuditRow::ok(now, &origin, Who::User(by.user_id), "database.revoke_tokens", &entry.name);
                (row.org_id, row.database_id) = (Some(entry.org_id), Some(entry.id));
                row.detail = json!({ "tokens": count });
                row.insert(connection)?;
                transaction.effect(ControlEffect::DatabaseEpoch { id: entry.id, epoch, jwt_not_before: now });
                Ok(())
            })
            .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "database").increment(1);
        Ok(())
    }
}
