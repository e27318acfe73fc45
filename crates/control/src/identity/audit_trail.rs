//! The audit trail of an organisation, as its admins read it.

use ferry_types::{Reason, Result, UnixMillis};
use rusqlite::{OptionalExtension as _, Row};

use crate::{
    caller::Caller, control_db::ControlDb, credentials::resolve::resolve_own_org, directory::listing::Listing,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its number; later ones are higher.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// Id of the request, as on its response and log line.
    pub request_id: String,
    /// Id of a user or API key, a JWT's issuer and subject, `anonymous`, `operator`, or empty.
    pub actor: String,
    /// `noun.verb`.
    pub action: String,
    /// To what.
    pub target: String,
    /// `ok`, or why not.
    pub outcome: String,
    /// Address of the client.
    pub ip: String,
    /// More, as JSON.
    pub detail_json: String,
}

fn event(row: &Row<'_>) -> ferry_sqlite::Result<AuditEvent> {
    Ok(AuditEvent {
        id: row.get(0)?,
        at: UnixMillis(row.get(1)?),
        request_id: row.get(2)?,
        actor: row.get(3)?,
        action: row.get(4)?,
        target: row.get(5)?,
        outcome: row.get(6)?,
        ip: row.get(7)?,
        detail_json: row.get(8)?,
    })
}

/// Which rows of the trail are read, newest first.
#[derive(Clone, Copy)]
pub struct AuditRows<'a> {
    /// From when on, Unix seconds.
    pub since_unix: i64,
    /// One action, a noun for all of its actions, or empty.
    pub action: &'a str,
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

/// A page of what happened in an organisation, and the token of the next one. The trail of a deleted organisation is read by who
/// were its admins.
pub struct ListAuditEvents<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// Which rows.
    pub rows: AuditRows<'a>,
}

impl ListAuditEvents<'_> {
    /// # Errors
    /// Unknown organisation, role below admin, bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<AuditEvent>, String)> {
        let Self { caller, org, rows } = self;
        let org_id = match resolve_own_org(db, caller, org) {
            Err(error) if error.reason == Reason::NotFound => {
                deleted_org(db, caller, org).await?.ok_or(error)?
            }
            resolved => resolved?.to_string(),
        };
        rows.read(db, Some(org_id)).await
    }
}

/// A page of what belongs to no organisation: what operators did, the hub by itself, and people who were not signed in.
pub struct ListHubAuditEvents<'a> {
    /// Which rows.
    pub rows: AuditRows<'a>,
}

impl ListHubAuditEvents<'_> {
    /// # Errors
    /// Bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<AuditEvent>, String)> {
        self.rows.read(db, None).await
    }
}

impl AuditRows<'_> {
    async fn read(self, db: &ControlDb, org_id: Option<String>) -> Result<(Vec<AuditEvent>, String)> {
        let Self { since_unix, action, page_size, page_token } = self;
        let filter = [org_id.as_deref().unwrap_or("hub"), &since_unix.to_string(), action];
        let listing = Listing::new("ListAuditEvents", &filter, page_size, page_token)?;
        let before: i64 = listing.after.parse().unwrap_or(i64::MAX);
        let (wanted, action) = (listing.wanted(), action.to_owned());
        let since_ms = since_unix.saturating_mul(1000);
        let rows = db
            .read(move |connection| {
                let sql = "SELECT id, at, request_id, actor, action, target, outcome, ip, detail FROM audit
                           WHERE org_id IS ?1 AND id < ?2 AND at >= ?3
                               AND (?4 = '' OR action = ?4 OR substr(action, 1, length(?4) + 1) = ?4 || '.')
                           ORDER BY id DESC LIMIT ?5";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows =
                    statement.query(rusqlite::params![org_id, before, since_ms, action, wanted])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(event(row)?);
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(rows, |row| row.id.to_string()))
    }
}

/// The id of the newest organisation of this id or name of which the caller was an admin when it was deleted.
async fn deleted_org(db: &ControlDb, caller: &Caller, org: &str) -> Result<Option<String>> {
    let (org, user) = (org.to_owned(), caller.user_id.to_string());
    db.read(move |connection| {
        let sql = "SELECT org_id FROM audit
                   WHERE action = 'org.delete' AND (org_id = ?1 OR target = ?1)
                       AND EXISTS(SELECT 1 FROM json_each(detail, '$.admins') WHERE value = ?2)
                   ORDER BY id DESC LIMIT 1";
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row([org, user], |row| row.get(0)).optional()?)
    })
    .await
}
