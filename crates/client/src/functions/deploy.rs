//! What a deployment brings, and what becomes of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ClientError;

/// A deployment that is asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployRequest<'a> {
    /// The deployment that is thought to run; `None`: none.
    pub base: Option<&'a str>,
    /// One ES module.
    pub bundle: &'a str,
    /// Its source map.
    pub source_map: &'a str,
    /// Names and kinds of its functions.
    pub manifest: &'a Value,
    /// Types of its functions.
    pub api_dts: &'a str,
    /// The schema; `None`: what the bundle exports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<&'a Value>,
    /// All migration files; none: the difference is applied as it is.
    pub migrations: &'a [MigrationText],
    /// What is decided: `{"renames","backfills","casts","drops"}`.
    pub hints: &'a Value,
    /// Filled tables and columns may go.
    pub allow_destructive: bool,
    /// The schema is taken as it is now, though no deployment made it so.
    pub accept_drift: bool,
    /// Nothing is changed: it runs on a copy.
    pub dry_run: bool,
    /// How callers are known, if that changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<&'a Value>,
    /// Secrets that change; `None` removes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<&'a BTreeMap<String, Option<String>>>,
}

/// A migration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationText {
    /// The name of the file, without `.sql`.
    pub id: String,
    /// The one before it.
    pub parent: Option<String>,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its text, hex.
    pub sha256: String,
    /// Its text.
    pub sql: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum DeployReply {
    /// It is made, or ran on a copy.
    Made(AppliedDeployment),
    /// Nothing is changed.
    Refused(Box<DeployRefused>),
}

/// A deployment that is made.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedDeployment {
    /// Its id; `None` if it ran on a copy.
    pub deployment: Option<String>,
    /// The commit that it is.
    pub seq: Option<u64>,
    /// Ids of the migrations that were applied.
    #[serde(default)]
    pub applied: Vec<String>,
    /// Name of the backup that was made before.
    pub backup: Option<String>,
    /// It ran on a copy.
    #[serde(default)]
    pub dry_run: bool,
    /// What was done to the schema.
    #[serde(default)]
    pub steps: Vec<PlannedStep>,
}

/// Why nothing is changed.
#[derive(Clone, Debug)]
pub struct DeployRefused {
    /// In the hub's words.
    pub error: ClientError,
    /// The migration that failed, if one did.
    pub migration: Option<String>,
    /// Which of its statements, from 1.
    pub statement: Option<usize>,
    /// The statement.
    pub sql: Option<String>,
    /// Some of the rows that it failed for.
    pub rows: Vec<Value>,
}

impl DeployRefused {
    pub(super) fn read(error: ClientError, answer: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Details {
            migration: Option<String>,
            statement: Option<usize>,
            sql: Option<String>,
            rows: Vec<Value>,
        }
        let Details { migration, statement, sql, rows } = serde_json::from_slice(answer).unwrap_or_default();
        Self { error, migration, statement, sql, rows }
    }
}

/// The way from one schema to another.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct PlannedChanges {
    /// What would be done.
    pub steps: Vec<PlannedStep>,
    /// What must be decided before.
    pub questions: Vec<PlanQuestion>,
    /// What the developer may want to know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlannedStep {
    /// What it does: `create_table` and so on.
    pub op: String,
    /// The table, view or collection.
    #[serde(default)]
    pub table: String,
    /// The column or index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What it runs.
    #[serde(default)]
    pub sql: String,
    /// Whether it takes away what rows hold.
    #[serde(default)]
    pub destructive: bool,
    /// Whether the table is copied.
    #[serde(default)]
    pub rebuild: bool,
    /// Rows that it touches.
    #[serde(default)]
    pub rows: u64,
}

/// What must be decided.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum PlanQuestion {
    /// Something is gone and something like it is new.
    Rename {
        /// What is gone.
        from: String,
        /// What is new.
        to: Vec<String>,
    },
    /// Rows have no value.
    Required {
        /// The column.
        column: String,
        /// How many rows.
        rows: u64,
    },
    /// Values get another type.
    Cast {
        /// The column.
        column: String,
        /// The type now.
        from: String,
        /// The type to come.
        to: String,
        /// Rows whose values would not be the same.
        rows: u64,
    },
    /// Rows or values go.
    Loss {
        /// The table or column.
        what: String,
        /// How many.
        count: u64,
    },
    /// It cannot be done whatever is decided.
    Impossible {
        /// Why.
        message: String,
    },
}
