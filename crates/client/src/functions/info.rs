//! What is deployed.

use serde::Deserialize;
use serde_json::Value;

/// What is deployed in a database, and what it went through.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionsInfo {
    /// The deployment that runs, if there is one.
    pub deployment: Option<String>,
    /// The newest commit.
    pub seq: u64,
    /// Names and kinds of its functions, as the command line wrote them.
    #[serde(default)]
    pub manifest: Value,
    /// Deployments that are kept, newest first.
    pub deployments: Vec<DeploymentInfo>,
    /// Migrations in the order in which they were applied.
    pub migrations: Vec<MigrationInfo>,
    /// Backups that deployments made.
    pub backups: Vec<BackupInfo>,
    /// How callers are known: `none`, `local`, `remote`.
    pub auth: String,
    /// Names of secrets.
    pub secrets: Vec<String>,
}

/// A deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentInfo {
    /// Its id.
    pub id: String,
    /// When, RFC 3339.
    pub created_at: String,
    /// The commit that it was.
    pub seq: u64,
    /// Whether it is the one that runs.
    pub active: bool,
}

/// A migration that was applied.
#[derive(Clone, Debug, Deserialize)]
pub struct MigrationInfo {
    /// Its id.
    pub id: String,
    /// The one before it.
    pub parent: Option<String>,
    /// SHA-256 of its text, hex.
    pub sha256: String,
    /// `file`, `dev` or `baseline`.
    pub kind: String,
}

/// A backup.
#[derive(Clone, Debug, Deserialize)]
pub struct BackupInfo {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}
