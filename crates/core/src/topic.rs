//! The live path: what commits publish, and how subscribers get it.
//!
//! A [`Topic`] keeps its newest items once, for all; a subscriber is a [`Cursor`] and a wake-up. Nothing is queued per
//! subscriber, so a slow one costs nothing, and is told [`Next::Lagged`] once what it has not seen is no longer kept: it
//! then reads the state, and goes on from the position that the state shows.
//!
//! **Publishing** is the actor's alone: after a COMMIT, in its order, before any answer. **Waiting** begins before
//! looking: whoever registers for the wake-up, then finds nothing, and only then waits, misses no item.

mod by_key;
mod item;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

pub use by_key::Topics;
pub use item::NextItem;

/// Wakes whoever waits for a topic; given by the runtime.
pub trait Wake {
    /// Something was published, or the topic was replaced or closed. Called without any lock held.
    fn wake(&self);
}

/// For topics that are looked at and not waited for.
impl Wake for () {
    fn wake(&self) {}
}

/// What a topic keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    /// Items.
    pub items: usize,
    /// Their weights together. The newest item is kept, whatever it weighs.
    pub weight: usize,
}

/// Published items, of which the newest are kept. Positions only rise; an item covers those between two of them.
#[derive(Debug)]
pub struct Topic<P, W> {
    retained: Retained,
    ring: Mutex<Ring<P>>,
    /// Equal to the ring's, to be looked at without the lock.
    head: AtomicU64,
    generation: AtomicU32,
    wake: W,
}

#[derive(Debug)]
struct Ring<P> {
    items: VecDeque<Item<P>>,
    /// Of all items.
    weight: usize,
    /// The newest position.
    head: u64,
    /// Whoever stands here or later is given items; who stands before it lags.
    base: u64,
    /// Counts replacements.
    generation: u32,
    is_closed: bool,
}

#[derive(Debug)]
struct Item<P> {
    upto: u64,
    weight: usize,
    payload: P,
}

/// What a cursor finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<P> {
    /// Items after the cursor, in order, without a gap; the cursor stands behind the last of them now.
    Items(Vec<P>),
    /// Nothing new: wait.
    Nothing,
    /// Items after the cursor are no longer kept. Read the state, and go on at the position that it shows
    /// ([`Cursor::seek`]).
    Lagged {
        /// The newest position.
        head: u64,
    },
    /// What the topic tells of is another one now; the cursor's position means nothing any more.
    Replaced,
    /// Nothing will come any more.
    Closed,
}

/// What [`Topic::after`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After<R> {
    /// What was read of the items.
    Items(R),
    /// There is nothing new.
    Nothing,
    /// Items after the position are no longer kept, or it lies inside of one.
    Lagged,
}

/// A position in a topic: gets every later item once, in order, or is told why not.
#[derive(Debug)]
pub struct Cursor<P, W> {
    topic: Arc<Topic<P, W>>,
    position: u64,
    generation: u32,
}

impl<P, W: Wake> Topic<P, W> {
    /// A topic whose newest position is `head`, and that keeps nothing yet.
    #[must_use]
    pub fn new(head: u64, retained: Retained, wake: W) -> Self {
        let ring =
            Ring { items: VecDeque::new(), weight: 0, head, base: head, generation: 0, is_closed: false };
        Self {
            retained,
            ring: Mutex::new(ring),
            head: AtomicU64::new(head),
            generation: AtomicU32::new(0),
            wake,
        }
    }

    /// Adds the item that covers the positions after the newest one up to `upto`, and wakes all who wait.
    pub fn publish(&self, upto: u64, weight: usize, payload: P) {
        let dropped = {
            let mut ring = self.lock();
            debug_assert!(upto > ring.head, "positions only rise");
            ring.head = upto;
            ring.weight += weight;
            ring.items.push_back(Item { upto, weight, payload });
            self.head.store(upto, Ordering::Release);
            ring.trim(self.retained)
        };
        // Payloads may be large: dropped without the lock.
        drop(dropped);
        self.wake.wake();
    }

    /// Moves the newest position without an item: cursors before it are told that they lag.
    pub fn advance(&self, head: u64) {
        let dropped = {
            let mut ring = self.lock();
            debug_assert!(head >= ring.head, "positions only rise");
            self.head.store(head, Ordering::Release);
            ring.begin_at(head)
        };
        drop(dropped);
        self.wake.wake();
    }

