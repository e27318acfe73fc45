//! Places that are given out in turn, and how many of them somebody has or waits for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferry_types::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places.
pub(super) struct Room {
    size: usize,
    free: Arc<Semaphore>,
    /// The semaphore's own count is no measure of what is free: a place that it hands to the next in turn is gone from it
    /// while its new owner, who has not run yet, still counts as waiting.
    taken: AtomicUsize,
    waited_for: AtomicUsize,
}

/// Some of the places, until it is dropped.
pub(super) struct Places {
    room: Arc<Room>,
    count: usize,
    permit: OwnedSemaphorePermit,
}

impl Drop for Places {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl Places {
    /// How many.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Those that are more than `kept`.
    pub(super) fn split_off(&mut self, kept: usize) -> Option<Self> {
        let more = self.count.checked_sub(kept).filter(|more| *more > 0)?;
        let permit = self.permit.split(more)?;
        self.count = kept;
        Some(Self { room: Arc::clone(&self.room), count: more, permit })
    }
}

impl Room {
    pub(super) fn of(size: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(size));
        Arc::new(Self { size, free, taken: AtomicUsize::new(0), waited_for: AtomicUsize::new(0) })
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Places that nobody has, those included that are on the way to somebody who waits.
    pub(super) fn free(&self) -> usize {
        self.size.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Places that somebody waits for.
    pub(super) fn waited_for(&self) -> usize {
        self.waited_for.load(Ordering::Relaxed)
    }

    /// So many places, if they are to be had at once.
    pub(super) fn try_take(self: &Arc<Self>, count: u32) -> Option<Places> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(count).ok()?;
        Some(self.taken_by(permit))
    }

    /// So many places, once it is one's turn; `waits` is called as soon as this counts as waiting.
    pub(super) async fn take(self: &Arc<Self>, count: u32, waits: impl FnOnce()) -> Result<Places> {
        let waiting = Waiting::begin(&self.waited_for, count as usize);
        waits();
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.free).acquire_many_owned(count).await.map_err(|_| Error::internal())?;
        // In this order: never both taken and waited for.
        drop(waiting);
        Ok(self.taken_by(permit))
    }

    fn taken_by(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Places {
        let count = permit.num_permits();
        self.taken.fetch_add(count, Ordering::Relaxed);
        Places { room: Arc::clone(self), count, permit }
    }
}

/// Counted as waiting, until it is dropped.
struct Waiting<'c>(&'c AtomicUsize, usize);

impl<'c> Waiting<'c> {
    fn begin(counter: &'c AtomicUsize, count: usize) -> Self {
        counter.fetch_add(count, Ordering::Relaxed);
        Self(counter, count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// A place that had been handed to the next in turn counted as missing until he ran, so that a second database was
    /// closed, for nobody.
    #[test]
    fn a_place_on_its_way_to_who_waits_is_free() {
        let room = Room::of(2);
        let first = room.try_take(2).unwrap();
        assert!(room.try_take(1).is_none());
        let mut next = Box::pin(room.take(1, || {}));
        assert!((&mut next).now_or_never().is_none());
        assert_eq!((room.free(), room.waited_for()), (0, 1));
        drop(first);
        assert_eq!((room.free(), room.waited_for()), (2, 1));
        let second = next.now_or_never().unwrap().unwrap();
        assert_eq!((room.free(), room.waited_for()), (1, 0));
        drop(second);
        assert_eq!(room.free(), room.size());
    }

    #[test]
    fn places_that_are_split_are_given_back_one_after_the_other() {
        let room = Room::of(20);
        let mut kept = room.try_take(16).unwrap();
        let more = kept.split_off(2).unwrap();
        assert!(kept.split_off(2).is_none());
        assert_eq!(room.free(), 4);
        drop(more);
        assert_eq!(room.free(), 18);
        assert!(room.try_take(18).is_some());
        drop(kept);
        assert!(room.try_take(20).is_some());
    }
}
