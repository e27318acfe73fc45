//! The deployments that a database keeps: the active one, and some before it.

use std::ops::ControlFlow;

use ferry_types::{Seq, limits::FUNCTIONS_DEPLOYMENTS_KEPT};

use super::tables::exists;
use crate::sql::{Row, Sql, Value};

/// A deployment as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDeployment {
    /// `dep_…`
    pub id: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// The commit that it was.
    pub seq: Seq,
    /// One ES module.
    pub bundle: String,
    /// Its source map.
    pub source_map: Option<String>,
    /// JSON: what the command line wrote of it.
    pub manifest: String,
    /// Types of its functions, TypeScript.
    pub api_dts: String,
    /// Its schema, JSON as it was declared.
    pub schema_json: String,
    /// SHA-256 of the bundle, hex.
    pub sha256: String,
}

/// A deployment in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentSummary {
    /// `dep_…`
    pub id: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// The commit that it was.
    pub seq: Seq,
    /// SHA-256 of the bundle, hex.
    pub sha256: String,
    /// Whether it is the one that runs.
    pub active: bool,
}

const COLUMNS: &str = "id, created_at, seq, bundle, source_map, manifest, api_dts, schema_json, sha256";

/// The deployment that runs; `None`: there was none yet.
///
/// # Errors
/// What storage reports.
pub fn active<S: Sql>(sql: &S) -> Result<Option<StoredDeployment>, S::Error> {
    if !exists(sql)? {
        return Ok(None);
    }
    sql.first(&format!("SELECT {COLUMNS} FROM _ferry_fn_deploy WHERE active = 1"), &[], read)
}

/// Its id.
///
/// # Errors
/// What storage reports.
pub fn active_id<S: Sql>(sql: &S) -> Result<Option<String>, S::Error> {
    if !exists(sql)? {
        return Ok(None);
    }
    let text = "SELECT id FROM _ferry_fn_deploy WHERE active = 1";
    sql.first(text, &[], |row| Ok(row.text(0)?.to_owned()))
}

/// The deployment `id`, if it is kept.
///
/// # Errors
/// What storage reports.
pub fn find<S: Sql>(sql: &S, id: &str) -> Result<Option<StoredDeployment>, S::Error> {
    if !exists(sql)? {
        return Ok(None);
    }
    sql.first(&format!("SELECT {COLUMNS} FROM _ferry_fn_deploy WHERE id = ?1"), &[id.into()], read)
}

fn read<E: From<crate::sql::Damaged>>(row: &dyn Row) -> Result<StoredDeployment, E> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(StoredDeployment {
        id: text(0)?,
        created_at: row.integer(1)?,
        seq: seq(row, 2)?,
        bundle: text(3)?,
        source_map: row.optional_text(4)?.map(str::to_owned),
        manifest: text(5)?,
        api_dts: text(6)?,
        schema_json: text(7)?,
        sha256: text(8)?,
    })
}

fn seq(row: &dyn Row, column: usize) -> Result<Seq, crate::sql::Damaged> {
    Ok(Seq(u64::try_from(row.integer(column)?).unwrap_or(0)))
}

/// Those that are kept, the newest first.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(sql: &S) -> Result<Vec<DeploymentSummary>, S::Error> {
    let mut all = Vec::new();
    if !exists(sql)? {
        return Ok(all);
    }
    let text = "SELECT id, created_at, seq, sha256, active FROM _ferry_fn_deploy ORDER BY seq DESC";
    sql.query(text, &[], &mut |row| {
        all.push(DeploymentSummary {
            id: row.text(0)?.to_owned(),
            created_at: row.integer(1)?,
            seq: seq(row, 2)?,
            sha256: row.text(3)?.to_owned(),
            active: row.integer(4)? != 0,
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// Keeps a deployment as the one that runs, and forgets those that are too many.
pub(super) fn store<S: Sql>(sql: &S, new: &StoredDeployment) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_fn_deploy SET active = 0 WHERE active <> 0", &[])?;
    let values: [Value<'_>; 9] = [
        (&*new.id).into(),
        new.created_at.into(),
        i64::try_from(new.seq.0).unwrap_or(i64::MAX).into(),
        (&*new.bundle).into(),
        new.source_map.as_deref().into(),
        (&*new.manifest).into(),
        (&*new.api_dts).into(),
        (&*new.schema_json).into(),
        (&*new.sha256).into(),
    ];
    sql.execute("INSERT INTO _ferry_fn_deploy VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)", &values)?;
    let kept = i64::try_from(FUNCTIONS_DEPLOYMENTS_KEPT).unwrap_or(i64::MAX);
    let forget = "DELETE FROM _ferry_fn_deploy WHERE active = 0 AND id NOT IN (
        SELECT id FROM _ferry_fn_deploy ORDER BY active DESC, seq DESC LIMIT ?1)";
    sql.execute(forget, &[kept.into()]).map(drop)
}

/// Makes a kept deployment the one that runs.
pub(super) fn activate<S: Sql>(sql: &S, id: &str) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_fn_deploy SET active = (id = ?1)", &[id.into()]).map(drop)
}
