//! Why a call of this API does nothing, as its caller reads it.

use axum::{body::Body, response::Response};
use ferry_core::functions::{
    deploy::{DeployRefusal, MigrationFailure},
    schema::{BadHint, BadSchema},
};
use ferry_functions::LoadError;
use ferry_protocol::functions::{BadDeployBody, DeployFailure};
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::super::{refusal::CallRefusal, response};

/// Why a call does nothing.
#[derive(Debug)]
pub(super) enum DeployError {
    /// In the words of the RPC.
    Refused(CallRefusal),
    /// The request contradicts itself, or cannot be read.
    Invalid(String),
    /// The deployment does not fit what is there.
    Deploy(DeployRefusal),
    /// The bundle does not load.
    Bundle(LoadError),
}

impl From<ferry_types::Error> for DeployError {
    fn from(error: ferry_types::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<CallRefusal> for DeployError {
    fn from(refusal: CallRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<BadDeployBody> for DeployError {
    fn from(bad: BadDeployBody) -> Self {
        Self::Invalid(bad.to_string())
    }
}

impl From<BadHint> for DeployError {
    fn from(bad: BadHint) -> Self {
        Self::Invalid(bad.to_string())
    }
}

impl From<BadSchema> for DeployError {
    fn from(bad: BadSchema) -> Self {
        match bad {
            BadSchema::Invalid(message) => Self::Invalid(message),
            BadSchema::Reserved(message) => {
                Self::Deploy(DeployRefusal::Conflict { message, rows: Vec::new() })
            }
        }
    }
}

impl From<DeployRefusal> for DeployError {
    fn from(refusal: DeployRefusal) -> Self {
        Self::Deploy(refusal)
    }
}

impl DeployError {
    /// The answer.
    pub(super) fn respond(self, parts: &Parts) -> Response {
        match self {
            Self::Refused(refusal) => response::refused(&refusal, response::RpcDialect::Ferry, parts),
            Self::Invalid(message) | Self::Deploy(DeployRefusal::Invalid(message)) => respond(
                parts,
                StatusCode::BAD_REQUEST,
                "INVALID",
                &MigrationFailure { message, ..MigrationFailure::default() },
            ),
            Self::Deploy(DeployRefusal::Conflict { message, rows }) => {
                let failure = MigrationFailure { message, rows, ..MigrationFailure::default() };
                respond(parts, StatusCode::CONFLICT, "CONFLICT", &failure)
            }
            Self::Deploy(DeployRefusal::Failed(failure)) => {
                respond(parts, StatusCode::UNPROCESSABLE_ENTITY, "MIGRATION_FAILED", &failure)
            }
            Self::Bundle(error) => {
                let failure = MigrationFailure { message: error.to_string(), ..MigrationFailure::default() };
                respond(parts, StatusCode::UNPROCESSABLE_ENTITY, "BUNDLE_FAILED", &failure)
            }
        }
    }
}

fn respond(parts: &Parts, status: StatusCode, code: &str, failure: &MigrationFailure) -> Response {
    let body = DeployFailure {
        success: false,
        error: &failure.message,
        code,
        request_id: &response::request_id(parts),
        migration: failure.migration.as_deref(),
        statement: failure.statement,
        sql: failure.sql.as_deref(),
        rows: &failure.rows,
    };
    let body = serde_json::to_vec(&body).expect("BUG: strings and rows are JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