    /// What the topic tells of is another one now, whose newest position is `head`: all cursors are told so.
    pub fn replace(&self, head: u64) {
        let dropped = {
            let mut ring = self.lock();
            ring.generation = ring.generation.wrapping_add(1);
            self.generation.store(ring.generation, Ordering::Release);
            self.head.store(head, Ordering::Release);
            ring.begin_at(head)
        };
        drop(dropped);
        self.wake.wake();
    }

    /// Ends it: all cursors are told so, later ones too.
    pub fn close(&self) {
        let dropped = {
            let mut ring = self.lock();
            ring.is_closed = true;
            let head = ring.head;
            ring.begin_at(head)
        };
        drop(dropped);
        self.wake.wake();
    }

    /// The newest position.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// How often it was replaced.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Hands the items after `position` to `read`, in order: for subscribers that keep their positions themselves, as one
    /// that has many, and look at [`Self::generation`] first. Nothing is allocated. The topic is locked meanwhile.
    pub fn after<R>(&self, position: u64, read: impl FnOnce(&mut dyn Iterator<Item = &P>) -> R) -> After<R> {
        if position >= self.head() {
            return After::Nothing;
        }
        let ring = self.lock();
        match ring.first_after(position) {
            Some(first) => After::Items(read(&mut ring.items.range(first..).map(|item| &item.payload))),
            None => After::Lagged,
        }
    }

    /// What wakes those who wait for it.
    pub const fn wake(&self) -> &W {
        &self.wake
    }

    /// A cursor that has seen everything up to and including `position`. Take the position from the state that the
    /// subscriber has read, and nothing between the two is lost.
    #[must_use]
    pub fn cursor(self: &Arc<Self>, position: u64) -> Cursor<P, W> {
        let generation = self.generation();
        Cursor { topic: Arc::clone(self), position, generation }
    }

    fn lock(&self) -> MutexGuard<'_, Ring<P>> {
        // Nothing panics while it holds the lock.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Ring<P> {
    /// Takes out the oldest items beyond what is retained.
    fn trim(&mut self, retained: Retained) -> Vec<Item<P>> {
        let mut dropped = Vec::new();
        while self.items.len() > 1 && (self.items.len() > retained.items || self.weight > retained.weight) {
            let Some(oldest) = self.items.pop_front() else { break };
            self.weight -= oldest.weight;
            self.base = oldest.upto;
            dropped.push(oldest);
        }
        dropped
    }

    /// Which item begins at `position`, or the end; a position inside of an item is one that no subscriber was ever
    /// given.
    fn first_after(&self, position: u64) -> Option<usize> {
        let first = self.items.partition_point(|item| item.upto <= position);
        let before = first.checked_sub(1).and_then(|before| self.items.get(before));
        (before.map_or(self.base, |item| item.upto) == position).then_some(first)
    }

    fn begin_at(&mut self, head: u64) -> VecDeque<Item<P>> {
        self.head = head;
        self.base = head;
        self.weight = 0;
        std::mem::take(&mut self.items)
    }
}

impl<P: Clone, W: Wake> Cursor<P, W> {
    /// What comes after the cursor: items of about `max_weight` together, but one at least.
    pub fn next(&mut self, max_weight: usize) -> Next<P> {
        let ring = self.topic.lock();
        if ring.is_closed {
            return Next::Closed;
        }
        if ring.generation != self.generation {
            return Next::Replaced;
        }
        if self.position >= ring.head {
            return Next::Nothing;
        }
        let Some(first) = ring.first_after(self.position) else {
            return Next::Lagged { head: ring.head };
        };
        let mut weight = 0;
        let mut items = Vec::new();
        for item in ring.items.range(first..) {
            weight += item.weight;
            if weight > max_weight && !items.is_empty() {
                break;
            }
            items.push(item.payload.clone());
            self.position = item.upto;
        }
        Next::Items(items)
    }
}

