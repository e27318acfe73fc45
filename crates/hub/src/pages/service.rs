//! What page sync keeps beside the hub.

use std::sync::Arc;

use ferry_http_client::HttpClient;
use tokio::sync::Semaphore;

use crate::config::PagesConfig;

/// Checks of pushed images that run at once, of all databases.
const IMAGE_CHECKS_MAX: usize = 2;

/// Page sync's state of the whole hub.
pub struct PagesService {
    /// Turns of the checks of pushed images (PAG-19).
    pub(super) image_checks: Semaphore,
}

impl PagesService {
    pub(crate) fn new(_: &PagesConfig, _: &Arc<HttpClient>) -> Self {
        Self { image_checks: Semaphore::new(IMAGE_CHECKS_MAX) }
    }
}
