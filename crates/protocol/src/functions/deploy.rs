//! Messages of the deployment API (functions specification, 2.4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Migration files of one deployment.
const MIGRATIONS_MAX: usize = 10_000;
/// Characters of ids and names of migrations.
const ID_MAX_CHARS: usize = 200;

/// A body that is not what its call takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadDeployBody(String);

/// Body of `POST plan`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlanBody {
    /// The active deployment that the developer knows of.
    pub base: Option<String>,
    /// The schema, JSON.
    pub schema: Box<RawValue>,
    /// What is decided, JSON.
    pub hints: Option<Box<RawValue>>,
}

/// Body of `POST deploy`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DeployBody {
    /// The active deployment that the developer knows of.
    pub base: Option<String>,
    /// One ES module.
    pub bundle: String,
    /// Its source map: JSON, or a text that is JSON.
    pub source_map: Option<Box<RawValue>>,
    /// What the command line wrote of it, JSON.
    pub manifest: Option<Box<RawValue>>,
    /// Types of its functions, TypeScript.
    #[serde(default)]
    pub api_dts: String,
    /// The schema, JSON; if it is left out, that which the bundle exports.
    pub schema: Option<Box<RawValue>>,
    /// All migration files of the project.
    #[serde(default)]
    pub migrations: Vec<MigrationBody>,
    /// What is decided, JSON.
    pub hints: Option<Box<RawValue>>,
    /// Filled tables and columns may go.
    #[serde(default)]
    pub allow_destructive: bool,
    /// The schema is taken as it is now, though no deployment made it so.
    #[serde(default)]
    pub accept_drift: bool,
    /// Nothing is changed: it runs on a copy.
    #[serde(default)]
    pub dry_run: bool,
    /// How callers are known, if that changes.
    pub auth: Option<DeployAuthBody>,
    /// Secrets by name, if some change; `null` removes one.
    pub env: Option<BTreeMap<String, Option<String>>>,
}

/// A migration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationBody {
    /// The name of the file.
    pub id: String,
    /// The one before it.
    pub parent: Option<String>,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// SHA-256 of its text, hex.
    pub sha256: String,
    /// Its text.
    pub sql: String,
}

/// How callers of functions are known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployAuthBody {
    /// `none`, `local` or `remote`.
    pub mode: String,
    /// Where the keys of tokens are, for `remote`.
    pub jwks_url: Option<String>,
    /// Who makes the tokens.
    pub issuer: Option<String>,
    /// For whom.
    pub audience: Option<String>,
}

/// Body of `POST rollback`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The deployment to go back to.
    pub deployment: String,
}

/// Body of `POST restore`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RestoreBody {
    /// Name of the backup.
    pub backup: String,
    /// Later commits may be lost.
    #[serde(default)]
    pub lose_writes: bool,
}

/// Reads a body.
///
/// # Errors
/// What is wrong with it.
fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, BadDeployBody> {
    serde_json::from_slice(body).map_err(|error| BadDeployBody(format!("the body: {error}")))
}

impl PlanBody {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &[u8]) -> Result<Self, BadDeployBody> {
        read(body)
    }
}

impl RollbackBody {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &[u8]) -> Result<Self, BadDeployBody> {
        read(body)
    }
}

impl RestoreBody {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &[u8]) -> Result<Self, BadDeployBody> {
        read(body)
    }
}

