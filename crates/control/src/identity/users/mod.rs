//! Users as stored: found, and all that they hold ended.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod disable;
pub(crate) mod list;
pub(crate) mod operator;

use ferry_sqlite::Transaction;
use ferry_types::{Error, OrgId, Reason, Result, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    caller::Caller,
    control_db::ControlDb,
    directory::{columns::parsed, effects::ControlEffect},
    identity::email::email_key,
};

/// Ends every session and sync token of a user (TOK-12). `disabled` also locks the user out, or lets it in.
pub(crate) fn end_credentials(
    transaction: &mut Transaction<'_, ControlEffect>,
    user_id: UserId,
    now: UnixMillis,
    disabled: Option<bool>,
) -> ferry_sqlite::Result<()> {
    let connection = transaction.connection();
    let id = user_id.to_string();
    let (epoch, disabled) = connection
        .prepare_cached(
            "UPDATE users SET epoch = epoch + 1, disabled = coalesce(?2, disabled)
             WHERE id = ?1 RETURNING epoch, disabled",
        )?
        .query_row(rusqlite::params![id, disabled], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(user_not_found)?;
    connection
        .prepare_cached(
            "UPDATE sessions SET revoked = coalesce(revoked, ?2), keeps_tokens = 0 WHERE user_id = ?1",
        )?
        .execute(rusqlite::params![id, now.0])?;
    transaction.effect(ControlEffect::UserChanged { user_id, epoch, disabled });
    Ok(())
}

/// There is no such user.
pub(crate) fn user_not_found() -> Error {
    Error::new(Reason::NotFound, "user not found")
}

/// The user of an id or an e-mail, as stored.
pub(crate) fn find_user(connection: &Connection, id_or_email: &str) -> ferry_sqlite::Result<Option<UserId>> {
    let sql = "SELECT id FROM users WHERE id = ?1 OR email_key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id_or_email, &email_key(id_or_email)])?;
    rows.next()?.map(|row| parsed(row, 0)).transpose()
}

/// The user of an e-mail and its personal organisation, for the audit trail.
pub(crate) fn find_account_of(
    connection: &Connection,
    email_key: &str,
) -> ferry_sqlite::Result<Option<(UserId, OrgId)>> {
    let sql = "SELECT users.id, organizations.id FROM users
               JOIN organizations ON owner_user_id = users.id AND personal WHERE email_key = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([email_key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((parsed(row, 0)?, parsed(row, 1)?)))
}

/// Voids the codes that reset the user's password, also of mails that wait: one may have arrived though nobody said so, and
/// its code would live anew when it is sent once more.
pub(crate) fn forget_resets(connection: &Connection, user_id: &str) -> ferry_sqlite::Result<()> {
    for sql in [
        "DELETE FROM password_resets WHERE json_extract(payload, '$.user_id') = ?1",
        "DELETE FROM outbox WHERE kind = 'reset' AND address_key = (SELECT email_key FROM users WHERE id = ?1)",
    ] {
        connection.prepare_cached(sql)?.execute([user_id])?;
    }
    Ok(())
}

/// The caller's e-mail.
pub(crate) fn email_of(db: &ControlDb, caller: &Caller) -> Result<String> {
    let directory = db.directory();
    let user = directory.user(caller.user_id);
    let gone = || Error::new(Reason::TokenRevoked, "session token required");
    user.map(|user| user.email.to_string()).ok_or_else(gone)
}
