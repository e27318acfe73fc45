//! Running one group on the worker thread that has it, as it stands.
//!
//! `block_in_place` hands the worker's other tasks to another thread first, which costs a lone caller several thread
//! switches: about half of what its commit takes. Without it the runtime's other workers go on as long as there is one,
//! so one group at a time may run so. But a worker that sleeps does not look after sockets and timers when the one that
//! did is blocked. So while a group takes unusually long, as on a slow disk, a watch thread wakes another worker.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
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

/// The runs of one runtime: all its actors share it.
#[derive(Default)]
pub struct InlineRuns {
    running: Mutex<Option<Running>>,
    watch: Mutex<Option<Thread>>,
    is_watching: AtomicBool,
}

struct Running {
    since: Instant,
    runtime: Handle,
}

/// The right to block this worker thread, until it is dropped.
pub(super) struct Inline<'r>(&'r InlineRuns);

impl InlineRuns {
    /// Takes the right, if no other group has it and another worker can go on meanwhile. Asked for by a worker's task.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Inline<'_>> {
        let runtime = Handle::current();
        if runtime.metrics().num_workers() < 2 {
            return None;
        }
        {
            let mut running = match self.running.try_lock() {
                Ok(running) => running,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return None,
            };
            if running.is_some() {
                return None;
            }
            *running = Some(Running { since: Instant::now(), runtime });
        }
        let taken = Inline(self);
        if !self.is_watching.swap(true, Ordering::SeqCst) && !self.wake_watch() {
            self.is_watching.store(false, Ordering::SeqCst);
            return None;
        }
        Some(taken)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing panics while it holds the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watch thread, starting it the first time; false if the system has no thread for it.
    fn wake_watch(self: &Arc<Self>) -> bool {
        let mut thread = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread {
            thread.unpark();
            return true;
        }
        let runs = Arc::downgrade(self);
        let started = thread::Builder::new().name("ferry-watch".into()).spawn(move || watch(&runs));
        *thread = started.ok().map(|started| started.thread().clone());
        thread.is_some()
    }
}

impl Drop for InlineRuns {
    fn drop(&mut self) {
        let watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = watch {
            // It finds that there is nothing to watch any more, and ends.
            thread.unpark();
        }
    }
}

impl Drop for Inline<'_> {
    fn drop(&mut self) {
        *self.0.running() = None;
    }
}

fn watch(runs: &Weak<InlineRuns>) {
    loop {
        let mut in_vain = 0;
        while in_vain < LOOKS_IN_VAIN {
            thread::sleep(WATCH_EVERY);
            let Some(runs) = runs.upgrade() else { return };
            match &*runs.running() {
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
        let Some(held) = runs.upgrade() else { return };
        held.is_watching.store(false, Ordering::SeqCst);
        // A group that began before this line may have relied on being watched.
        let is_needed = held.running().is_some();
        if is_needed {
            held.is_watching.store(true, Ordering::SeqCst);
        }
        drop(held);
        if !is_needed {
            thread::park();
        }
    }
}
