//! What functions keep beside the hub.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ferry_core::functions::live::SocketId;
use ferry_functions::Processes;
use ferry_http_client::HttpClient;
use tokio::sync::{Semaphore, mpsc};

use super::{call::CpuScheduler, logs::LogRings};
use crate::{
    config::{FunctionsConfig, Isolation},
    database::Database,
};

/// Threads that run JavaScript beside the writers, for each core.
const THREADS_PER_CORE: usize = 32;
/// Of these, for each core, one database has so many.
const THREADS_PER_CORE_OF_DATABASE: usize = 2;

/// Threads on which calls wait, for a writer, a snapshot or CPU, of all databases together.
const WAITING_THREADS: usize = 512;

/// Threads that calls hold at most. Who holds a writer takes another one for each step: if calls that wait for it could have them
/// all, nobody would ever go on.
#[must_use]
pub fn threads_max() -> usize {
    cores() * THREADS_PER_CORE + WAITING_THREADS
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Threads that run JavaScript of one database beside its writer.
pub(super) fn threads_of_database() -> usize {
    cores() * THREADS_PER_CORE_OF_DATABASE
}

/// Functions' state of the whole hub.
pub struct FunctionsService {
    /// For `fetch`.
    pub(super) http_client: Arc<HttpClient>,
    /// Places on threads that run JavaScript.
    pub(super) threads: Arc<Semaphore>,
    /// Threads on which calls wait.
    pub(super) waiting_threads: Arc<Semaphore>,
    /// Where functions run, if not in this process.
    pub(super) processes: Option<Processes>,
    /// CPU of calls that take long.
    pub(super) cpu: Arc<CpuScheduler>,
    /// Bytes of kept results, of all databases.
    pub(super) cached_bytes: Arc<AtomicUsize>,
    /// What functions wrote to the console.
    pub(super) logs: LogRings,
    next_socket: AtomicU64,
    /// Databases whose live results nobody looks after yet; one at most of each.
    needed: mpsc::UnboundedSender<Arc<Database>>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Arc<Database>>>>,
}

impl FunctionsService {
    pub(crate) fn new(config: &FunctionsConfig, http_client: &Arc<HttpClient>) -> Self {
        let (needed, receiver) = mpsc::unbounded_channel();
        Self {
            http_client: Arc::clone(http_client),
            threads: Arc::new(Semaphore::new(cores() * THREADS_PER_CORE)),
            waiting_threads: Arc::new(Semaphore::new(WAITING_THREADS)),
            processes: (config.isolation == Isolation::Process).then(|| Processes::new(config.processes)),
            // One core at least is left to those that do not.
            cpu: Arc::new(CpuScheduler::new(cores().saturating_sub(1).max(1))),
            cached_bytes: Arc::default(),
            logs: LogRings::new(config.log_bytes),
            next_socket: AtomicU64::new(1),
            needed,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// A name that no socket had before.
    pub(super) fn new_socket(&self) -> SocketId {
        SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed))
    }

    /// Sees to it that a task looks after the live results of the database, if there are any.
    pub(super) fn look_after(&self, database: &Arc<Database>) {
        let state = &database.models().functions;
        let is_needed = state.look_at_live(|live| !live.queries.is_empty()).unwrap_or(false);
        if is_needed && !state.has_task.swap(true, Ordering::AcqRel) {
            // The receiver goes with the hub.
            let _ = self.needed.send(Arc::clone(database));
        }
    }

    /// The databases that are to be looked after; once.
    pub(super) fn take_needed(&self) -> Option<mpsc::UnboundedReceiver<Arc<Database>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
