//! The newest events of a store in memory: pages cut once and encoded at most once for all subscribers.
//!
//! A page is as long as one push, or a part of it. Subscribers that keep up stand between two pages; whoever stands
//! elsewhere reads the log.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use ferry_protocol::events::{Event, PageBody, PageInfo, write_sse};

use super::{PAGE_MAX_BYTES, PAGE_MAX_EVENTS, append::size_of_event};

/// Events that a tail keeps at most, if it holds more than one page.
const TAIL_MAX_EVENTS: usize = 1000;
/// Bytes that a tail keeps at most, if it holds more than one page.
const TAIL_MAX_BYTES: usize = 1 << 20;
/// What an event's frame adds to its own bytes at most, roughly: keys and the time.
const EVENT_OVERHEAD_BYTES: usize = 256;
/// Bytes of raw events after which a page is cut. The rest up to the limit of a frame is room for the escapes in a
/// hundred names and ids.
const CUT_BYTES: usize = 300_000;

/// One page of the tail.
#[derive(Debug)]
pub struct TailPage {
    /// Number of the event before the first one.
    pub after: i64,
    /// Number of the last event.
    pub last: i64,
    events: Box<[Event]>,
    created_at: Arc<str>,
    backend_id: Arc<str>,
    commit_seq: u64,
    bytes: usize,
    encoded: OnceLock<(Bytes, usize)>,
    sse: OnceLock<Bytes>,
}

impl TailPage {
    /// How many events it holds; one at least.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    /// The page as the last of a Pull: the bytes behind a Chunk's prefix.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.encoded().0
    }

    /// The page as server-sent events.
    #[must_use]
    pub fn sse(&self) -> &Bytes {
        self.sse.get_or_init(|| {
            let mut text = String::with_capacity(self.bytes + 64 * self.events.len());
            for event in &self.events {
                write_sse(&mut text, &event.committed(&self.created_at), self.commit_seq);
            }
            text.into()
        })
    }

    /// The encoded events alone.
    fn encoded_events(&self) -> &str {
        let (body, events_end) = self.encoded();
        std::str::from_utf8(&body[PageBody::default().len()..*events_end]).unwrap_or_default()
    }

    fn encoded(&self) -> &(Bytes, usize) {
        self.encoded.get_or_init(|| {
            let mut body = PageBody::with_capacity(self.bytes + 128);
            for event in &self.events {
                body.push(&event.committed(&self.created_at));
            }
            let events_end = body.len();
            (body.finish(PageInfo::NoMore, &self.backend_id), events_end)
        })
    }

    /// The events with the time of their commit.
    pub fn events(&self) -> (&[Event], &str) {
        (&self.events, &self.created_at)
    }
}

/// What follows a cursor.
#[derive(Clone, Debug)]
pub enum Next {
    /// Nothing yet.
    Nothing,
    /// These pages, in order, which fit one frame; and how many events lie between them and the end asked for.
    Pages(Vec<Arc<TailPage>>, u64),
    /// Something that is not in memory: read the log.
    Read,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tail {
    pages: VecDeque<Arc<TailPage>>,
    events: usize,
    bytes: usize,
    head: i64,
}

impl Tail {
    /// An empty tail of a log whose newest event is `head`.
    #[must_use]
    pub fn at(head: i64) -> Self {
        Self { head, ..Self::default() }
    }

    /// Number of the newest event.
    #[must_use]
    pub const fn head(&self) -> i64 {
        self.head
    }

