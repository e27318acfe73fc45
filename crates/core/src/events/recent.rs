//! The newest events of a store, for all its subscribers: pages cut once and encoded at most once, the items of the
//! store's [`Topic`]. Positions are numbers of events.
//!
//! A page is as long as one push, or a part of it. Subscribers that keep up stand between two pages; whoever stands
//! elsewhere reads the log.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ferry_protocol::events::{Event, PageBody, PageInfo, RequestId, chunk, write_sse};

use super::{PAGE_MAX_BYTES, PAGE_MAX_EVENTS, append::size_of_event};
use crate::topic::{After, Retained, Topic, Wake};

/// What a store keeps of its newest events; the weight is bytes.
pub const RETAINED: Retained = Retained { items: 1000, weight: 1 << 20 };
/// What an event's frame adds to its own bytes at most, roughly: keys and the time.
const EVENT_OVERHEAD_BYTES: usize = 256;
/// Bytes of raw events after which a page is cut. The rest up to the limit of a frame is room for the escapes in a
/// hundred names and ids.
const CUT_BYTES: usize = 300_000;

/// The newest pages of a store.
pub type RecentPages<W> = Topic<Arc<RecentPage>, W>;

/// Some consecutive events of one commit.
#[derive(Debug)]
pub struct RecentPage {
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
    /// The frame for the id that was asked for first: clients of one kind name their Pulls alike.
    frame: OnceLock<(RequestId, Bytes)>,
    sse: OnceLock<Bytes>,
}

