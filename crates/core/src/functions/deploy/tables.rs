//! The tables of deployments, inside the database's own file (functions specification, 4).

use crate::sql::Sql;

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS _ferry_fn_deploy(
        id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, seq INTEGER NOT NULL, bundle TEXT NOT NULL,
        source_map TEXT, manifest TEXT NOT NULL, api_dts TEXT NOT NULL, schema_json TEXT NOT NULL,
        sha256 TEXT NOT NULL, active INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS _ferry_migrations(
        id TEXT PRIMARY KEY, parent TEXT, name TEXT NOT NULL, sha256 TEXT NOT NULL, kind TEXT NOT NULL,
        applied_at INTEGER NOT NULL, seq INTEGER NOT NULL, schema_json TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS _ferry_fn_idem(
        owner TEXT NOT NULL, idem_key TEXT NOT NULL, fn TEXT NOT NULL, args_hash TEXT NOT NULL,
        status INTEGER NOT NULL, response TEXT NOT NULL, seq INTEGER, created_at INTEGER NOT NULL,
        PRIMARY KEY(owner, idem_key)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS _ferry_fn_idem_created ON _ferry_fn_idem(created_at)",
];

/// Makes the tables if they are missing.
///
/// # Errors
/// What storage reports.
pub fn create<S: Sql>(sql: &S) -> Result<(), S::Error> {
    TABLES.iter().try_for_each(|statement| sql.execute(statement, &[]).map(drop))
}

/// Whether the database has them.
///
/// # Errors
/// What storage reports.
pub fn exists<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    let text = "SELECT 1 FROM sqlite_schema WHERE name = '_ferry_fn_deploy'";
    Ok(sql.first(text, &[], |_| Ok(()))?.is_some())
}

/// Key of the digest of the schema that the last deployment left, in `_ferry_meta`.
const SCHEMA_KEY: &str = "functions_schema";

/// The digest of the schema that the last deployment left.
pub(super) fn noted_schema<S: Sql>(sql: &S) -> Result<Option<String>, S::Error> {
    let text = "SELECT value FROM _ferry_meta WHERE key = ?1";
    let found = sql.first(text, &[SCHEMA_KEY.into()], |row| Ok(row.optional_text(0)?.map(str::to_owned)))?;
    Ok(found.flatten())
}

/// Notes the digest of the schema that a deployment leaves.
pub(super) fn note_schema<S: Sql>(sql: &S, fingerprint: &str) -> Result<(), S::Error> {
    let text = "INSERT OR REPLACE INTO _ferry_meta VALUES (?1, ?2)";
    sql.execute(text, &[SCHEMA_KEY.into(), fingerprint.into()]).map(drop)
}
