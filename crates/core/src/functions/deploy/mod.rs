//! Deployments: the code that a database's functions run, and the migrations that its schema went through (functions
//! specification, 3.7 and 4).
//!
//! `decide` compares what is asked with what is there and changes nothing; `run` does it inside one transaction, in which
//! no foreign key acts. Whoever calls them makes the backup in between, and ends the transaction.

mod apply;
mod aside;
mod checks;
mod collections;
mod decide;
mod deployments;
mod failure;
mod files;
mod history;
mod raw;
mod replay;
mod rollback;
mod run;
mod sample;
mod statement;
mod tables;

pub use collections::{CollectionView, collections};
pub use decide::{Decision, NewDeployment, WantedSchema, decide, plan};
pub use deployments::{DeploymentSummary, StoredDeployment, active, active_id, find, list};
pub use failure::{DeployRefusal, MigrationFailure};
pub use files::{MigrationFile, sha256_hex};
pub use history::{AppliedMigration, MigrationKind, applied};
pub use replay::{DeclaredNames, plan_of_files, replay};
pub use rollback::rollback;
pub use run::{Deployed, run};
pub use statement::RunStatement;
pub use tables::{create, exists};
