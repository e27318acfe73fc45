//! What functions keep beside the hub.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ferry_core::functions::live::SocketId;
use ferry_http_client::HttpClient;
use tokio::sync::Semaphore;

use crate::config::FunctionsConfig;

/// Threads that run JavaScript beside the writers, for each core.
const THREADS_PER_CORE: usize = 4;

/// Functions' state of the whole hub.
pub struct FunctionsService {
    /// For `fetch`.
    pub(super) http_client: Arc<HttpClient>,
    /// Places on threads that run JavaScript.
    pub(super) threads: Arc<Semaphore>,
    /// Bytes of kept results, of all databases.
    pub(super) cached_bytes: Arc<AtomicUsize>,
    next_socket: AtomicU64,
}

impl FunctionsService {
    pub(crate) fn new(_: &FunctionsConfig, http_client: &Arc<HttpClient>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            http_client: Arc::clone(http_client),
            threads: Arc::new(Semaphore::new(cores * THREADS_PER_CORE)),
            cached_bytes: Arc::default(),
            next_socket: AtomicU64::new(1),
        }
    }

    /// A name that no socket had before.
    pub(super) fn new_socket(&self) -> SocketId {
        SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed))
    }
}
