//! Memory of what is decoded: read field by field, a body of records takes some twenty times its bytes until it is
//! committed. So large ones are decoded a few at a time, for the whole hub (WEB-11).

use std::{sync::Arc, time::Duration};

use ferry_types::{
    Error, Reason, Result,
    limits::{RECORDS_DECODE_WAIT_MAX_MS, RECORDS_DECODED_FREE_BYTES, RECORDS_DECODED_MAX_BYTES},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hands out turns.
pub(super) struct Decoding(Arc<Semaphore>);

/// A body's turn; it goes with what was decoded, to its commit.
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RECORDS_DECODED_MAX_BYTES)))
    }
}

impl Decoding {
    /// The turn of a body of so many bytes. Small ones need not wait behind large ones.
    ///
    /// # Errors
    /// `BUSY` if it does not come in time.
    pub(super) async fn turn(&self, bytes: usize) -> Result<Turn> {
        if bytes <= RECORDS_DECODED_FREE_BYTES {
            return Ok(Turn { _permit: None });
        }
        let weight = u32::try_from(bytes.min(RECORDS_DECODED_MAX_BYTES)).expect("BUG: it is a few megabytes");
        let longest = Duration::from_millis(RECORDS_DECODE_WAIT_MAX_MS);
        match tokio::time::timeout(longest, Arc::clone(&self.0).acquire_many_owned(weight)).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: Some(permit) }),
            _ => Err(Error::new(
                Reason::Busy,
                "too many large pushes of records at once: try again later, or send fewer changes at once",
            )
            .retry_after_ms(1000)),
        }
    }
}
