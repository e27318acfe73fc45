//! What page sync keeps beside the hub.

use std::sync::Arc;

use ferry_http_client::HttpClient;
use ferry_types::limits::{PAGES_BODIES_MADE_AT_ONCE, PAGES_PIECES_MADE_AT_ONCE};
use tokio::sync::Semaphore;

use super::{body_cache::BodyCache, lookup::VersionLookups};
use crate::config::PagesConfig;

/// Checks of pushed images that run at once, of all databases.
const IMAGE_CHECKS_MAX: usize = 2;

/// Page sync's state of the whole hub.
pub struct PagesService {
    /// Turns of the checks of pushed images (PAG-19).
    pub(super) image_checks: Semaphore,
    /// Turns of the making of bodies.
    pub(super) body_turns: Arc<Semaphore>,
    /// Turns of the making of the pieces of long answers.
    pub(super) piece_turns: Arc<Semaphore>,
    /// Turns of the reading of what arrives of pushed bodies.
    pub(super) upload_turns: Arc<Semaphore>,
    /// Turns of the looking up of old versions.
    pub(super) lookups: VersionLookups,
    /// Bodies that further readers may want.
    pub(super) bodies: BodyCache,
}

impl PagesService {
    pub(crate) fn new(config: &PagesConfig, _: &Arc<HttpClient>) -> Self {
        Self {
            image_checks: Semaphore::new(IMAGE_CHECKS_MAX),
            body_turns: Arc::new(Semaphore::new(PAGES_BODIES_MADE_AT_ONCE)),
            piece_turns: Arc::new(Semaphore::new(PAGES_PIECES_MADE_AT_ONCE)),
            upload_turns: Arc::new(Semaphore::new(PAGES_BODIES_MADE_AT_ONCE)),
            lookups: VersionLookups::default(),
            bodies: BodyCache::new(config.body_cache_bytes),
        }
    }
}
