//! Hashing a whole image: its leaves and root (pages specification, section 2.1), on all cores.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use ferry_core::pages::tree::{self, RootBuilder};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

use super::image::LocalImage;
use crate::{
    Result,
    progress::{Progress, TransferPhase},
};

/// Bytes that one thread hashes at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Threads beyond these wait for the one that reads.
const HASHERS_MAX: usize = 4;
/// Images below this are hashed without threads.
const ALONE_BELOW_BYTES: u64 = 4 << 20;

/// The digests of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDigests {
    /// One leaf per page, page 1 first.
    pub leaves: Vec<Leaf>,
    /// Their root.
    pub root: Root,
}

impl ImageDigests {
    /// Reads and hashes every page of the image.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn of(image: &LocalImage, progress: &dyn Progress) -> Result<Self> {
        progress.begin(TransferPhase::Hashing, Some(image.bytes()));
        let hashers = thread::available_parallelism().map_or(1, NonZero::get).min(HASHERS_MAX);
        let leaves = if hashers == 1 || image.bytes() < ALONE_BELOW_BYTES {
            leaves_alone(image, progress)?
        } else {
            leaves_with(hashers, image, progress)?
        };
        progress.end();
        let root = root_of(image.page_size(), &leaves);
        Ok(Self { leaves, root })
    }
}

/// The root over the leaves of all pages, page 1 first.
#[must_use]
pub fn root_of(page_size: PageSize, leaves: &[Leaf]) -> Root {
    let mut builder = RootBuilder::default();
    leaves.iter().for_each(|leaf| builder.push(leaf));
    builder.finish(page_size)
}

fn leaves_alone(image: &LocalImage, progress: &dyn Progress) -> Result<Vec<Leaf>> {
    let count = image.page_count();
    let mut leaves = Vec::with_capacity(count.0 as usize);
    let mut room = Vec::new();
    image.read_all(|number, data| {
        leaves.push(tree::leaf_of(number, count, data, &mut room));
        progress.advance(data.len() as u64);
    })?;
    Ok(leaves)
}

/// A run of whole pages.
struct Chunk {
    first: PageNo,
    bytes: Vec<u8>,
}

/// One thread reads (a read transaction belongs to one connection), the others hash.
fn leaves_with(hashers: usize, image: &LocalImage, progress: &dyn Progress) -> Result<Vec<Leaf>> {
    let (size, count) = (image.page_size(), image.page_count());
    let (read, to_hash) = mpsc::sync_channel::<Chunk>(hashers);
    let to_hash = Mutex::new(to_hash);
    let hash_all = || {
        let mut hashed = Vec::new();
        loop {
            let next = to_hash.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(chunk) = next else { return hashed };
            hashed.push((chunk.first, chunk_leaves(&chunk, size, count)));
            progress.advance(chunk.bytes.len() as u64);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..hashers).map(|_| scope.spawn(hash_all)).collect();
        let outcome = read_chunks(image, &read);
        drop(read);
        let mut leaves = vec![Leaf::LOCK_PAGE; count.0 as usize];
        for thread in threads {
            for (first, hashed) in thread.join().expect("BUG: hashing panicked") {
                leaves[first.index()..first.index() + hashed.len()].copy_from_slice(&hashed);
            }
        }
        outcome.map(|()| leaves)
    })
}

fn read_chunks(image: &LocalImage, read: &mpsc::SyncSender<Chunk>) -> Result<()> {
    let mut chunk = Chunk { first: PageNo::FIRST, bytes: Vec::with_capacity(CHUNK_BYTES) };
    image.read_all(|number, data| {
        if chunk.bytes.len() + data.len() > CHUNK_BYTES {
            let next = Chunk { first: number, bytes: Vec::with_capacity(CHUNK_BYTES) };
            read.send(std::mem::replace(&mut chunk, next)).expect("BUG: a hasher waits for chunks");
        }
        chunk.bytes.extend_from_slice(data);
    })?;
    read.send(chunk).expect("BUG: a hasher waits for chunks");
    Ok(())
}

fn chunk_leaves(chunk: &Chunk, size: PageSize, count: PageCount) -> Vec<Leaf> {
    let mut room = Vec::new();
    let numbers = chunk.first.get()..;
    numbers
        .zip(chunk.bytes.chunks_exact(size.bytes()))
        .filter_map(|(number, page)| Some(tree::leaf_of(PageNo::new(number)?, count, page, &mut room)))
        .collect()
}

/// The hashes as EdgeReplica's wire announces them: of every page as the file has it. They are the leaves,
/// but for page 1, whose leaf is that of its normal form, and for the lock page, which reads as zeros.
#[must_use]
pub fn announced_hashes(leaves: &[Leaf], page_size: PageSize, first_page: &[u8]) -> Vec<[u8; 32]> {
    let mut hashes: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.0).collect();
    if let Some(first) = hashes.first_mut() {
        *first = blake3::hash(first_page).into();
    }
    if let Some(lock) = hashes.get_mut(page_size.lock_page().index()) {
        *lock = blake3::hash(&vec![0; page_size.bytes()]).into();
    }
    hashes
}