impl RecentPage {
    /// How many events it holds; one at least.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    /// The page as the last of the Pull `id`, a whole frame.
    #[must_use]
    pub fn frame(&self, id: &RequestId) -> Bytes {
        let (of, frame) = self.frame.get_or_init(|| (id.clone(), chunk(id, &self.encoded().0)));
        if of == id { frame.clone() } else { chunk(id, &self.encoded().0) }
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
}

/// What follows a cursor.
#[derive(Clone, Debug)]
pub enum Following {
    /// Nothing yet.
    Nothing,
    /// These pages, which fit one frame.
    Pages(Pages),
    /// Something that is not in memory: read the log.
    Read,
}

/// Consecutive pages, in order.
#[derive(Clone, Debug)]
pub struct Pages {
    first: Arc<RecentPage>,
    more: Vec<Arc<RecentPage>>,
    /// How many events lie between them and the end that was asked for.
    pub remaining: u64,
}

impl Pages {
    /// Number of the last event.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.more.last().unwrap_or(&self.first).last
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RecentPage>> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The frame of these pages for the Pull `id`: one page that is the last is shared; anything else is put together.
    #[must_use]
    pub fn frame(&self, id: &RequestId, info: PageInfo) -> Bytes {
        if self.more.is_empty() && info == PageInfo::NoMore {
            return self.first.frame(id);
        }
        let mut body = PageBody::with_capacity(self.iter().map(|page| page.bytes).sum::<usize>() + 128);
        for page in self.iter() {
            body.extend(page.encoded_events(), page.count());
        }
        debug_assert!(self.more.is_empty() || body.len() <= PAGE_MAX_BYTES, "pages that fit were chosen");
        chunk(id, &body.finish(info, &self.first.backend_id))
    }
}

/// Takes a committed batch in. What is known already is left out; after a gap, which only a change behind the hub's back
/// makes, subscribers read the log.
pub fn publish<W: Wake>(
    topic: &RecentPages<W>,
    batch: Vec<Event>,
    created_at: &Arc<str>,
    backend_id: &Arc<str>,
    commit_seq: u64,
) {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
    if position(last.seq_num) <= topic.head() {
        return;
    }
    if position(first.parent_seq_num) != topic.head() {
        topic.advance(position(first.parent_seq_num));
    }
    for events in cut(batch) {
        let bytes = events.iter().map(|event| size_of_event(event) + EVENT_OVERHEAD_BYTES).sum();
        let (after, last) = (events[0].parent_seq_num, events[events.len() - 1].seq_num);
        let page = RecentPage {
            after,
            last,
            events,
            created_at: Arc::clone(created_at),
            backend_id: Arc::clone(backend_id),
            commit_seq,
            bytes,
            encoded: OnceLock::new(),
            frame: OnceLock::new(),
            sse: OnceLock::new(),
        };
        topic.publish(position(last), bytes, Arc::new(page));
    }
}

/// The position of the event `seq_num` in a topic.
#[must_use]
pub fn position(seq_num: i64) -> u64 {
    u64::try_from(seq_num).unwrap_or(0)
}

/// What follows `cursor`, up to `upto` (the newest event, if `None`).
#[must_use]
pub fn following<W: Wake>(topic: &RecentPages<W>, cursor: i64, upto: Option<i64>) -> Following {
    if upto.is_some_and(|upto| cursor >= upto) {
        return Following::Nothing;
    }
    let upto = upto.unwrap_or(i64::MAX);
    let found = topic.after(position(cursor), |pages| {
        let mut rest = pages.take_while(|page| page.last <= upto).peekable();
        let first = Arc::clone(rest.next()?);
        let (mut more, mut events, mut bytes) = (Vec::new(), first.count(), first.bytes);
        while let Some(page) = rest.peek() {
            events += page.count();
            bytes += page.bytes;
            if events > PAGE_MAX_EVENTS || bytes > CUT_BYTES {
                break;
            }
            more.extend(rest.next().cloned());
        }
        let remaining = rest.map(|page| u64::from(page.count())).sum();
        Some(Pages { first, more, remaining })
    });
    match found {
        After::Items(Some(pages)) => Following::Pages(pages),
        After::Items(None) | After::Lagged => Following::Read,
        After::Nothing => Following::Nothing,
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

    fn tail(head: u64) -> RecentPages<()> {
        Topic::new(head, RETAINED, ())
    }

    fn push(topic: &RecentPages<()>, batch: Vec<Event>) {
        publish(topic, batch, &"2026-11-20T10:27:52.250Z".into(), &"backend".into(), 7);
    }

    fn pages(next: Following) -> (Vec<(i64, i64)>, u64) {
        match next {
            Following::Pages(pages) => {
                (pages.iter().map(|page| (page.after, page.last)).collect(), pages.remaining)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cursor_between_pages_gets_what_follows_and_any_other_reads_the_log() {
        let tail = tail(4);
        push(&tail, batch(5, 2, 1));
        push(&tail, vec![event(10, 6, 1)]);
        assert_eq!(pages(following(&tail, 4, None)), (vec![(4, 6), (6, 10)], 0));
        assert_eq!(pages(following(&tail, 4, Some(6))), (vec![(4, 6)], 0));
        assert_eq!(pages(following(&tail, 6, None)), (vec![(6, 10)], 0));
        assert!(matches!(following(&tail, 10, None), Following::Nothing));
        for elsewhere in [0, 3, 5, 7] {
            assert!(matches!(following(&tail, elsewhere, None), Following::Read), "{elsewhere}");
        }
    }

    #[test]
    fn a_frame_is_filled_up_to_its_limits() {
        let tail = tail(0);
        push(&tail, batch(1, 250, 1));
        assert_eq!(pages(following(&tail, 0, None)), (vec![(0, 100)], 150));
        for seq in 251..=270 {
            push(&tail, batch(seq, 1, 1));
        }
        assert_eq!(pages(following(&tail, 200, None)).0.len(), 21);
        push(&tail, batch(271, 5, 150_000));
        assert_eq!(pages(following(&tail, 270, None)), (vec![(270, 271)], 4));
    }

    #[test]
    fn old_pages_are_dropped_and_the_newest_one_never() {
        let tail = tail(0);
        for number in 0..30 {
            push(&tail, batch(number * 50 + 1, 50, 1000));
        }
        assert!(matches!(following(&tail, 0, None), Following::Read));
        assert!(matches!(following(&tail, 1000, None), Following::Pages(..)));
        push(&tail, batch(1501, 1, 2 << 20));
        assert_eq!(pages(following(&tail, 1500, None)).0, [(1500, 1501)]);
        push(&tail, batch(1501, 1, 1));
        assert_eq!(tail.head(), 1501, "what is known already changes nothing");
    }

    // Verifies: EVT-71
    #[test]
    fn a_page_is_server_sent_events_too() {
        let tail = tail(0);
        push(&tail, batch(1, 2, 1));
        let Following::Pages(both) = following(&tail, 0, None) else { panic!("both are there") };
        let text = std::str::from_utf8(both.first.sse()).unwrap();
        let ids: Vec<_> = text.lines().filter(|line| line.starts_with("id: ")).collect();
        assert_eq!(ids, ["id: 1", "id: 2"]);
        assert_eq!(text.matches("\"seq\":7}\n\n").count(), 2, "{text}");
    }

    #[test]
    fn pages_put_together_are_one_batch() {
        let tail = tail(0);
        push(&tail, batch(1, 1, 1));
        push(&tail, batch(2, 1, 1));
        let Following::Pages(both) = following(&tail, 0, None) else { panic!("both are there") };
        let frame = both.frame(&RequestId::Number(7), PageInfo::MoreKnown(3));
        let frame = std::str::from_utf8(&frame).unwrap();
        assert!(frame.contains("\"seqNum\":1,") && frame.contains("},{\"eventEncoded\""), "{frame}");
        assert!(frame.contains("\"remaining\":3"), "{frame}");
    }
}
