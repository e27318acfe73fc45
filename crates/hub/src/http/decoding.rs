//! Memory of what is decoded: a body takes many times its bytes from its decoding to its commit. So large ones are
//! decoded a few at a time, for the whole hub and each model by itself (WEB-11).

use std::{sync::Arc, time::Duration};

use ferry_types::{
    Error, Reason, Result,
    limits::{DECODE_WAIT_MAX_MS, DECODED_FREE_BYTES},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hands out turns.
pub(crate) struct Decoding {
    max_bytes: usize,
    bytes: Arc<Semaphore>,
    /// What is told to those whose turn does not come.
    busy: &'static str,
}

/// A body's turn; it goes with what was decoded, to its commit.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Decoding {
    /// Bodies of `max_bytes` together; `busy` says what is better done than waiting.
    pub(crate) fn new(max_bytes: usize, busy: &'static str) -> Self {
        Self { max_bytes, bytes: Arc::new(Semaphore::new(max_bytes)), busy }
    }

    /// The turn of a body of so many bytes. Small ones need not wait behind large ones.
    ///
    /// # Errors
    /// `BUSY` if it does not come in time.
    pub(crate) async fn turn(&self, bytes: usize) -> Result<Turn> {
        if bytes <= DECODED_FREE_BYTES {
            return Ok(Turn { _permit: None });
        }
        let weight = u32::try_from(bytes.min(self.max_bytes)).expect("BUG: it is a few megabytes");
        let longest = Duration::from_millis(DECODE_WAIT_MAX_MS);
        match tokio::time::timeout(longest, Arc::clone(&self.bytes).acquire_many_owned(weight)).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: Some(permit) }),
            _ => Err(Error::new(Reason::Busy, self.busy).retry_after_ms(1000)),
        }
    }
}
