//! Whose an origin is: the principal that first pushed as it (OPS-51).

use ferry_types::OriginId;

use crate::sql::Sql;

const BIND: &str =
    "INSERT INTO _ferry_op_origins(origin, principal) VALUES (?1, ?2) ON CONFLICT(origin) DO NOTHING";
const OWNER: &str = "SELECT principal FROM _ferry_op_origins WHERE origin = ?1";

/// Binds an origin that nobody owns; tells whether it did.
pub(super) fn bind<S: Sql>(sql: &S, origin: OriginId, principal: &str) -> Result<bool, S::Error> {
    Ok(sql.execute(BIND, &[(*origin.to_string()).into(), principal.into()])? > 0)
}

/// Nobody owns any.
pub(super) fn forget_all<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute("DELETE FROM _ferry_op_origins", &[]).map(drop)
}

/// Whose it is.
pub(super) fn owner<S: Sql>(sql: &S, origin: OriginId) -> Result<Option<String>, S::Error> {
    sql.first(OWNER, &[(*origin.to_string()).into()], |row| Ok(row.text(0)?.to_owned()))
}
