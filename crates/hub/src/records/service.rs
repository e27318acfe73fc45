//! What record sync keeps beside the hub.

use std::sync::Arc;

use ferry_http_client::HttpClient;

use ferry_types::limits::RECORDS_DECODED_MAX_BYTES;

use super::billing::Billing;
use crate::{config::RecordsConfig, http::Decoding};

/// What a push is told that found too many before it.
const TOO_MANY: &str =
    "too many large pushes of records at once: try again later, or send fewer changes at once";

/// Record sync's state of the whole hub.
pub struct RecordsService {
    /// Who may sync, as the billing service says.
    pub(super) billing: Billing,
    /// Large pushes take turns.
    pub(super) decoding: Decoding,
}

impl RecordsService {
    pub(crate) fn new(config: &RecordsConfig, http_client: &Arc<HttpClient>) -> Self {
        let decoding = Decoding::new(RECORDS_DECODED_MAX_BYTES, TOO_MANY);
        Self { billing: Billing::new(config, http_client), decoding }
    }
}