impl DeployBody {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &[u8]) -> Result<Self, BadDeployBody> {
        let body: Self = read(body)?;
        if body.migrations.len() > MIGRATIONS_MAX {
            let message = format!("migrations: {} files; at most {MIGRATIONS_MAX}", body.migrations.len());
            return Err(BadDeployBody(message));
        }
        let is_long = |text: &str| text.chars().count() > ID_MAX_CHARS;
        let too_long = body.migrations.iter().find(|file| {
            is_long(&file.id) || is_long(&file.name) || file.parent.as_deref().is_some_and(is_long)
        });
        if too_long.is_some() {
            let message = format!("migrations: ids and names have at most {ID_MAX_CHARS} characters");
            return Err(BadDeployBody(message));
        }
        Ok(body)
    }

    /// The source map, JSON.
    #[must_use]
    pub fn source_map(&self) -> Option<String> {
        let map = self.source_map.as_ref()?.get();
        // A text that is JSON, or JSON itself.
        let text: Option<String> = serde_json::from_str(map).ok();
        Some(text.unwrap_or_else(|| map.to_owned())).filter(|map| !map.is_empty() && map != "null")
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanStepView<'a> {
    /// What it does.
    pub op: &'static str,
    /// The table, view or collection.
    pub table: &'a str,
    /// The column or index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<&'a str>,
    /// What it runs.
    pub sql: String,
    /// Whether it takes away what rows hold.
    pub destructive: bool,
    /// Whether the table is copied.
    pub rebuild: bool,
    /// Rows that it touches.
    pub rows: u64,
}

/// What must be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum QuestionView<'a> {
    /// Something is gone and something like it is new.
    Rename {
        /// What is gone.
        from: &'a str,
        /// What is new.
        to: &'a [String],
    },
    /// Rows have no value.
    Required {
        /// The column.
        column: &'a str,
        /// How many rows.
        rows: u64,
    },
    /// Values get another type.
    Cast {
        /// The column.
        column: String,
        /// The type now.
        from: &'static str,
        /// The type to come.
        to: &'static str,
        /// Rows whose values would not be the same.
        rows: u64,
    },
    /// Rows or values go.
    Loss {
        /// The table or column.
        what: &'a str,
        /// How many.
        count: u64,
    },
    /// It cannot be done whatever is decided.
    Impossible {
        /// Why.
        message: &'a str,
    },
}

/// Answer of `POST plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanAnswer<'a> {
    /// What would be done.
    pub steps: Vec<PlanStepView<'a>>,
    /// What must be decided before.
    pub questions: Vec<QuestionView<'a>>,
    /// What the developer may want to know.
    pub warnings: &'a [String],
}

/// Answer of `POST deploy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployAnswer<'a> {
    /// Its id; `null` if it ran on a copy.
    pub deployment: Option<&'a str>,
    /// The commit that it is.
    pub seq: Option<u64>,
    /// Ids of the migrations that were applied.
    pub applied: &'a [String],
    /// Name of the backup that was made before.
    pub backup: Option<&'a str>,
    /// It ran on a copy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What was done to the schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PlanStepView<'a>>,
    /// What of it could not be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer of `POST rollback` and `POST restore`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedAnswer<'a> {
    /// The deployment that is active now.
    pub deployment: Option<&'a str>,
    /// The newest commit.
    pub seq: u64,
    /// Commits that are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

/// A deployment in `GET info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentView<'a> {
    /// Its id.
    pub id: &'a str,
    /// When, RFC 3339.
    pub created_at: String,
    /// The commit that it was.
    pub seq: u64,
    /// SHA-256 of its bundle.
    pub sha256: &'a str,
    /// Whether it is the one that runs.
    pub active: bool,
}

/// A migration in `GET info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationView<'a> {
    /// Its id.
    pub id: &'a str,
    /// The one before it.
    pub parent: Option<&'a str>,
    /// What people call it.
    pub name: &'a str,
    /// SHA-256 of its text.
    pub sha256: &'a str,
    /// `file`, `dev` or `baseline`.
    pub kind: &'static str,
}

/// A backup in `GET info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: u64,
}

/// Answer of `GET info`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InfoAnswer<'a> {
    /// The active deployment.
    pub deployment: Option<&'a str>,
    /// The newest commit.
    pub seq: u64,
    /// Digest of its schema.
    pub schema_hash: Option<&'a str>,
    /// Its manifest, JSON.
    pub manifest: Option<&'a RawValue>,
    /// Deployments that are kept, the newest first.
    pub deployments: Vec<DeploymentView<'a>>,
    /// Migrations that were applied, in order.
    pub migrations: Vec<MigrationView<'a>>,
    /// Backups that are kept, the newest first.
    pub backups: Vec<BackupView<'a>>,
    /// How callers are known.
    pub auth: &'a str,
    /// Names of the secrets.
    pub secrets: &'a [String],
}

