//! Fills the directory from `control.db` at start.

use std::sync::Arc;

use ferry_auth::KeyRing;
use ferry_sqlite::{Result, pages::dbpage::Snapshot};
use ferry_types::{TokenId, UnixMillis};
use rusqlite::{Connection, Row, types::FromSql};

use crate::directory::{
    Directory, api_key_rows,
    columns::{damaged, parsed},
    entries::{DatabaseEntry, OrgEntry, RevokedSession, UserEntry},
    jwt_index,
};

/// Calls `each` for every row.
fn each(
    connection: &Connection,
    sql: &str,
    params: &[i64],
    mut each: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

fn get<T: FromSql>(row: &Row<'_>, place: usize) -> Result<T> {
    Ok(row.get(place)?)
}

/// Hands each database that exists to `take`.
fn databases(connection: &Connection, mut take: impl FnMut(DatabaseEntry)) -> Result<()> {
    let sql = "SELECT id, org_id, name, kind, epoch, created, jwt_not_before FROM databases
               WHERE deleted IS NULL";
    each(connection, sql, &[], |row| {
        let named_kind = row.get_ref(3)?.as_str_or_null().map_err(|_| damaged(row, 3))?;
        take(DatabaseEntry {
            id: parsed(row, 0)?,
            org_id: parsed(row, 1)?,
            name: get::<Arc<str>>(row, 2)?,
            kind: named_kind.map(str::parse).transpose().map_err(|_| damaged(row, 3))?,
            epoch: get(row, 4)?,
            created: UnixMillis(get(row, 5)?),
            jwt_not_before: get::<Option<i64>>(row, 6)?.map(UnixMillis),
        });
        Ok(())
    })
}

/// The databases that `control.db` names, in order of their ids, at the moment that `snapshot` shows.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn databases_in(snapshot: &Snapshot) -> Result<Vec<DatabaseEntry>> {
    let mut all = Vec::new();
    databases(snapshot.connection(), |entry| all.push(entry))?;
    all.sort_by_key(|entry| entry.id);
    Ok(all)
}

/// Everything that the directory holds, as of now.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub(crate) fn directory(connection: &Connection, ring: KeyRing, now: UnixMillis) -> Result<Directory> {
    let count = |sql| connection.query_row(sql, [], |row| row.get(0));
    let mut directory = Directory::with_room(
        ring,
        count("SELECT count(*) FROM users")?,
        count("SELECT count(*) FROM organizations WHERE deleted IS NULL")?,
        count("SELECT count(*) FROM databases WHERE deleted IS NULL")?,
    );
    each(connection, "SELECT id, email, email_verified, disabled, epoch, operator FROM users", &[], |row| {
        let user = UserEntry {
            email: get(row, 1)?,
            email_verified: get(row, 2)?,
            disabled: get(row, 3)?,
            epoch: get(row, 4)?,
            operator: get(row, 5)?,
            memberships: Vec::new(),
        };
        directory.add_user(parsed(row, 0)?, user);
        Ok(())
    })?;
    each(connection, "SELECT id, name, personal FROM organizations WHERE deleted IS NULL", &[], |row| {
        directory.add_org(parsed(row, 0)?, OrgEntry::new(&get::<Box<str>>(row, 1)?, get(row, 2)?));
        Ok(())
    })?;
    each(connection, "SELECT user_id, org_id, role FROM memberships ORDER BY user_id, org_id", &[], |row| {
        directory.set_membership(parsed(row, 0)?, parsed(row, 1)?, Some(parsed(row, 2)?));
        Ok(())
    })?;
    databases(connection, |entry| directory.add_database(entry))?;
    let settings = "SELECT database_id, settings FROM jwt_settings
                    JOIN databases ON id = database_id AND deleted IS NULL";
    each(connection, settings, &[], |row| {
        let id = parsed(row, 0)?;
        directory.jwt_mut().set(id, Some(jwt_index::stored(id, &get::<String>(row, 1)?)?));
        Ok(())
    })?;
    let sessions =
        "SELECT id, expires, keeps_tokens FROM sessions WHERE revoked IS NOT NULL AND expires > ?1";
    each(connection, sessions, &[now.0], |row| {
        let expires_unix = UnixMillis(get(row, 1)?).as_secs();
        directory.add_revoked_session(
            parsed(row, 0)?,
            RevokedSession { expires_unix, keeps_tokens: get(row, 2)? },
        );
        Ok(())
    })?;
    let tokens = "SELECT token_id, expires FROM issued_tokens WHERE revoked IS NOT NULL AND expires > ?1";
    each(connection, tokens, &[now.0], |row| {
        directory.add_revoked_token(TokenId(get(row, 0)?), UnixMillis(get(row, 1)?).as_secs());
        Ok(())
    })?;
    each(connection, api_key_rows::LIVE, &[now.0], |row| {
        directory.add_api_key(api_key_rows::entry(row)?);
        Ok(())
    })?;
    Ok(directory)
}
