//! Streams of server-sent events (WHATWG HTML, section 9.2), read piece by piece, as the hub writes them.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{ClientError, Result};

/// Longest event that is read; the hub takes none that is larger.
const BLOCK_MAX_BYTES: usize = 128 << 20;

/// An event: its members, empty where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: String,
}

/// An open stream.
pub(crate) struct SseStream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl SseStream {
    pub(crate) const fn new(body: Incoming) -> Self {
        Self { body, buffer: Vec::new() }
    }

    /// The next event; `None` at the end, which comes without a word when the connection breaks.
    ///
    /// # Errors
    /// `UNVERIFIED` if what comes is no stream of events.
    pub(crate) async fn next(&mut self) -> Result<Option<SseEvent>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(Some(event(&String::from_utf8_lossy(&block))));
            }
            let Some(Ok(frame)) = self.body.frame().await else { return Ok(None) };
            if let Ok(piece) = frame.into_data() {
                self.buffer.extend_from_slice(&piece);
            }
            if self.buffer.len() > BLOCK_MAX_BYTES {
                return Err(ClientError::unverified("the stream holds an event that is too large"));
            }
        }
    }
}

/// The event of a block.
pub(crate) fn event(block: &str) -> SseEvent {
    let mut found = SseEvent::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", value)) => value.clone_into(&mut found.id),
            Some(("event", value)) => value.clone_into(&mut found.name),
            Some(("data", value)) => value.clone_into(&mut found.data),
            _ => {}
        }
    }
    found
}