/// Answer of `GET schema`.
#[derive(Debug, Serialize)]
pub struct SchemaAnswer<'a> {
    /// The active deployment.
    pub deployment: Option<&'a str>,
    /// Digest of the schema.
    pub hash: Option<&'a str>,
    /// The schema, JSON.
    pub schema: Option<&'a RawValue>,
}

/// A deployment that is not made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployFailure<'a> {
    /// False.
    pub success: bool,
    /// What went wrong.
    pub error: &'a str,
    /// Stable word.
    pub code: &'a str,
    /// Id of the request.
    pub request_id: &'a str,
    /// The migration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<&'a str>,
    /// Which of its statements, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<usize>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<&'a str>,
    /// Rows that show it.
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    pub rows: &'a [Value],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_strictly() {
        let body = DeployBody::decode(
            br#"{"base":null,"bundle":"export {}","sourceMap":"{\"version\":3}","manifest":{"a":1},"apiDts":"","schema":{"version":1},
                "migrations":[{"id":"1","parent":null,"name":"n","sha256":"0","sql":"SELECT 1"}],"hints":{},"allowDestructive":true,
                "dryRun":true,"auth":{"mode":"none"},"env":{"A":"b","C":null}}"#,
        )
        .unwrap();
        assert_eq!(body.source_map().unwrap(), r#"{"version":3}"#);
        assert!(body.allow_destructive && body.dry_run && !body.accept_drift);
        assert_eq!(body.schema.unwrap().get(), r#"{"version":1}"#);
        let map = DeployBody::decode(br#"{"bundle":"","sourceMap":{"version":3}}"#).unwrap();
        assert_eq!(map.source_map().unwrap(), r#"{"version":3}"#);
        assert_eq!(DeployBody::decode(br#"{"bundle":"","sourceMap":null}"#).unwrap().source_map(), None);
        for wrong in [r#"{"bundle":"","bundel":""}"#, "{}", "[", r#"{"bundle":"","migrations":[{"id":"1"}]}"#]
        {
            assert!(DeployBody::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let id = "x".repeat(201);
        let long = format!(r#"{{"bundle":"","migrations":[{{"id":"{id}","sha256":"","sql":""}}]}}"#);
        assert!(DeployBody::decode(long.as_bytes()).unwrap_err().to_string().contains("200 characters"));
        assert!(RestoreBody::decode(br#"{"backup":"a","loseWrites":1}"#).is_err());
        assert!(PlanBody::decode(br#"{"base":"dep_1","schema":{}}"#).is_ok());
    }

    #[test]
    fn answers_have_the_members_of_the_specification() {
        let step = PlanStepView {
            op: "add_column",
            table: "users",
            column: Some("age"),
            sql: "ALTER".into(),
            destructive: false,
            rebuild: false,
            rows: 2,
        };
        let questions = vec![
            QuestionView::Rename { from: "users.a", to: &[] },
            QuestionView::Cast { column: "users.b".into(), from: "text", to: "integer", rows: 0 },
        ];
        let answer = PlanAnswer { steps: vec![step], questions, warnings: &[] };
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"steps":[{"op":"add_column","table":"users","column":"age","sql":"ALTER","destructive":false,"rebuild":false,"rows":2}],"questions":[{"kind":"rename","from":"users.a","to":[]},{"kind":"cast","column":"users.b","from":"text","to":"integer","rows":0}],"warnings":[]}"#
        );
        let answer = DeployAnswer {
            deployment: Some("dep_1"),
            seq: Some(4),
            applied: &[],
            backup: None,
            dry_run: false,
            steps: Vec::new(),
            warnings: Vec::new(),
        };
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(json, r#"{"deployment":"dep_1","seq":4,"applied":[],"backup":null}"#);
    }
}
