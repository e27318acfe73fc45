//! A push as its caller states it, and what came of it.

use ferry_protocol::ops::{OpResult, OpStatus};
use ferry_types::{OpSeq, OriginId, UnixMillis};

use super::{OpsEffect, Prefixes};

/// Who pushes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Pushing<'a> {
    /// The pushing device, of the body.
    pub origin: Option<OriginId>,
    /// Whose credential it is.
    pub principal: &'a str,
    /// Admins may push ops of any origin.
    pub is_admin: bool,
    /// What the credential is narrowed to.
    pub prefixes: Prefixes<'a>,
    /// Through hephd's wire: what cannot be stored is quarantined, and nothing is rejected (OPS-07).
    pub via_shim: bool,
    /// All or nothing: the caller undoes the batch unless [`PushedOps::is_whole`]. Nothing is quarantined.
    pub atomic: bool,
}

/// The hub's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The present time.
    pub now: UnixMillis,
    /// How far ahead an op's time may lie (OPS-10).
    pub max_skew_ms: i64,
}

/// Sizes that a push keeps (2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLimits {
    /// An op of Ferry's shape.
    pub op_max_bytes: usize,
    /// A foreign op.
    pub foreign_max_bytes: usize,
    /// Ops in quarantine.
    pub quarantine_max_ops: u64,
    /// Bytes of them.
    pub quarantine_max_bytes: u64,
    /// The state of one text.
    pub text_max_bytes: u64,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            op_max_bytes: 1 << 20,
            foreign_max_bytes: 16 << 20,
            quarantine_max_ops: 10_000,
            quarantine_max_bytes: 64 << 20,
            text_max_bytes: 16 << 20,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushedOps {
    /// One per op, in the order of the request.
    pub results: Vec<OpResult>,
    /// The log's highest number.
    pub head: OpSeq,
    /// What was stored; `None`: nothing, and the commit takes no number.
    pub effect: Option<OpsEffect>,
    /// The stamp of what was stored.
    pub stamp: Option<String>,
    /// Something else was written: the quarantine, or whose an origin is. It must be kept although it is no effect.
    pub has_notes: bool,
    /// Every op is accepted or a duplicate.
    pub is_whole: bool,
    /// Ops whose id was known with another content (OPS-03).
    pub differs: u64,
    /// Ops newly set aside.
    pub quarantined: u64,
    /// Conflicts newly recorded.
    pub conflicts: u64,
    /// When the first of the ops that this batch set aside is due to be released.
    pub next_release: Option<UnixMillis>,
}

impl PushedOps {
    /// How many ops of the request were newly stored.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.results.iter().filter(|result| result.status == OpStatus::Accepted).count() as u64
    }
}
