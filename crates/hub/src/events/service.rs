//! What event sync keeps beside the hub.

use std::sync::{Arc, OnceLock};

use ferry_http_client::HttpClient;
use ferry_types::DatabaseId;

use super::{
    clients::Clients,
    hooks::{CallFunctionHooks, Hooks},
};
use crate::{config::EventsConfig, connections::StuckClient};

/// Event sync's state of the whole hub.
pub struct EventsService {
    /// The operator's programs that are asked and told.
    pub(super) hooks: Hooks,
    /// Functions of databases that are.
    pub(super) function_hooks: OnceLock<Box<dyn CallFunctionHooks>>,
    /// What is known of clients that do not get on.
    pub(super) clients: Clients,
}

impl EventsService {
    pub(crate) fn new(config: &EventsConfig, _: &Arc<HttpClient>) -> Self {
        Self {
            hooks: Hooks::new(config.hooks.clone()),
            function_hooks: OnceLock::new(),
            clients: Clients::default(),
        }
    }

    /// Clients of a database that do not get on.
    pub(crate) fn stuck(&self, database: DatabaseId) -> Vec<StuckClient> {
        self.clients.stuck(database)
    }

    /// Says how functions are called that are hooks; once, before anybody connects.
    pub(crate) fn call_function_hooks_by(&self, functions: Box<dyn CallFunctionHooks>) {
        // A second one would be the same.
        let _ = self.function_hooks.set(functions);
    }
}
