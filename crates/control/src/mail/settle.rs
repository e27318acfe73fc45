//! What became of a mail.

use ferry_types::{OrgId, Result, UnixMillis, UserId};
use rusqlite::{Connection, types::Value};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    directory::columns::parsed,
    identity::{codes::code_hash, email::email_key},
    mail::{MailKind, WaitingMail},
    origin::Origin,
};

/// A server has taken the mail: it waits no longer.
pub struct MailSent<'a> {
    /// Which.
    pub mail: &'a WaitingMail,
}

impl MailSent<'_> {
    /// # Errors
    /// When `control.db` cannot be written: then it is sent again.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let id = self.mail.id;
        db.write(move |transaction| {
            transaction.connection().prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
        .await
    }
}

/// A server will never take the mail: it is given up.
pub struct MailRefused<'a> {
    /// Which.
    pub mail: &'a WaitingMail,
    /// What the server answered; `None`: it was not asked, the address is none.
    pub status: Option<u16>,
}

impl MailRefused<'_> {
    /// # Errors
    /// When `control.db` cannot be written: then it is tried again.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let (now, status, mail) = (db.now(), self.status, self.mail.clone());
        db.write(move |transaction| {
            let given_up = GivenUp {
                id: mail.id,
                kind: mail.kind,
                address: &mail.address,
                user_id: mail.user_id,
                code: mail.code.as_deref(),
                tries: mail.tries,
                why: "refused",
                status,
            };
            given_up.note(transaction.connection(), now)
        })
        .await
    }
}

/// A mail that will not be sent.
pub(super) struct GivenUp<'a> {
    pub(super) id: i64,
    pub(super) kind: MailKind,
    pub(super) address: &'a str,
    /// Whose it is, if the hub knows.
    pub(super) user_id: Option<UserId>,
    pub(super) code: Option<&'a str>,
    pub(super) tries: u32,
    pub(super) why: &'static str,
    pub(super) status: Option<u16>,
}

impl GivenUp<'_> {
    /// Removes it, and says so: never what stood in it. The row is of the organisation whose admins it concerns: who invited,
    /// and else the account's own.
    pub(super) fn note(&self, connection: &Connection, now: UnixMillis) -> ferry_sqlite::Result<()> {
        let removed = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([self.id])?;
        // Restored or swept meanwhile.
        if removed == 0 {
            return Ok(());
        }
        let (target, org_id) = self.concerns(connection)?;
        let origin = Origin::hub();
        let mut row = AuditRow::ok(now, &origin, Who::Nobody, "mail.give_up", &target);
        row.org_id = org_id;
        row.outcome = self.why;
        row.detail = json!({ "kind": self.kind.as_str(), "tries": self.tries, "status": self.status });
        row.insert(connection)?;
        metrics::counter!("ferry_mail_given_up_total", "reason" => self.why).increment(1);
        Ok(())
    }

    /// The account, or the address where there is none, and an organisation.
    fn concerns(&self, connection: &Connection) -> ferry_sqlite::Result<(String, Option<OrgId>)> {
        let user_id = self.user_id.map(|id| id.to_string());
        let (sql, key) = if self.kind == MailKind::Invite {
            let sql = "SELECT ?1, json_extract(payload, '$.org_id') FROM invitations WHERE secret_hash = ?2";
            (sql, Value::Blob(code_hash(self.code.unwrap_or_default()).to_vec()))
        } else {
            let sql = "SELECT users.id, organizations.id FROM users
                       JOIN organizations ON owner_user_id = users.id AND personal
                       WHERE users.id = ?1 OR (?1 IS NULL AND email_key = ?2)";
            (sql, Value::Text(email_key(self.address)))
        };
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params![user_id, key])?;
        let (account, org_id): (Option<String>, _) = match rows.next()? {
            Some(row) => (row.get(0)?, Some(parsed(row, 1)?)),
            None => (None, None),
        };
        Ok((account.or(user_id).unwrap_or_else(|| self.address.to_owned()), org_id))
    }
}
