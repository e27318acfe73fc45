//! A live stream of events: server-sent events, read piece by piece.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{ClientError, Result};

/// Longest event that is read; the hub takes none that is larger.
const BLOCK_MAX_BYTES: usize = 128 << 20;

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveItem {
    /// An event and its number: JSON on one line.
    Event(i64, String),
    /// The store has another identity: what was read before no longer counts.
    Reset,
    /// The hub ends the stream; it may be opened again behind the last event.
    Bye,
}

/// An open event stream.
pub struct LiveEvents {
    body: Incoming,
    buffer: Vec<u8>,
}

impl LiveEvents {
    pub(super) const fn new(body: Incoming) -> Self {
        Self { body, buffer: Vec::new() }
    }

    /// The next item; `None` at the end, which comes without a word when the connection breaks.
    ///
    /// # Errors
    /// `UNVERIFIED` if what comes is no stream of events.
    pub async fn next(&mut self) -> Result<Option<LiveItem>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(item) = item(&String::from_utf8_lossy(&block))? {
                    return Ok(Some(item));
                }
                continue;
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

/// The item of a block, if it holds one.
fn item(block: &str) -> Result<Option<LiveItem>> {
    let (mut id, mut name, mut data) = (None, "", "");
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", value)) => id = value.parse().ok(),
            Some(("event", value)) => name = value,
            Some(("data", value)) => data = value,
            _ => {}
        }
    }
    match (name, id) {
        ("event", Some(id)) => Ok(Some(LiveItem::Event(id, data.to_owned()))),
        ("event", None) => Err(ClientError::unverified("the stream holds an event without a number")),
        ("reset", _) => Ok(Some(LiveItem::Reset)),
        ("bye", _) => Ok(Some(LiveItem::Bye)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_sent_event_blocks_are_split() {
        assert_eq!(item(": ping\n\n").unwrap(), None);
        assert_eq!(item("retry: 2000\nevent: ready\ndata: {}\n\n").unwrap(), None);
        let event = item("id: 7\nevent: event\ndata: {\"a\": 1}\n\n").unwrap();
        assert_eq!(event, Some(LiveItem::Event(7, "{\"a\": 1}".into())));
        assert_eq!(item("id: 0\nevent: reset\ndata: {}\n\n").unwrap(), Some(LiveItem::Reset));
        assert!(item("event: event\ndata: {}\n\n").is_err());
    }
}
