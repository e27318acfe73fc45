//! The migrations that a database went through.

use std::ops::ControlFlow;

use ferry_types::Seq;

use super::tables::exists;
use crate::sql::{Sql, Value};

/// Where a migration came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationKind {
    /// A file of the project.
    File,
    /// A difference that `ferry dev` applied directly.
    Dev,
    /// What was there before the first deployment.
    Baseline,
}

impl MigrationKind {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dev => "dev",
            Self::Baseline => "baseline",
        }
    }
}

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its id.
    pub id: String,
    /// The one before it.
    pub parent: Option<String>,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its text, hex.
    pub sha256: String,
    /// Where it came from.
    pub kind: MigrationKind,
}

/// All that were applied, in that order.
///
/// # Errors
/// What storage reports.
pub fn applied<S: Sql>(sql: &S) -> Result<Vec<AppliedMigration>, S::Error> {
    let mut all = Vec::new();
    if !exists(sql)? {
        return Ok(all);
    }
    let text = "SELECT id, parent, name, sha256, kind FROM _ferry_migrations ORDER BY seq, rowid";
    sql.query(text, &[], &mut |row| {
        let kind = match row.text(4)? {
            "file" => MigrationKind::File,
            "dev" => MigrationKind::Dev,
            _ => MigrationKind::Baseline,
        };
        all.push(AppliedMigration {
            id: row.text(0)?.to_owned(),
            parent: row.optional_text(1)?.map(str::to_owned),
            name: row.text(2)?.to_owned(),
            sha256: row.text(3)?.to_owned(),
            kind,
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// When and with what schema a migration was applied.
pub(super) struct Applying<'a> {
    pub(super) at: i64,
    pub(super) seq: Seq,
    pub(super) schema_json: &'a str,
}

/// Notes that a migration was applied.
pub(super) fn note<S: Sql>(
    sql: &S,
    migration: &AppliedMigration,
    applying: &Applying<'_>,
) -> Result<(), S::Error> {
    let values: [Value<'_>; 8] = [
        (&*migration.id).into(),
        migration.parent.as_deref().into(),
        (&*migration.name).into(),
        (&*migration.sha256).into(),
        migration.kind.as_str().into(),
        applying.at.into(),
        i64::try_from(applying.seq.0).unwrap_or(i64::MAX).into(),
        applying.schema_json.into(),
    ];
    sql.execute("INSERT INTO _ferry_migrations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", &values).map(drop)
}

/// Id of the migration that stands for what was there before.
const BASELINE: &str = "baseline";

/// What drizzle applied before the database was the hub's, if it did; `None` too where it is noted already.
pub(super) fn baseline<S: Sql>(sql: &S) -> Result<Option<AppliedMigration>, S::Error> {
    let has_table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '__drizzle_migrations'";
    if sql.first(has_table, &[], |_| Ok(()))?.is_none() {
        return Ok(None);
    }
    let newest = "SELECT hash FROM __drizzle_migrations ORDER BY created_at DESC, rowid DESC LIMIT 1";
    let hash = sql.first(newest, &[], |row| Ok(row.optional_text(0)?.unwrap_or_default().to_owned()))?;
    Ok(hash.map(|sha256| AppliedMigration {
        id: BASELINE.to_owned(),
        parent: None,
        name: "drizzle".to_owned(),
        sha256,
        kind: MigrationKind::Baseline,
    }))
}
