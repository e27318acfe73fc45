//! Why a deployment is not made.

use serde_json::Value;

/// A deployment that changes nothing, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum DeployRefusal {
    /// The request contradicts itself.
    Invalid(String),
    /// It does not fit what is there, or something must be decided first.
    Conflict {
        /// What and what to do.
        message: String,
        /// Rows that show it.
        rows: Vec<Value>,
    },
    /// A statement failed, or left what must not be.
    Failed(MigrationFailure),
}

/// A migration that failed; all of it is undone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MigrationFailure {
    /// What went wrong.
    pub message: String,
    /// Id of the file, if it was in one.
    pub migration: Option<String>,
    /// Which of its statements, from 1.
    pub statement: Option<usize>,
    /// Its text.
    pub sql: Option<String>,
    /// Rows that show it.
    pub rows: Vec<Value>,
}

impl DeployRefusal {
    /// A conflict that no rows show.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict { message: message.into(), rows: Vec::new() }
    }
}

impl MigrationFailure {
    /// One that is about no statement.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}
