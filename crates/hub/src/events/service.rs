//! What event sync keeps beside the hub.

use std::sync::Arc;

use ferry_http_client::HttpClient;

use super::{clients::Clients, hooks::Hooks};
use crate::config::EventsConfig;

/// Event sync's state of the whole hub.
pub struct EventsService {
    /// The operator's programs that are asked and told.
    pub(super) hooks: Arc<Hooks>,
    /// What is known of clients that do not get on.
    pub(super) clients: Clients,
}

impl EventsService {
    pub(crate) fn new(config: &EventsConfig, _: &Arc<HttpClient>) -> Self {
        Self { hooks: Arc::new(Hooks::new(config.hooks.clone())), clients: Clients::default() }
    }
}
