//! A live stream of events: server-sent events, read piece by piece.

use hyper::body::Incoming;

use crate::{
    ClientError, Result,
    sse::{SseEvent, SseStream},
};

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
pub struct LiveEvents(SseStream);

impl LiveEvents {
    pub(super) const fn new(body: Incoming) -> Self {
        Self(SseStream::new(body))
    }

    /// The next item; `None` at the end, which comes without a word when the connection breaks.
    ///
    /// # Errors
    /// `UNVERIFIED` if what comes is no stream of events.
    pub async fn next(&mut self) -> Result<Option<LiveItem>> {
        while let Some(event) = self.0.next().await? {
            if let Some(item) = item(event)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }
}

/// The item of an event, if it holds one.
fn item(event: SseEvent) -> Result<Option<LiveItem>> {
    match (&*event.name, event.id.parse().ok()) {
        ("event", Some(id)) => Ok(Some(LiveItem::Event(id, event.data))),
        ("event", None) => Err(ClientError::unverified("the stream holds an event without a number")),
        ("reset", _) => Ok(Some(LiveItem::Reset)),
        ("bye", _) => Ok(Some(LiveItem::Bye)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(block: &str) -> Result<Option<LiveItem>> {
        super::item(crate::sse::event(block))
    }

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
