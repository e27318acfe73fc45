//! What a call holds of what all calls share: a place among those that run, a thread, CPU. Who waits holds none of it, and who
//! runs for long comes after the others.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_functions::{CpuMeter, FunctionCall};
use ferry_types::{DatabaseId, Error, Result};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    PlannedCall,
    cpu_scheduler::{CpuSlot, NoCpu},
    end::CallEnd,
};
use crate::{functions::deployed::LoadedFunctions, hub::Hub};

/// CPU after which a call runs for long: the next ones come first.
const SHORT: Duration = Duration::from_millis(10);
/// CPU that one which runs for long uses before others that do have a turn.
const SLICE: Duration = Duration::from_millis(20);
/// Heap that a call which waits counts once for; larger ones count as several.
const WAITING_HEAP_BYTES: u64 = 2 << 20;
/// CPU below which nobody makes a large heap.
const HEAP_LOOK: Duration = Duration::from_millis(2);

/// What a call holds. All clones are of one call.
#[derive(Clone)]
pub(super) struct CallResources(Arc<Shared>);

struct Shared {
    hub: Arc<Hub>,
    database: DatabaseId,
    deployed: Arc<LoadedFunctions>,
    /// When its time is over.
    over: Instant,
    held: Mutex<HeldResources>,
}

#[derive(Default)]
struct HeldResources {
    /// Its place among the calls that run. At each time it holds this, or `waiting`.
    running: Option<OwnedSemaphorePermit>,
    /// Its place among those that wait: for the outside, for the writer, for CPU.
    waiting: Option<OwnedSemaphorePermit>,
    /// The right to a thread, of its database and of the hub.
    thread: Option<[OwnedSemaphorePermit; 2]>,
    slot: Option<CpuSlot>,
    /// CPU of the call at which others come first.
    until: Duration,
    /// Why it may not go on.
    end: Option<CallEnd>,
}

impl CallResources {
    /// A place among the calls that run, as soon as there is one.
    ///
    /// # Errors
    /// `BUSY` when there was none for long.
    pub(super) async fn begin(plan: &PlannedCall) -> Result<Self> {
        let over = Instant::now() + Duration::from_millis(plan.hub.config.functions.wall_ms);
        let running = Arc::clone(&plan.deployed.running).acquire_owned();
        let Ok(Ok(running)) = timeout_at(over, running).await else { return Err(too_many()) };
        let held = HeldResources { running: Some(running), until: SHORT, ..HeldResources::default() };
        Ok(Self(Arc::new(Shared {
            hub: Arc::clone(&plan.hub),
            database: plan.database.id(),
            deployed: Arc::clone(&plan.deployed),
            over,
            held: Mutex::new(held),
        })))
    }

    /// When the call's time is over.
    pub(super) fn over(&self) -> Instant {
        self.0.over
    }

    /// Takes what a step needs, unless the call has it. False if its time was over first. Who holds the writer takes nothing: he waits for
    /// nobody who may wait for it.
    pub(super) async fn begin_step(&self, holds_writer: bool) -> bool {
        if holds_writer {
            return true;
        }
        let taken = async {
            if self.lock().running.is_none() {
                let running = Arc::clone(&self.0.deployed.running).acquire_owned().await.ok()?;
                let mut held = self.lock();
                held.running = Some(running);
                held.waiting = None;
            }
            if self.lock().thread.is_some() {
                return Some(());
            }
            let of_database = Arc::clone(&self.0.deployed.threads).acquire_owned().await.ok()?;
            let of_hub = Arc::clone(&self.0.hub.services.functions.threads).acquire_owned().await.ok()?;
            self.lock().thread = Some([of_database, of_hub]);
            Some(())
        };
        matches!(timeout_at(self.0.over, taken).await, Ok(Some(())))
    }

    /// The step is over.
    pub(super) fn end_step(&self) {
        let mut held = self.lock();
        (held.thread, held.slot) = (None, None);
    }

    /// The call waits between two steps. False if there is no room for it.
    pub(super) fn wait(&self, call: &FunctionCall, holds_writer: bool) -> bool {
        if holds_writer {
            return true;
        }
        let heap_bytes = if call.cpu().used() < HEAP_LOOK { 0 } else { call.heap_bytes() };
        let count = u32::try_from(heap_bytes.div_ceil(WAITING_HEAP_BYTES)).unwrap_or(u32::MAX).max(1);
        self.lock().waiting = None;
        self.rest(count)
    }

    /// The step is about to wait on its thread: for the writer, for a snapshot. It may for as long as it holds what it is given;
    /// `None`: there is no room for it.
    pub(super) fn block(&self) -> Option<OwnedSemaphorePermit> {
        let thread = Arc::clone(&self.0.hub.services.functions.waiting_threads).try_acquire_owned();
        let rests = self.rest(1);
        self.end_step();
        thread.ok().filter(|_| rests)
    }

    /// Lets others come first, if it has run for long. False if it may not go on: [`Self::end`] tells why.
    pub(super) fn go_on(&self, cpu: &CpuMeter) -> bool {
        let used = cpu.used();
        let (goes_on, is_long) = {
            let held = self.lock();
            let is_over = held.end.is_some() || used < held.until;
            (is_over.then_some(held.end.is_none()), held.until > SHORT)
        };
        if let Some(goes_on) = goes_on {
            if is_long {
                // Whoever woke on this core meanwhile need not wait until the system ends this thread's slice.
                std::thread::yield_now();
            }
            return goes_on;
        }
        let slot = if let Some(_waits) = self.block() {
            let at_most = self.0.over.saturating_duration_since(Instant::now());
            let taken = self.0.hub.services.functions.cpu.take(self.0.database, at_most);
            taken.map_err(|why| match why {
                NoCpu::Full => CallEnd::Refused(too_many()),
                NoCpu::TooLate => CallEnd::RanTooLong,
            })
        } else {
            Err(CallEnd::Refused(too_many()))
        };
        let mut held = self.lock();
        held.until = used + SLICE;
        match slot {
            Ok(slot) => held.slot = Some(slot),
            Err(end) => held.end = Some(end),
        }
        held.end.is_none()
    }

    /// Why it may not go on.
    pub(super) fn end(&self) -> Option<CallEnd> {
        self.lock().end.clone()
    }

    /// Gives up its place among those that run for one, or several, among those that wait.
    fn rest(&self, count: u32) -> bool {
        let mut held = self.lock();
        if held.waiting.is_none() {
            let waiting = Arc::clone(&self.0.deployed.waiting).try_acquire_many_owned(count);
            let Ok(waiting) = waiting else { return false };
            held.waiting = Some(waiting);
        }
        held.running = None;
        true
    }

    fn lock(&self) -> MutexGuard<'_, HeldResources> {
        // Nothing panics while it holds the lock.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call is told that there is no room for.
pub(super) fn too_many() -> Error {
    Error::new(ferry_types::Reason::Busy, "too many waiting calls.").retry_after_ms(1000)
}