    /// Takes a committed batch in. What a tail knows already is left out; after a gap, which only a change behind
    /// the hub's back makes, the tail starts afresh.
    pub fn publish(
        &mut self,
        batch: Vec<Event>,
        created_at: &Arc<str>,
        backend_id: &Arc<str>,
        commit_seq: u64,
    ) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        let (after, head) = (first.parent_seq_num, last.seq_num);
        if head <= self.head {
            return;
        }
        if after != self.head {
            *self = Self::at(after);
        }
        for events in cut(batch) {
            let bytes = events.iter().map(|event| size_of_event(event) + EVENT_OVERHEAD_BYTES).sum();
            let (after, last) = (events[0].parent_seq_num, events[events.len() - 1].seq_num);
            self.events += events.len();
            self.bytes += bytes;
            let (created_at, backend_id) = (Arc::clone(created_at), Arc::clone(backend_id));
            self.pages.push_back(Arc::new(TailPage {
                after,
                last,
                events,
                created_at,
                backend_id,
                commit_seq,
                bytes,
                encoded: OnceLock::new(),
                sse: OnceLock::new(),
            }));
        }
        self.head = head;
        while self.pages.len() > 1 && (self.events > TAIL_MAX_EVENTS || self.bytes > TAIL_MAX_BYTES) {
            if let Some(dropped) = self.pages.pop_front() {
                self.events -= dropped.events.len();
                self.bytes -= dropped.bytes;
            }
        }
    }

    /// What follows `cursor`, up to `upto` (the head, if `None`).
    #[must_use]
    pub fn next(&self, cursor: i64, upto: Option<i64>) -> Next {
        let upto = upto.unwrap_or(self.head);
        if cursor >= upto {
            return Next::Nothing;
        }
        let first = self.pages.partition_point(|page| page.after < cursor);
        if self.pages.get(first).is_none_or(|page| page.after != cursor) {
            return Next::Read;
        }
        let (mut taken, mut events, mut bytes) = (Vec::with_capacity(1), 0, 0);
        let mut rest = self.pages.range(first..).take_while(|page| page.last <= upto).peekable();
        while let Some(page) = rest.peek() {
            events += page.count();
            bytes += page.bytes;
            if !taken.is_empty() && (events > PAGE_MAX_EVENTS || bytes > CUT_BYTES) {
                break;
            }
            taken.extend(rest.next().cloned());
        }
        let remaining = rest.map(|page| u64::from(page.count())).sum();
        if taken.is_empty() { Next::Read } else { Next::Pages(taken, remaining) }
    }
}

/// Cuts a batch into parts that fit one frame each.
fn cut(batch: Vec<Event>) -> Vec<Box<[Event]>> {
    let size = |event: &Event| size_of_event(event) + EVENT_OVERHEAD_BYTES;
    let whole = batch.len() <= PAGE_MAX_EVENTS as usize && batch.iter().map(size).sum::<usize>() <= CUT_BYTES;
    if whole {
        return vec![batch.into()];
    }
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for event in batch {
        let full = part.len() == PAGE_MAX_EVENTS as usize || bytes + size(&event) > CUT_BYTES;
        if full && !part.is_empty() {
            parts.push(std::mem::take(&mut part).into());
            bytes = 0;
        }
        bytes += size(&event);
        part.push(event);
    }
    parts.push(part.into());
    parts
}

