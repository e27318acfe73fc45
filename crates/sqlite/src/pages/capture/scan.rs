//! The leaves of a whole image: one thread reads, others hash.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use ferry_core::pages::tree;
use ferry_types::{Leaf, PageCount, PageNo};

use crate::{Error, Result, pages::dbpage::Snapshot};

/// Pages that go to a thread at once, in bytes.
const PART_BYTES: usize = 1 << 20;
const HASHERS_MAX: usize = 4;

/// Some pages, one after the other, and then their leaves.
struct Part {
    first: u32,
    data: Vec<u8>,
    leaves: Vec<(PageNo, Leaf)>,
}

/// A thread that hashes: what goes in comes out in order.
struct Hasher {
    parts: SyncSender<Part>,
    hashed: Receiver<Part>,
}

/// Hands the leaves of all pages of `image`, ascending, to `take`.
pub(super) fn with_leaves<T>(
    image: &Snapshot,
    take: impl FnOnce(&mut dyn Iterator<Item = Result<(PageNo, Leaf)>>) -> Result<T>,
) -> Result<T> {
    let (size, count) = (image.page_size().bytes(), image.page_count());
    let hashers = thread::available_parallelism().map_or(1, usize::from).min(HASHERS_MAX);
    thread::scope(|scope| {
        let mut hashers: VecDeque<Hasher> = (0..hashers)
            .map(|_| {
                let (parts, received) = sync_channel::<Part>(1);
                let (sent, hashed) = sync_channel(1);
                scope.spawn(move || {
                    for mut part in received {
                        hash(&mut part, size, count);
                        if sent.send(part).is_err() {
                            return;
                        }
                    }
                });
                Hasher { parts, hashed }
            })
            .collect();
        let mut scan = Scan { image, next: 1, in_work: VecDeque::new(), spare: Vec::new() };
        let mut ready = VecDeque::new();
        let mut leaves = std::iter::from_fn(|| {
            if ready.is_empty()
                && let Err(error) = scan.advance(&mut hashers, &mut ready)
            {
                return Some(Err(error));
            }
            ready.pop_front().map(Ok)
        });
        take(&mut leaves)
    })
}

/// How far a scan is.
struct Scan<'i> {
    image: &'i Snapshot,
    /// The first page that was not read.
    next: u32,
    /// Hashers that have a part, the first of them the oldest.
    in_work: VecDeque<Hasher>,
    spare: Vec<Vec<u8>>,
}

impl Scan<'_> {
    /// Gives all idle hashers work, and adds the leaves of the oldest part to `ready`; none if all are done.
    fn advance(&mut self, idle: &mut VecDeque<Hasher>, ready: &mut VecDeque<(PageNo, Leaf)>) -> Result<()> {
        let died = || Error::Io(std::io::Error::other("a thread that hashes pages died"));
        while self.next <= self.image.page_count().0
            && let Some(hasher) = idle.pop_front()
        {
            let part = self.read()?;
            hasher.parts.send(part).map_err(|_| died())?;
            self.in_work.push_back(hasher);
        }
        let Some(hasher) = self.in_work.pop_front() else { return Ok(()) };
        let part = hasher.hashed.recv().map_err(|_| died())?;
        ready.extend(part.leaves);
        self.spare.push(part.data);
        idle.push_back(hasher);
        Ok(())
    }

    fn read(&mut self) -> Result<Part> {
        let (size, count) = (self.image.page_size().bytes(), self.image.page_count());
        let mut part =
            Part { first: self.next, data: self.spare.pop().unwrap_or_default(), leaves: Vec::new() };
        part.data.clear();
        while self.next <= count.0 && part.data.len() + size <= PART_BYTES.max(size) {
            let page = PageNo::new(self.next).expect("BUG: pages count from 1");
            self.image.read(page, &mut part.data)?;
            self.next += 1;
        }
        Ok(part)
    }
}

fn hash(part: &mut Part, size: usize, count: PageCount) {
    let mut room = Vec::new();
    let pages = (part.first..).filter_map(PageNo::new);
    part.leaves = pages
        .zip(part.data.chunks_exact(size))
        .map(|(page, data)| (page, tree::leaf_of(page, count, data, &mut room)))
        .collect();
}
