//! The newest commit of a database, and who waits for a later one.

use std::sync::atomic::{AtomicU64, Ordering};

use ferry_core::topic::Wake as _;
use ferry_types::Seq;

use crate::Wakeup;

/// The newest commit since the database is held, and who waits for a later one. A number and a wake-up: nobody needs
/// the commits in between.
#[derive(Debug, Default)]
pub(crate) struct NewestSeq {
    seq: AtomicU64,
    wakeup: Wakeup,
}

impl NewestSeq {
    pub(crate) fn reached(&self, seq: Seq) {
        self.seq.store(seq.0, Ordering::Release);
        self.wakeup.wake();
    }

    pub(crate) fn now(&self) -> Seq {
        Seq(self.seq.load(Ordering::Acquire))
    }

    pub(crate) async fn wait_for(&self, least: Seq) {
        loop {
            let mut notified = std::pin::pin!(self.wakeup.notified());
            notified.as_mut().enable();
            if self.seq.load(Ordering::Acquire) >= least.0 {
                return;
            }
            notified.await;
        }
    }
}
