//! When a statement is stopped.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use crate::{memory, monotonic};

/// By how much the memory of the process may grow while a statement runs. SQLite does not tell what one takes.
const GROWTH_MAX_BYTES: u64 = 256 << 20;
/// How often that is looked at.
const LOOK_EVERY_US: u64 = 1000;

const RUNS: u8 = 0;
const TIME: u8 = 1;
const MEMORY: u8 = 2;
const NOBODY: u8 = 3;

/// Why a statement ends before its end.
#[derive(Clone, Default)]
pub(super) struct StopSign(Arc<AtomicU8>);

/// Stops the statement once nobody waits for its answer.
pub(super) struct StopUnheard(pub(super) StopSign);

impl Drop for StopUnheard {
    fn drop(&mut self) {
        self.0.set(NOBODY);
    }
}

impl StopSign {
    /// The limit at which it was stopped.
    pub(super) fn limit(&self) -> &'static str {
        if self.0.load(Ordering::Relaxed) == MEMORY { "memory" } else { "time" }
    }

    fn set(&self, why: u8) {
        let _ = self.0.compare_exchange(RUNS, why, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// What a statement asks that may run for `max_us` from the first time it asks.
    pub(super) fn watch(self, max_us: u64) -> impl FnMut() -> bool + Send + 'static {
        let (mut begun, mut looked_us) = (None, 0);
        move || {
            let now_us = monotonic::now_us();
            let (begun_us, bytes_then) = *begun.get_or_insert_with(|| (now_us, memory::resident_bytes()));
            if now_us >= begun_us.saturating_add(max_us) {
                self.set(TIME);
            } else if now_us >= looked_us + LOOK_EVERY_US {
                looked_us = now_us;
                let growth = bytes_then.zip(memory::resident_bytes());
                let growth = growth.map(|(then, now)| now.saturating_sub(then));
                if growth.is_some_and(|growth| growth > GROWTH_MAX_BYTES) {
                    self.set(MEMORY);
                }
            }
            self.0.load(Ordering::Relaxed) != RUNS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-57
    #[test]
    fn time_and_a_caller_who_left_stop_it() {
        let sign = StopSign::default();
        let mut asks = sign.clone().watch(u64::MAX);
        assert!(!asks());
        drop(StopUnheard(sign));
        assert!(asks());
        let sign = StopSign::default();
        assert!(sign.clone().watch(0)());
        assert_eq!(sign.limit(), "time");
    }
}
