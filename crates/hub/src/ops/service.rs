//! What op-log sync keeps beside the hub.

use std::sync::Arc;

use ferry_http_client::HttpClient;
use ferry_types::limits::{OPS_DECODED_MAX_BYTES, OPS_SNAPSHOTS_AT_ONCE};
use tokio::sync::Semaphore;

use super::{counts::OpsCounts, schedule::Schedule};
use crate::{config::OpsConfig, http::Decoding};

/// What a push is told that found too many before it.
const TOO_MANY: &str = "too many large pushes of ops at once: try again later, or send fewer ops at once";

/// Op-log sync's state of the whole hub.
pub struct OpsService {
    /// Large pushes take turns.
    pub(super) decoding: Decoding,
    /// Snapshots that are being made take turns: each keeps a thread and the disk busy.
    pub(super) snapshots: Arc<Semaphore>,
    /// When ops come out of the quarantines of databases.
    pub(super) releases: Schedule,
    /// What lies in quarantine, and what is in conflict.
    pub(super) counts: OpsCounts,
}

impl OpsService {
    pub(crate) fn new(config: &OpsConfig, _: &Arc<HttpClient>) -> Self {
        // One body at least.
        let decoded_max_bytes = OPS_DECODED_MAX_BYTES.max(config.body_max_bytes);
        Self {
            decoding: Decoding::new(decoded_max_bytes, TOO_MANY),
            snapshots: Arc::new(Semaphore::new(OPS_SNAPSHOTS_AT_ONCE)),
            releases: Schedule::default(),
            counts: OpsCounts::default(),
        }
    }
}
