//! One sync token is revoked, with its narrowed copies (TOK-12).

use ferry_auth::{Grant, Role, macaroon};
use ferry_types::{DatabaseId, Error, Reason, Result, TokenId, UnixMillis, UserId};

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::recheck::refuse_non_admin_of,
    directory::{columns::parsed, effects::ControlEffect},
    origin::Origin,
};

fn token_not_found() -> Error {
    Error::new(Reason::NotFound, "token not found")
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
struct NamedToken {
    user_id: UserId,
    database_id: DatabaseId,
    expires: UnixMillis,
}

/// Revokes one token and its narrowed copies, for whoever minted it and for admins (TOK-12).
pub struct RevokeToken<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the token; empty: `token` names it.
    pub token_id: &'a str,
    /// The token itself.
    pub token: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RevokeToken<'_> {
    /// # Errors
    /// `token not found`, also for tokens that the caller may not revoke.
    pub async fn run(self, db: &ControlDb) -> Result<TokenId> {
        let Self { caller, token_id, token, origin } = self;
        let token_id = named_token(token_id, token)?;
        let named = named(db, token_id).await?;
        let entry = db.database(named.database_id).ok_or_else(token_not_found)?;
        let role = db.directory().role(caller.user_id, entry.org_id);
        if named.user_id != caller.user_id && role != Some(Role::Admin) {
            return Err(token_not_found());
        }
        let (by, org_id, origin, now) = (caller.clone(), entry.org_id, origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
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
}

async fn named(db: &ControlDb, token_id: TokenId) -> Result<NamedToken> {
    db.read(move |connection| {
        let sql = "SELECT user_id, database_id, expires FROM issued_tokens WHERE token_id = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([token_id.0])?;
        let row = rows.next()?.ok_or_else(token_not_found)?;
        let expires = UnixMillis(row.get(2)?);
        Ok(NamedToken { user_id: parsed(row, 0)?, database_id: parsed(row, 1)?, expires })
    })
    .await
}
