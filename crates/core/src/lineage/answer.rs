//! The answer to the question that a copy of a data directory asks (OPR-32).

use serde::{Deserialize, Serialize};

/// What is to be done about what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineageAnswer {
    /// It is the same hub in another place: nothing was written elsewhere since.
    Moved,
    /// It is an older state: clients may have seen more.
    Restored,
}