impl<P, W: Wake> Cursor<P, W> {
    /// Up to where it has seen everything.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The subscriber has read the state, which shows everything up to `position`.
    pub const fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// Whether there is anything that [`Cursor::next`] would tell.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let ring = self.topic.lock();
        ring.is_closed || ring.generation != self.generation || self.position < ring.head
    }

    /// Its topic.
    #[must_use]
    pub const fn topic(&self) -> &Arc<Topic<P, W>> {
        &self.topic
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const FOUR: Retained = Retained { items: 4, weight: 100 };

    fn topic(head: u64) -> Arc<Topic<u64, ()>> {
        Arc::new(Topic::new(head, FOUR, ()))
    }

    #[test]
    fn every_item_once_in_order() {
        let topic = topic(7);
        let mut cursor = topic.cursor(7);
        assert_eq!(cursor.next(100), Next::Nothing);
        topic.publish(8, 1, 8);
        topic.publish(10, 1, 10);
        assert_eq!(cursor.next(100), Next::Items(vec![8, 10]));
        assert_eq!((cursor.position(), cursor.next(100)), (10, Next::Nothing));
    }

    #[test]
    fn items_are_given_up_to_a_weight_but_one_at_least() {
        let topic = topic(0);
        let mut cursor = topic.cursor(0);
        for position in 1..=3 {
            topic.publish(position, 30, position);
        }
        assert_eq!(cursor.next(1), Next::Items(vec![1]));
        assert_eq!(cursor.next(60), Next::Items(vec![2, 3]));
    }

    #[test]
    fn a_cursor_before_what_is_kept_lags_until_it_has_read_the_state() {
        let topic = topic(0);
        let mut cursor = topic.cursor(0);
        for position in 1..=5 {
            topic.publish(position, 1, position);
        }
        assert_eq!(cursor.next(100), Next::Lagged { head: 5 });
        cursor.seek(4);
        assert_eq!(cursor.next(100), Next::Items(vec![5]));
        // Heavier than everything that may be kept: the newest stays all the same.
        topic.publish(6, 101, 6);
        assert_eq!(cursor.next(1), Next::Items(vec![6]));
        assert_eq!(topic.cursor(5).next(1), Next::Items(vec![6]));
        assert_eq!(topic.cursor(4).next(1), Next::Lagged { head: 6 });
    }

    #[test]
    fn a_position_inside_of_an_item_lags() {
        let topic = topic(0);
        topic.publish(5, 1, 5);
        topic.publish(9, 1, 9);
        assert_eq!(topic.cursor(3).next(100), Next::Lagged { head: 9 });
        assert_eq!(topic.cursor(5).next(100), Next::Items(vec![9]));
    }

    #[test]
    fn cursors_learn_that_the_topic_was_replaced_or_closed() {
        let topic = topic(3);
        let mut cursor = topic.cursor(3);
        topic.replace(3);
        assert_eq!(cursor.next(100), Next::Replaced);
        let mut later = topic.cursor(3);
        assert_eq!(later.next(100), Next::Nothing);
        topic.close();
        assert!(later.is_behind());
        assert_eq!((cursor.next(100), later.next(100)), (Next::Closed, Next::Closed));
    }

    #[test]
    fn everything_that_cursors_must_learn_wakes() {
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(&self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let topic = Topic::new(0, FOUR, Count(AtomicU32::new(0)));
        topic.publish(1, 1, ());
        topic.advance(2);
        topic.replace(0);
        topic.close();
        assert_eq!(topic.wake().0.load(Ordering::Relaxed), 4);
    }

    /// Against a model that keeps everything: what a cursor is given is what came after it, whole and in order.
    #[test]
    fn random_topics_never_skip() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let topic = topic(0);
        let mut all: Vec<u64> = Vec::new();
        let mut cursors: Vec<_> = (0..5).map(|_| topic.cursor(0)).collect();
        for _ in 0..5_000 {
            if random(3) == 0 {
                let upto = topic.head() + 1 + random(3);
                topic.publish(upto, usize::try_from(random(60)).unwrap(), upto);
                all.push(upto);
                continue;
            }
            let cursor = &mut cursors[usize::try_from(random(5)).unwrap()];
            let after: Vec<u64> = all.iter().copied().filter(|item| *item > cursor.position()).collect();
            match cursor.next(usize::try_from(random(120)).unwrap()) {
                Next::Items(items) => assert_eq!(items, after[..items.len()]),
                Next::Nothing => assert!(after.is_empty()),
                Next::Lagged { head } => {
                    assert!(!after.is_empty());
                    cursor.seek(head);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
