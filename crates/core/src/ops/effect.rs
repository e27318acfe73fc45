//! What a commit of ops tells others.

use std::sync::Arc;

use ferry_types::OpSeq;

/// Ops that a commit stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpsEffect {
    /// Highest number after it.
    pub head: OpSeq,
    /// In the order of their numbers.
    pub ops: Vec<PublishedOp>,
}

/// A stored op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedOp {
    /// Its number.
    pub seq: OpSeq,
    /// Its id.
    pub id: Box<str>,
    /// What it is about; `None`: a foreign op, or one about nothing.
    pub entity: Option<Box<str>>,
    /// Its text.
    pub raw: Arc<str>,
}
