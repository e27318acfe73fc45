//! The wire of op-log sync (ops specification, section 2): ops, batches, pages, the live stream, snapshots, and the
//! socket of the spoke. Ops stay the text that their writer sent (OPS-04).

mod array;
mod canonical;
mod code;
mod derived;
mod error;
mod messages;
mod op;
mod query;
mod rpc;
mod skip;
mod snapshot;
mod sse;
#[cfg(test)]
mod tests;
mod tokens;
mod utf8;
mod views;

pub use array::{ArrayScanner, BadArray};
pub use canonical::{canonical, canonical_digest};
pub use code::{OpCode, OpResult, OpStatus};
pub use derived::{conflict_id, conflict_op, merged_text_id};
pub use error::{AtomicDetails, EpochDetails, FloorDetails, OpsErrorBody, OpsErrorCode, error_body};
pub use messages::{
    Compacted, EpochBegun, EpochBody, EpochPolicy, LogHead, MISSING_IDS_MAX, MissingBody, MissingIds,
    NumberedOp, PageAnswer, PageBuffer, PageEnd, PushBody, PushResults, QuarantineAction, QuarantineBody,
    QuarantinePage, QuarantinedOp, ShimPushed, answer, read_answer, read_body,
};
pub use op::{
    CONFLICT_ID_PREFIX, ENTITY_MAX_BYTES, FIELD_MAX_BYTES, FOREIGN_HLC_MAX_BYTES, FerryOp, KIND_MAX_BYTES,
    MERGED_TEXT_ID_PREFIX, OP_ID_BYTES, OP_LIST_MAX, OpBody, OpKind, ReceivedOp, UnfitOp, foreign_id,
    is_op_id, parse_op,
};
pub use query::{PULL_BYTES, PULL_BYTES_MAX, PULL_LIMIT, PULL_LIMIT_MAX, PullQuery, read_number};
pub use rpc::{
    AppendParams, Health, OpDraft, OpProblem, RPC_LINE_MAX_BYTES, RpcAnswer, RpcFault, RpcFaultData,
    RpcRequest, SYNC_NOW_TIMEOUT_MS, SpokeCall, SpokeErrorCode, SyncCounts, SyncNowParams, SyncStatus,
    rpc_answer, rpc_code,
};
pub use skip::{BadSkip, SKIP_RANGES_MAX, Skip};
pub use snapshot::{
    SNAPSHOT_FERRY, SNAPSHOT_VERSION, SnapshotHeader, SnapshotLine, SnapshotLines, SnapshotReader,
};
pub use sse::{LiveEvent, LiveReader, LiveReady, PING, SSE_EVENT_MAX_BYTES, bye, nudge, op_event, resync};
pub use tokens::{VALUE_DEPTH_MAX, json_text};
pub use views::{
    ConflictFilter, ConflictPage, ConflictReason, ConflictSide, ConflictStatus, ConflictsListParams,
    EntityEntry, EntityGetParams, EntityListParams, EntityPage, EntityView, OpConflict, ResolveParams,
    ResolveTake, VIEW_LIMIT, VIEW_LIMIT_MAX, WrittenOp, WrittenOps,
};

/// A message that is not what it should be; says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOpsMessage(pub String);

/// Content type of snapshots.
pub const SNAPSHOT_CONTENT_TYPE: &str = "application/x-ndjson";
