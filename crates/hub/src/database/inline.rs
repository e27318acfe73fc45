//! Running one group on the worker thread that has it, as it stands.
//!
//! `block_in_place` hands the worker's other tasks to another thread first, which costs a lone caller several thread
//! switches: about half of what its commit takes. Without it the runtime's other workers go on as long as there is one,
//! so one group at a time may run so. But a worker that sleeps does not look after sockets and timers when the one that
//! did is blocked. So while a group takes unusually long, as on a slow disk, a watch thread wakes another worker.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

/// How often the watch looks, and how long a group may take before it wakes a worker.
const WATCH_EVERY: Duration = Duration::from_millis(2);
/// How often it looks in vain before it sleeps until the next group.
const LOOKS_IN_VAIN: u32 = 500;

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);
static WATCH: Mutex<Option<Thread>> = Mutex::new(None);
static IS_WATCHING: AtomicBool = AtomicBool::new(false);

struct Running {
    since: Instant,
    runtime: Handle,
}

/// The right to block this worker thread, until it is dropped.
pub(super) struct Inline(());

impl Inline {
    /// Takes it, if no other group has it and another worker can go on meanwhile. Asked for by a worker's task.
    pub(super) fn begin() -> Option<Self> {
        let runtime = Handle::current();
        if runtime.metrics().num_workers() < 2 {
            return None;
        }
        {
            let mut running = match RUNNING.try_lock() {
                Ok(running) => running,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return None,
            };
            if running.is_some() {
                return None;
            }
            *running = Some(Running { since: Instant::now(), runtime });
        }
        let taken = Self(());
        if !IS_WATCHING.swap(true, Ordering::SeqCst) && !wake_watch() {
            IS_WATCHING.store(false, Ordering::SeqCst);
            return None;
        }
        Some(taken)
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        *running() = None;
    }
}

fn running() -> MutexGuard<'static, Option<Running>> {
    // Nothing panics while it holds the lock.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the watch thread, starting it the first time; false if the system has no thread for it.
fn wake_watch() -> bool {
    let mut thread = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(thread) = &*thread {
        thread.unpark();
        return true;
    }
    let started = thread::Builder::new().name("ferry-watch".into()).spawn(watch);
    *thread = started.ok().map(|started| started.thread().clone());
    thread.is_some()
}

fn watch() {
    loop {
        let mut in_vain = 0;
        while in_vain < LOOKS_IN_VAIN {
            thread::sleep(WATCH_EVERY);
            match &*running() {
                Some(group) => {
                    in_vain = 0;
                    if group.since.elapsed() >= WATCH_EVERY {
                        // Any task from outside wakes a sleeping worker, and that one stays to look after the rest.
                        group.runtime.spawn(async {});
                    }
                }
                None => in_vain += 1,
            }
        }
        IS_WATCHING.store(false, Ordering::SeqCst);
        // A group that began before this line may have relied on being watched.
        if running().is_some() {
            IS_WATCHING.store(true, Ordering::SeqCst);
        } else {
            thread::park();
        }
    }
}