/// The bytes behind a Chunk's prefix for these pages. One page that is the last is shared; anything else is put
/// together.
#[must_use]
pub fn body_of(pages: &[Arc<TailPage>], info: PageInfo, backend_id: &str) -> Bytes {
    if let ([page], PageInfo::NoMore) = (pages, info) {
        return page.body().clone();
    }
    let mut body = PageBody::with_capacity(pages.iter().map(|page| page.bytes).sum::<usize>() + 128);
    for page in pages {
        body.extend(page.encoded_events(), page.count());
    }
    debug_assert!(pages.len() <= 1 || body.len() <= PAGE_MAX_BYTES, "pages that fit were chosen");
    body.finish(info, backend_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq_num: i64, parent_seq_num: i64, args_bytes: usize) -> Event {
        Event {
            seq_num,
            parent_seq_num,
            name: "n".into(),
            args: Some(format!("\"{}\"", "x".repeat(args_bytes)).into()),
            client_id: "c".into(),
            session_id: "s".into(),
        }
    }

    fn batch(first: i64, count: i64, args_bytes: usize) -> Vec<Event> {
        (first..first + count).map(|seq| event(seq, seq - 1, args_bytes)).collect()
    }

    fn publish(tail: &mut Tail, batch: Vec<Event>) {
        tail.publish(batch, &"2026-11-20T10:27:52.250Z".into(), &"backend".into(), 7);
    }

    fn pages(next: Next) -> (Vec<(i64, i64)>, u64) {
        match next {
            Next::Pages(pages, remaining) => {
                (pages.iter().map(|page| (page.after, page.last)).collect(), remaining)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cursor_between_pages_gets_what_follows_and_any_other_reads_the_log() {
        let mut tail = Tail::at(4);
        publish(&mut tail, batch(5, 2, 1));
        publish(&mut tail, vec![event(10, 6, 1)]);
        assert_eq!(pages(tail.next(4, None)), (vec![(4, 6), (6, 10)], 0));
        assert_eq!(pages(tail.next(4, Some(6))), (vec![(4, 6)], 0));
        assert_eq!(pages(tail.next(6, None)), (vec![(6, 10)], 0));
        assert!(matches!(tail.next(10, None), Next::Nothing));
        for elsewhere in [0, 3, 5, 7] {
            assert!(matches!(tail.next(elsewhere, None), Next::Read), "{elsewhere}");
        }
    }

    #[test]
    fn a_frame_is_filled_up_to_its_limits() {
        let mut tail = Tail::at(0);
        publish(&mut tail, batch(1, 250, 1));
        assert_eq!(pages(tail.next(0, None)), (vec![(0, 100)], 150));
        for seq in 251..=270 {
            publish(&mut tail, batch(seq, 1, 1));
        }
        assert_eq!(pages(tail.next(200, None)).0.len(), 21);
        publish(&mut tail, batch(271, 5, 150_000));
        assert_eq!(pages(tail.next(270, None)), (vec![(270, 271)], 4));
    }

    #[test]
    fn old_pages_are_dropped_and_the_newest_one_never() {
        let mut tail = Tail::at(0);
        for push in 0..30 {
            publish(&mut tail, batch(push * 50 + 1, 50, 1));
        }
        assert!(matches!(tail.next(0, None), Next::Read));
        assert!(matches!(tail.next(1000, None), Next::Pages(..)));
        publish(&mut tail, batch(1501, 1, 2 << 20));
        assert_eq!(pages(tail.next(1500, None)).0, [(1500, 1501)]);
        assert!(tail.pages.len() == 1);
        publish(&mut tail, batch(1501, 1, 1));
        assert_eq!(tail.head(), 1501, "what is known already changes nothing");
    }

    // Verifies: EVT-71
    #[test]
    fn a_page_is_server_sent_events_too() {
        let mut tail = Tail::at(0);
        publish(&mut tail, batch(1, 2, 1));
        let Next::Pages(both, _) = tail.next(0, None) else { panic!("both are there") };
        let text = std::str::from_utf8(both[0].sse()).unwrap();
        let ids: Vec<_> = text.lines().filter(|line| line.starts_with("id: ")).collect();
        assert_eq!(ids, ["id: 1", "id: 2"]);
        assert_eq!(text.matches("\"seq\":7}\n\n").count(), 2, "{text}");
    }

    #[test]
    fn pages_put_together_are_one_batch() {
        let mut tail = Tail::at(0);
        publish(&mut tail, batch(1, 1, 1));
        publish(&mut tail, batch(2, 1, 1));
        let Next::Pages(both, _) = tail.next(0, None) else { panic!("both are there") };
        let text = body_of(&both, PageInfo::MoreKnown(3), "backend");
        let frame = format!("[{}", std::str::from_utf8(&text[..text.len() - 1]).unwrap());
        assert!(frame.contains("\"seqNum\":1,") && frame.contains("},{\"eventEncoded\""), "{frame}");
        assert!(frame.contains("\"remaining\":3"), "{frame}");
    }
}
