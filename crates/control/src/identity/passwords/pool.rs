//! Turns at password hashing (PWD-04): few at once, few waiting, on threads of low priority.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferry_auth::password::Hasher;
use ferry_types::{
    Error, Reason, Result,
    limits::{PASSWORD_WAIT_MAX_MS, PASSWORD_WAITERS_MAX},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The password hasher and the queue in front of it.
pub(crate) struct PasswordPool {
    hasher: Hasher,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to hash: one piece of work on a thread of its own.
pub(crate) struct HashingTurn {
    hasher: Hasher,
    permit: OwnedSemaphorePermit,
}

impl PasswordPool {
    pub(crate) fn new(hasher: Hasher, concurrency: usize) -> Self {
        Self { hasher, turns: Arc::new(Semaphore::new(concurrency.max(1))), waiting: AtomicUsize::new(0) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `BUSY` when too many wait already, or none came in time.
    pub(crate) async fn turn(&self) -> Result<HashingTurn> {
        let permit = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        Ok(HashingTurn { hasher: self.hasher.clone(), permit })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit> {
        let _waiter = Waiter::new(&self.waiting)?;
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(Duration::from_millis(PASSWORD_WAIT_MAX_MS), turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

impl HashingTurn {
    /// Runs `work` on a thread of its own, which gives way to all others: whoever logs in waits anyway, whoever syncs
    /// must not. The turn ends with the work, even if the caller has gone before.
    ///
    /// # Errors
    /// Internal, if `work` panicked or the system has no thread.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T> {
        let Self { hasher, permit } = self;
        let (reply, done) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("password".to_owned()).spawn(move || {
            yield_to_others();
            let value = work(&hasher);
            drop(permit);
            // A caller that has gone is told nothing.
            let _ = reply.send(value);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread to hash a password on");
            return Err(Error::internal());
        }
        done.await.map_err(|_| {
            tracing::error!("password hashing panicked");
            Error::internal()
        })
    }
}

/// Lowers the priority of this thread. Only Linux has one for each thread; elsewhere nothing is done.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, HASHING_NICE) {
        tracing::debug!(%error, "the priority of a hashing thread");
    }
}

/// Nice value of threads that hash: a tenth of an ordinary thread's share while both want to run.
#[cfg(target_os = "linux")]
const HASHING_NICE: i32 = 10;

/// One call that waits, counted while it does.
struct Waiter<'pool>(&'pool AtomicUsize);

impl<'pool> Waiter<'pool> {
    fn new(waiting: &'pool AtomicUsize) -> Result<Self> {
        let place = waiting.fetch_add(1, Ordering::Relaxed);
        let waiter = Self(waiting);
        metrics::gauge!("ferry_password_queue").increment(1);
        if place >= PASSWORD_WAITERS_MAX { Err(busy()) } else { Ok(waiter) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("ferry_password_queue").decrement(1);
    }
}

fn busy() -> Error {
    let message = "too many logins at once: try again in a few seconds";
    Error::new(Reason::Busy, message).retry_after_ms(PASSWORD_WAIT_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: PWD-04
    #[tokio::test(start_paused = true)]
    async fn waiters_are_few_and_do_not_wait_for_ever() {
        let pool = Arc::new(PasswordPool::new(Hasher::new(8, 1, 1).unwrap(), 1));
        let held = pool.turn().await.unwrap();
        let waiters: Vec<_> = (0..PASSWORD_WAITERS_MAX)
            .map(|_| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { pool.turn().await.map(drop) })
            })
            .collect();
        while pool.waiting.load(Ordering::Relaxed) < PASSWORD_WAITERS_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.turn().await.err().map(|error| error.reason), Some(Reason::Busy), "one too many");
        for waiter in waiters {
            let outcome = waiter.await.unwrap();
            assert_eq!(outcome.unwrap_err().reason, Reason::Busy, "waited too long");
        }
        drop(held);
        assert_eq!(pool.turn().await.unwrap().run(|_| 7).await, Ok(7));
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
    }
}
