//! The audit trail (WEB-07): a row in the transaction of every change, and one for every login. Rows name who
//! did what to whom from where; they never hold a secret.

use ferry_types::{DatabaseId, OrgId, UnixMillis, UserId};
use rusqlite::Connection;

use crate::origin::Origin;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    /// Nobody who is known.
    Nobody,
    User(UserId),
    /// Whoever used a data endpoint: a user, a JWT's subject, an API key, or nobody in particular.
    Principal(&'a str),
    /// Whoever operates the hub: a user, if the origin names one, else whoever holds the operator token.
    Operator,
}

impl Who<'_> {
    fn text(self, origin: &Origin) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::User(id) => id.to_string(),
            Self::Principal(principal) => principal.to_owned(),
            Self::Operator => {
                origin.operator.map_or_else(|| "operator".to_owned(), |by| by.user_id.to_string())
            }
        }
    }
}

/// One row.
pub(crate) struct AuditRow<'a> {
    pub(crate) at: UnixMillis,
    pub(crate) origin: &'a Origin,
    pub(crate) actor: Who<'a>,
    pub(crate) org_id: Option<OrgId>,
    pub(crate) database_id: Option<DatabaseId>,
    /// `noun.verb`.
    pub(crate) action: &'static str,
    pub(crate) target: &'a str,
    /// `ok`, or why not.
    pub(crate) outcome: &'static str,
    /// More, for people and programs.
    pub(crate) detail: serde_json::Value,
}

impl<'a> AuditRow<'a> {
    /// A row of what succeeded, outside any organisation and without detail.
    pub(crate) fn ok(
        at: UnixMillis,
        origin: &'a Origin,
        actor: Who<'a>,
        action: &'static str,
        target: &'a str,
    ) -> Self {
        Self {
            at,
            origin,
            actor,
            org_id: None,
            database_id: None,
            action,
            target,
            outcome: "ok",
            detail: serde_json::json!({}),
        }
    }

    /// Writes the row inside the transaction of what it tells of.
    pub(crate) fn insert(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        let sql = "INSERT INTO audit(at, request_id, actor, org_id, database_id, action, target, outcome, ip, detail)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        connection.prepare_cached(sql)?.execute(rusqlite::params![
            self.at.0,
            self.origin.request_id,
            self.actor.text(self.origin),
            self.org_id.map(|id| id.to_string()),
            self.database_id.map(|id| id.to_string()),
            self.action,
            self.target,
            self.outcome,
            self.origin.ip.to_string(),
            self.detail.to_string(),
        ])?;
        Ok(())
    }
}
