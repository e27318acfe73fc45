//! What record sync keeps beside the hub.

use std::sync::Arc;

use ferry_http_client::HttpClient;

use super::{billing::Billing, decoding::Decoding};
use crate::config::RecordsConfig;

/// Record sync's state of the whole hub.
pub struct RecordsService {
    /// Who may sync, as the billing service says.
    pub(super) billing: Billing,
    /// Large pushes take turns.
    pub(super) decoding: Decoding,
}

impl RecordsService {
    pub(crate) fn new(config: &RecordsConfig, http_client: &Arc<HttpClient>) -> Self {
        Self { billing: Billing::new(config, http_client), decoding: Decoding::default() }
    }
}
