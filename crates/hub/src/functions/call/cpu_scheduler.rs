//! CPU for calls that take long: few of the whole hub at a time, database after database, so that endless loops leave all
//! others what they need.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_types::DatabaseId;

/// Calls that may wait for CPU, each on a thread of its own; beyond, only those of databases with few of them.
const QUEUED_MAX: usize = 256;
/// So few.
const QUEUED_OF_DATABASE_MIN: usize = 4;

/// Hands out CPU to calls that take long.
pub(in crate::functions) struct CpuScheduler(Mutex<Queues>);

struct Queues {
    free: usize,
    queued: usize,
    of: HashMap<DatabaseId, VecDeque<Arc<QueuedCall>>>,
    /// The databases that have a queue, the next one first.
    order: VecDeque<DatabaseId>,
}

#[derive(Default)]
struct QueuedCall {
    is_next: Mutex<bool>,
    told: Condvar,
}

/// The right to use CPU for a while; given back when it is dropped.
pub(super) struct CpuSlot(Arc<CpuScheduler>);

/// Why a call gets no CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoCpu {
    /// Too many wait already.
    Full,
    /// Its time was over first.
    TooLate,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CpuScheduler {
    /// So many calls at a time.
    pub(in crate::functions) fn new(slots: usize) -> Self {
        let queues = Queues { free: slots, queued: 0, of: HashMap::new(), order: VecDeque::new() };
        Self(Mutex::new(queues))
    }

    /// Waits on this thread until it is this call's turn.
    pub(super) fn take(self: &Arc<Self>, database: DatabaseId, at_most: Duration) -> Result<CpuSlot, NoCpu> {
        let call = {
            let mut queues = lock(&self.0);
            if queues.free > 0 && queues.order.is_empty() {
                queues.free -= 1;
                return Ok(CpuSlot(Arc::clone(self)));
            }
            queues.push(database).ok_or(NoCpu::Full)?
        };
        let waiting = lock(&call.is_next);
        let (is_next, _) = call
            .told
            .wait_timeout_while(waiting, at_most, |is_next| !*is_next)
            .unwrap_or_else(PoisonError::into_inner);
        if *is_next {
            return Ok(CpuSlot(Arc::clone(self)));
        }
        drop(is_next);
        let mut queues = lock(&self.0);
        // Its turn may have come in between.
        if *lock(&call.is_next) {
            return Ok(CpuSlot(Arc::clone(self)));
        }
        queues.remove(database, &call);
        Err(NoCpu::TooLate)
    }
}

impl Drop for CpuSlot {
    fn drop(&mut self) {
        let mut queues = lock(&self.0.0);
        match queues.pop() {
            Some(next) => {
                *lock(&next.is_next) = true;
                next.told.notify_one();
            }
            None => queues.free += 1,
        }
    }
}

impl Queues {
    fn push(&mut self, database: DatabaseId) -> Option<Arc<QueuedCall>> {
        let own = self.of.get(&database).map_or(0, VecDeque::len);
        if self.queued >= QUEUED_MAX && own >= QUEUED_OF_DATABASE_MIN {
            return None;
        }
        if own == 0 {
            self.order.push_back(database);
        }
        let call: Arc<QueuedCall> = Arc::default();
        self.of.entry(database).or_default().push_back(Arc::clone(&call));
        self.queued += 1;
        Some(call)
    }

    fn pop(&mut self) -> Option<Arc<QueuedCall>> {
        let database = self.order.pop_front()?;
        let queue = self.of.get_mut(&database).expect("BUG: what has its turn has a queue");
        let call = queue.pop_front().expect("BUG: no queue is empty");
        self.queued -= 1;
        if queue.is_empty() {
            self.of.remove(&database);
        } else {
            self.order.push_back(database);
        }
        Some(call)
    }

    fn remove(&mut self, database: DatabaseId, call: &Arc<QueuedCall>) {
        let Some(queue) = self.of.get_mut(&database) else { return };
        let before = queue.len();
        queue.retain(|queued| !Arc::ptr_eq(queued, call));
        self.queued -= before - queue.len();
        if queue.is_empty() {
            self.of.remove(&database);
            self.order.retain(|other| *other != database);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn database(number: u8) -> DatabaseId {
        format!("db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d9021{number:02x}").parse().unwrap()
    }

    fn queued(scheduler: &CpuScheduler, count: usize) {
        while lock(&scheduler.0).queued < count {
            thread::yield_now();
        }
    }

    // Verifies: FUN-19
    #[test]
    fn databases_take_turns_however_many_calls_each_has() {
        let scheduler = Arc::new(CpuScheduler::new(1));
        let first = scheduler.take(database(1), LONG).unwrap();
        let (done, order) = mpsc::channel();
        let mut threads = Vec::new();
        for (place, of) in [1, 1, 1, 2, 3].into_iter().enumerate() {
            let (scheduler, done) = (Arc::clone(&scheduler), done.clone());
            let waiting = Arc::clone(&scheduler);
            threads.push(thread::spawn(move || {
                let slot = scheduler.take(database(of), LONG).unwrap();
                done.send(of).unwrap();
                drop(slot);
            }));
            queued(&waiting, place + 1);
        }
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [1, 2, 3, 1, 1]);
        assert_eq!(lock(&scheduler.0).free, 1);
    }

    #[test]
    fn who_waited_too_long_leaves_nothing_behind() {
        let scheduler = Arc::new(CpuScheduler::new(1));
        let first = scheduler.take(database(1), LONG).unwrap();
        let late = scheduler.take(database(2), Duration::from_millis(1)).err();
        assert_eq!(late, Some(NoCpu::TooLate));
        drop(first);
        let queues = lock(&scheduler.0);
        assert_eq!((queues.free, queues.queued, queues.order.len()), (1, 0, 0));
    }
}
