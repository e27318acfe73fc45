//! Contexts of one program, kept warm between calls: a fresh one costs milliseconds.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crate::{
    function_call::{FunctionCall, Instance, PoolPlace},
    load_error::LoadError,
    process::HoldsProcesses,
    program::Program,
};

/// Contexts of one program, bounded in number. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    program: Program,
    contexts_max: usize,
    /// Contexts that live, at work or idle.
    live: Arc<AtomicUsize>,
    /// The one that was used last is last, so that the others grow old and can go.
    idle: Mutex<Vec<Instance>>,
    is_retired: AtomicBool,
    /// Counts how often idle contexts were ended.
    round: AtomicU64,
}

/// Why there is no context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// All are at work.
    #[error("all contexts of the program are at work")]
    Full,
    /// A fresh one could not be made.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Pool {
    /// No context is made yet.
    #[must_use]
    pub fn new(program: Program, contexts_max: usize) -> Self {
        let pool = Self(Arc::new(Inner {
            program,
            contexts_max,
            live: Arc::default(),
            idle: Mutex::default(),
            is_retired: AtomicBool::new(false),
            round: AtomicU64::new(0),
        }));
        if let Some(processes) = pool.program().processes() {
            let weak: Weak<Inner> = Arc::downgrade(&pool.0);
            processes.known(weak);
        }
        pool
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.0.program
    }

    /// A warm context, or a fresh one.
    ///
    /// # Errors
    /// When all are at work, or the program cannot be evaluated any more.
    pub fn take(&self, now_ms: u64) -> Result<Instance, TakeError> {
        let warm = self.idle_list().pop();
        if let Some(instance) = warm {
            return Ok(instance);
        }
        let live = &self.0.live;
        let grow = |live| (live < self.0.contexts_max).then_some(live + 1);
        live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).map_err(|_| TakeError::Full)?;
        let place = PoolPlace(Arc::clone(live));
        let mut instance = self.0.program.instance(now_ms)?;
        instance.place = Some(place);
        Ok(instance)
    }

    /// Takes back the context of a call; one that cannot serve another is dropped (FUN-19).
    pub fn give_back(&self, call: FunctionCall) {
        let instance = call.into_instance();
        if let Some(mut instance) = instance.filter(|_| !self.0.is_retired.load(Ordering::Relaxed)) {
            instance.used = self.0.round.load(Ordering::Relaxed);
            self.idle_list().push(instance);
        }
    }

    /// Lets idle contexts go but for `keep` of them.
    pub fn shrink(&self, keep: usize) {
        let gone: Vec<Instance> = {
            let mut idle = self.idle_list();
            let surplus = idle.len().saturating_sub(keep);
            idle.drain(..surplus).collect()
        };
        drop(gone);
    }

    /// Another program took its place: calls at work end on this one, no context is kept.
    pub fn retire(&self) {
        self.0.is_retired.store(true, Ordering::Relaxed);
        self.shrink(0);
    }

    /// Contexts that wait for a call.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle_list().len()
    }

    /// Contexts that live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::Relaxed)
    }

    fn idle_list(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.0.idle_list()
    }
}

impl Inner {
    fn idle_list(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HoldsProcesses for Inner {
    fn end_one(&self) -> bool {
        let oldest = {
            let mut idle = self.idle_list();
            (!idle.is_empty()).then(|| idle.remove(0))
        };
        oldest.is_some()
    }

    fn end_idle(&self) -> usize {
        let round = self.round.fetch_add(1, Ordering::Relaxed);
        let gone: Vec<Instance> = {
            let mut idle = self.idle_list();
            let kept = idle.iter().position(|instance| instance.used >= round).unwrap_or(idle.len());
            idle.drain(..kept).collect()
        };
        gone.len()
    }
}
