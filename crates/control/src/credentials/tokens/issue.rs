//! Sync tokens: what a session hands to an app.

use ferry_auth::{Caveat, Claims, Grant, Restrictions, Role, macaroon};
use ferry_types::{DatabaseId, Error, ModelSet, OpSet, Reason, Result, TokenId, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::{Caller, database_not_found},
    control_db::ControlDb,
    credentials::{
        label::check_label,
        recheck::{refuse_ended, stored_role},
        resolve::resolve_database,
    },
    directory::entries::DatabaseEntry,
    origin::Origin,
};

/// What a token is asked to be.
#[derive(Clone, Debug)]
pub struct IssueToken {
    /// Id or name.
    pub database: String,
    /// Models it reaches; not empty.
    pub models: ModelSet,
    /// What it may do; not empty.
    pub ops: OpSet,
    /// Seconds it lives; 0 or less: the configured default. Capped by the configured maximum.
    pub ttl_seconds: i64,
    /// More caveats, behind those of the session.
    pub caveats: Vec<Caveat>,
    /// A name for lists.
    pub label: String,
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token: a secret.
    pub token: String,
    /// Its id.
    pub token_id: TokenId,
    /// From this Unix second on it is dead, caveats included.
    pub exp_unix: i64,
}

/// How long sync tokens live.
#[derive(Clone, Copy, Debug)]
pub struct TokenLives {
    /// Of those that ask for none, seconds.
    pub default_seconds: i64,
    /// The longest, seconds.
    pub max_seconds: i64,
}

impl TokenLives {
    /// When a token that asks for `ttl_seconds` expires: default and request are both capped (TOK-05), and so
    /// is what outlives the session (TOK-07).
    fn expiry(self, ttl_seconds: i64, caller: &Caller, now: UnixMillis) -> i64 {
        let asked = if ttl_seconds <= 0 { self.default_seconds } else { ttl_seconds };
        now.as_secs().saturating_add(asked.min(self.max_seconds)).min(caller.deadline_unix)
    }
}

/// Issues a sync token. It never outlives the session and carries its caveats (TOK-05, TOK-07).
pub struct IssueSyncToken<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What it is asked to be.
    pub request: IssueToken,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl IssueSyncToken<'_> {
    /// # Errors
    /// `database not found`; permission denied for operations above the caller's role; invalid argument for
    /// caveats that leave nothing.
    pub async fn run(self, db: &ControlDb, lives: TokenLives) -> Result<IssuedToken> {
        let Self { caller, request, origin } = self;
        let (entry, role) = resolve_database(db, caller, &request.database)?;
        refuse_beyond(role, request.ops)?;
        if caller.restrictions.database_id.is_some_and(|only| only != entry.id) {
            let message = "this session is narrowed to another database (caveat db): log in";
            return Err(Error::new(Reason::AttenuatedSession, message));
        }
        check_label(&request.label)?;
        let now = db.now();
        let caveats = [caller.caveats.as_slice(), &request.caveats].concat();
        let expires_unix = lives.expiry(request.ttl_seconds, caller, now);
        let exp_unix = effective_expiry(&caveats, expires_unix, entry.id, now)?;
        let ring = db.keys();
        let key = ring.signing();
        let claims = Claims {
            kid: key.kid(),
            // In the order of time, so that the rows of one group share their pages.
            token_id: TokenId(db.next_id(now).into_bytes()),
            issued_unix: now.as_secs(),
            expires_unix,
            user_id: caller.user_id,
            user_epoch: caller.user_epoch,
            org_id: entry.org_id,
            session_id: caller.session_id,
            grant: Grant::Sync {
                database_id: entry.id,
                database_epoch: entry.epoch,
                models: request.models,
                ops: request.ops,
            },
        };
        let token = macaroon::mint(key, &claims, &caveats).map_err(|_| {
            let message = "caveats make the token too long: at most 32, and 4096 bytes in all";
            Error::new(Reason::InvalidArgument, message)
        })?;
        let token_id = claims.token_id;
        let stored = StoredToken { claims, request, exp_unix, now, origin: origin.clone(), database: entry };
        db.write_by(caller, move |transaction| stored.insert(transaction.connection())).await?;
        metrics::counter!("ferry_tokens_issued_total", "kind" => "sync").increment(1);
        Ok(IssuedToken { token, token_id, exp_unix })
    }
}

/// Refuses operations that a token of such a member may not carry (ORG-04).
fn refuse_beyond(role: Role, ops: OpSet) -> Result<()> {
    if role.ops().includes(ops) {
        return Ok(());
    }
    let message = format!("your role, {role}, may issue tokens for: {}", role.ops());
    Err(Error::new(Reason::PermissionDenied, message))
}

/// When the token is dead, caveats included.
fn effective_expiry(
    caveats: &[Caveat],
    expires_unix: i64,
    database_id: DatabaseId,
    now: UnixMillis,
) -> Result<i64> {
    let invalid = |message: String| Error::new(Reason::InvalidArgument, message);
    let all = Restrictions::combine(caveats).map_err(|error| invalid(format!("caveats: {error}")))?;
    if all.database_id.is_some_and(|named| named != database_id) {
        return Err(invalid("caveats: db names another database than database_id".to_owned()));
    }
    let exp_unix = all.exp_unix.map_or(expires_unix, |exp| exp.min(expires_unix));
    if exp_unix <= now.as_secs() {
        return Err(invalid("caveats: exp lies in the past".to_owned()));
    }
    Ok(exp_unix)
}

/// The row of a token.
struct StoredToken {
    claims: Claims,
    request: IssueToken,
    exp_unix: i64,
    now: UnixMillis,
    origin: Origin,
    database: DatabaseEntry,
}

impl StoredToken {
    fn insert(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        self.refuse_if_revoked(connection)?;
        let Self { claims, request, .. } = self;
        connection
            .prepare_cached(
                "INSERT INTO issued_tokens
                     (token_id, database_id, user_id, session_id, label, models, ops, issued, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(rusqlite::params![
                claims.token_id.0,
                self.database.id.to_string(),
                claims.user_id.to_string(),
                claims.session_id.to_string(),
                request.label,
                request.models.to_string(),
                request.ops.to_string(),
                self.now.0,
                self.exp_unix * 1000,
            ])?;
        let row = AuditRow {
            at: self.now,
            origin: &self.origin,
            actor: Who::User(claims.user_id),
            org_id: Some(claims.org_id),
            database_id: Some(self.database.id),
            action: "token.issue",
            target: &claims.token_id.to_string(),
            outcome: "ok",
            detail: json!({
                "models": request.models.to_string(),
                "ops": request.ops.to_string(),
                "exp_unix": self.exp_unix,
            }),
        };
        row.insert(connection)
    }

    /// Session, membership or database may have ended since they were looked at; the actor's order decides.
    fn refuse_if_revoked(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        refuse_ended(connection, self.claims.session_id, self.claims.user_epoch)?;
        let role = stored_role(connection, self.claims.user_id, self.claims.org_id)?;
        refuse_beyond(role.ok_or_else(database_not_found)?, self.request.ops)?;
        let epoch: Option<u32> = connection
            .prepare_cached("SELECT epoch FROM databases WHERE id = ?1 AND deleted IS NULL")?
            .query_row([self.database.id.to_string()], |row| row.get(0))
            .optional()?;
        match epoch {
            None => Err(database_not_found().into()),
            Some(epoch) if epoch != self.database.epoch => {
                let message = "the tokens of this database are being revoked: try again";
                Err(Error::new(Reason::Busy, message).retry_after_ms(1).into())
            }
            Some(_) => Ok(()),
        }
    }
}
