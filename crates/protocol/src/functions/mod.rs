//! The wire of functions (functions specification, section 2): answers of RPC, frames of sockets, hashes of table names.
//! EdgePod's clients read the same bytes.

mod deploy;
mod names;
mod rpc;
mod socket;
mod status;
#[cfg(test)]
mod tests;

pub use deploy::{
    BackupView, BadDeployBody, DeployAnswer, DeployAuthBody, DeployBody, DeployFailure, DeploymentView,
    InfoAnswer, MigrationBody, MigrationView, MovedAnswer, PlanAnswer, PlanBody, PlanStepView, QuestionView,
    RestoreBody, RollbackBody, SchemaAnswer,
};
pub use names::{table_hash, table_hashes};
pub use rpc::{FerryMeta, RpcFailure, RpcSuccess};
pub use socket::{ClientFrame, ServerFrame};
pub use status::{RpcErrorCode, status_of};
