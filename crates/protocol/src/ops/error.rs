//! Refused requests: `{"error":{"code","message","details"}}` (section 2.2).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use ferry_types::OpSeq;

use super::{code::OpResult, messages::EpochPolicy};

/// Why a request as a whole was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpsErrorCode {
    /// A parameter or the body is wrong.
    BadRequest,
    /// The log is another than the cursor's, or was begun anew.
    EpochChanged,
    /// The log lacks what the cursor has seen.
    LogDiverged,
    /// Ops behind the cursor were dropped: read the snapshot.
    SnapshotRequired,
    /// More than one request may hold.
    BodyTooLarge,
    /// One op of an atomic batch was not accepted.
    AtomicFailed,
    /// The quarantine has no room.
    QuarantineFull,
}

impl OpsErrorCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::BadRequest,
        Self::EpochChanged,
        Self::LogDiverged,
        Self::SnapshotRequired,
        Self::BodyTooLarge,
        Self::AtomicFailed,
        Self::QuarantineFull,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::EpochChanged => "epoch_changed",
            Self::LogDiverged => "log_diverged",
            Self::SnapshotRequired => "snapshot_required",
            Self::BodyTooLarge => "body_too_large",
            Self::AtomicFailed => "atomic_failed",
            Self::QuarantineFull => "quarantine_full",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::EpochChanged | Self::LogDiverged => 409,
            Self::SnapshotRequired => 410,
            Self::BodyTooLarge => 413,
            Self::AtomicFailed => 422,
            Self::QuarantineFull => 503,
        }
    }
}

/// `details` of `epoch_changed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochDetails {
    /// The log's id.
    pub hub_id: String,
    /// Its epoch.
    pub epoch: String,
    /// What the spoke shall do.
    pub policy: EpochPolicy,
}

/// `details` of `snapshot_required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloorDetails {
    /// Highest number of what was dropped.
    #[serde(with = "super::code::seq")]
    pub floor: OpSeq,
}

/// `details` of `atomic_failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtomicDetails {
    /// What each op would have become.
    pub results: Vec<OpResult>,
}

#[derive(Serialize)]
struct Envelope<'a, D> {
    error: Members<'a, D>,
}

#[derive(Serialize)]
struct Members<'a, D> {
    code: &'a str,
    message: &'a str,
    details: D,
}

/// The body of a refusal; `details` is an object.
#[must_use]
pub fn error_body(code: &str, message: &str, details: &impl Serialize) -> Vec<u8> {
    let envelope = Envelope { error: Members { code, message, details } };
    serde_json::to_vec(&envelope).expect("BUG: a refusal is JSON")
}

/// A refusal as a client reads it, from any of Ferry's `/v1` surfaces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OpsErrorBody {
    /// The word.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// What the code brings.
    #[serde(default)]
    pub details: Value,
}

impl OpsErrorBody {
    /// Reads a refusal; `None`: the body is none of Ferry's.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Outer {
            error: OpsErrorBody,
        }
        serde_json::from_slice::<Outer>(body).ok().map(|outer| outer.error)
    }

    /// Which of this wire's refusals it is.
    #[must_use]
    pub fn known(&self) -> Option<OpsErrorCode> {
        OpsErrorCode::ALL.into_iter().find(|code| code.as_str() == self.code)
    }

    /// Its details, if they are of this form.
    #[must_use]
    pub fn details<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        T::deserialize(&self.details).ok()
    }
}
