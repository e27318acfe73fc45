//! Sending the local image as a body over what the hub has: only what differs, made against the base copy where there is
//! one, and by name alone what the hub has staged from a push that broke off (PAG-25).

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ferry_core::pages::{
    PageSet, Volatile,
    body::{BodyEncoder, BodyPlan, BodySource, CodecError},
    tree,
};
use ferry_protocol::pages::body::{BodyHeader, Flags, STAGED_MAX_PAGES, end_entry, runs_of, staged_entry};
use ferry_sqlite::pages::Zstd;
use ferry_types::{DatabaseId, Leaf, PageCount, PageNo, Tag, UnixMillis};
use tokio::sync::mpsc;

use super::{
    http::{HubPages, PagesPushAnswer},
    wire::Transferred,
};
use crate::{
    ClientError, ClientErrorCode, Result,
    pages::file::{BaseCopy, KnownImage, Synced},
    progress::{Progress, TransferPhase},
    v1::channel_body,
};

/// A push of more pages than this asks with a few of them whether the hub has some from a push that broke off.
const SAMPLED_ABOVE_PAGES: usize = 256;
const SAMPLE_LEAVES: usize = 128;
/// Pages of a full body that are named, if so many in a row are staged. Each such run cuts what travels in two, and fewer
/// cost less where they are.
const STAGED_RUN_MIN: usize = 64;
/// Pieces of a body that wait to be sent.
const PIECES_WAITING: usize = 1;
/// The file format version that says WAL.
const WAL: u8 = 2;

/// What an image is pushed over.
#[derive(Clone, Debug)]
pub(super) enum PushBase {
    /// A database without a version.
    Empty,
    /// What the file was synced with, of which the hub calls the present version `tag`.
    Base { tag: Tag, base: Box<Synced> },
    /// An image of the hub's whose content is not here, but where it differs.
    Hubs { tag: Tag, page_count: PageCount, differing: Vec<PageNo> },
    /// An image of which nothing is known.
    Whole(Tag),
}

impl PushBase {
    /// What the file was synced with, as far as its digests are known.
    pub(super) fn base(tag: Tag, base: &Synced, known: &KnownImage) -> Self {
        if known.changed.is_some() {
            Self::Base { tag, base: Box::new(base.clone()) }
        } else {
            Self::Whole(tag)
        }
    }

    fn tag(&self) -> Tag {
        match self {
            Self::Empty => Tag::new(0, &tree::empty_root()),
            Self::Base { tag, .. } | Self::Hubs { tag, .. } | Self::Whole(tag) => *tag,
        }
    }

    fn targets(&self, known: &KnownImage) -> Vec<PageNo> {
        let (count, lock_page) = (known.image.page_count(), known.image.page_size().lock_page());
        let is_target = |page: &PageNo| count.contains(*page) && *page != lock_page;
        match self {
            Self::Base { .. } => known.changed.iter().flatten().copied().filter(is_target).collect(),
            Self::Hubs { page_count, differing, .. } => {
                let known_there = differing.iter().copied().filter(|page| page_count.contains(*page));
                let beyond = (page_count.0..count.0).filter_map(|n| PageNo::new(n + 1));
                known_there.chain(beyond).filter(is_target).collect()
            }
            Self::Empty | Self::Whole(_) => count.pages().filter(is_target).collect(),
        }
    }

    const fn base_count(&self) -> PageCount {
        match self {
            Self::Base { base, .. } => base.page_count,
            Self::Hubs { page_count, .. } => *page_count,
            Self::Empty | Self::Whole(_) => PageCount(0),
        }
    }

    /// Whether a body over it has all pages of the image, whose order is theirs.
    const fn is_full(&self) -> bool {
        matches!(self, Self::Empty | Self::Whole(_))
    }
}

/// A push of one image over one version.
pub(super) struct Sending<'s> {
    pub(super) file: &'s Path,
    pub(super) database: DatabaseId,
    pub(super) pages: &'s HubPages,
    pub(super) over: &'s PushBase,
    pub(super) progress: Arc<dyn Progress>,
}

/// Pages that travel one way, ascending.
enum Part {
    /// By name, since the hub has staged them.
    Staged(Vec<(PageNo, Leaf)>),
    /// Themselves.
    Pages(Vec<PageNo>),
}

impl Sending<'_> {
    /// Sends the image, which comes back with the answer.
    pub(super) async fn send(
        self,
        mut known: KnownImage,
        asks_staged: bool,
    ) -> (KnownImage, Result<(PagesPushAnswer, Transferred)>) {
        let targets = self.over.targets(&known);
        let total = targets.len();
        let parts = match self.parts(&mut known, targets, asks_staged).await {
            Ok(parts) => parts,
            Err(error) => return (known, Err(error)),
        };
        let header = self.header(&known, self.over.is_full());
        let sent = Arc::new(Sent::default());
        let (pieces, body) = mpsc::channel(PIECES_WAITING);
        let making = {
            let base = BaseCopy::open(self.file, known.image.page_size());
            let base = base.filter(|_| matches!(self.over, PushBase::Base { .. }));
            let source = PushSource { known, base, over: self.over.clone(), differing: differing(self.over) };
            let (sent, progress) = (Arc::clone(&sent), Arc::clone(&self.progress));
            let total = u32::try_from(total).unwrap_or(u32::MAX);
            tokio::task::spawn_blocking(move || {
                make(source, header, parts, total, &pieces, &sent, &*progress)
            })
        };
        let answer = self.pages.push(self.over.tag(), channel_body(body)).await;
        let (known, made) = making.await.expect("BUG: making a body panicked");
        let wire_bytes = sent.bytes.load(Ordering::Relaxed);
        let page_bytes = known.image.page_size().bytes() as u64;
        let transferred = Transferred {
            pages: u32::try_from(total).unwrap_or(u32::MAX),
            bytes: total as u64 * page_bytes,
            wire_bytes,
        };
        let answer = match (answer, made) {
            (_, Err(error)) if error.reason != "NOBODY_READS" => {
                if error.reason == "BASE_COPY_CHANGED" {
                    BaseCopy::remove(self.file);
                }
                Err(error)
            }
            // Once something was sent there was a hub.
            (Err(error), _)
                if error.code == ClientErrorCode::Unreachable && sent.is_begun.load(Ordering::Relaxed) =>
            {
                Err(ClientError { reason: "BROKEN_OFF".into(), ..error })
            }
            (answer, _) => answer.map(|answer| (answer, transferred)),
        };
        (known, answer)
    }

    /// How the targets travel.
    async fn parts(&self, known: &mut KnownImage, targets: Vec<PageNo>, asks: bool) -> Result<Vec<Part>> {
        if !asks {
            if targets.len() <= SAMPLED_ABOVE_PAGES {
                return Ok(vec![Part::Pages(targets)]);
            }
            let step = targets.len() / SAMPLE_LEAVES;
            let sample = targets.iter().step_by(step.max(1));
            let leaves = sample.map(|page| known.tree.leaf(*page)).collect::<Result<Vec<_>>>()?;
            if !self.pages.staged(&leaves).await?.contains(&true) {
                return Ok(vec![Part::Pages(targets)]);
            }
        }
        let leaves = targets.iter().map(|page| known.tree.leaf(*page)).collect::<Result<Vec<_>>>()?;
        let held = self.pages.staged(&leaves).await?;
        let split: Vec<_> = targets
            .into_iter()
            .zip(leaves)
            .zip(held)
            .map(|((page, leaf), held)| (page, held.then_some(leaf)))
            .collect();
        Ok(if self.over.is_full() { in_order(&split) } else { staged_first(split) })
    }

    fn header(&self, known: &KnownImage, full: bool) -> BodyHeader {
        let (image, tag) = (&known.image, self.over.tag());
        let volatile = Volatile::of(image.first_page());
        BodyHeader {
            flags: Flags { full, partial: false, wal: volatile.0[0] == WAL, push: true },
            page_size: Some(image.page_size()),
            database: self.database,
            base_version: if full { 0 } else { tag.version },
            version: 0,
            base_count: if full { PageCount(0) } else { self.over.base_count() },
            page_count: image.page_count(),
            base_root: if full { [0; 8] } else { tag.root_prefix },
            time: UnixMillis(0),
            volatile: Some(volatile.0),
        }
    }
}

/// What has been handed to the connection.
#[derive(Default)]
struct Sent {
    bytes: AtomicU64,
    is_begun: AtomicBool,
}

fn differing(over: &PushBase) -> PageSet {
    match over {
        PushBase::Hubs { differing, .. } => differing.iter().copied().collect(),
        _ => PageSet::default(),
    }
}

/// Named pages, and then the others: among which each may resemble any.
fn staged_first(split: Vec<(PageNo, Option<Leaf>)>) -> Vec<Part> {
    let (mut staged, mut rest) = (Vec::new(), Vec::new());
    for (page, leaf) in split {
        match leaf {
            Some(leaf) => staged.push((page, leaf)),
            None => rest.push(page),
        }
    }
    vec![Part::Staged(staged), Part::Pages(rest)]
}

/// Named pages where many of them follow each other, and the others between.
fn in_order(split: &[(PageNo, Option<Leaf>)]) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), Vec::new());
    for run in split.chunk_by(|(_, one), (_, other)| one.is_some() == other.is_some()) {
        let staged: Vec<_> = run.iter().filter_map(|(page, leaf)| Some((*page, (*leaf)?))).collect();
        if staged.len() < STAGED_RUN_MIN {
            rest.extend(run.iter().map(|(page, _)| *page));
        } else {
            parts.push(Part::Pages(std::mem::take(&mut rest)));
            parts.push(Part::Staged(staged));
        }
    }
    parts.push(Part::Pages(rest));
    parts
}

/// Makes the body, piece by piece, and hands it to `pieces`.
fn make(
    mut source: PushSource,
    header: BodyHeader,
    parts: Vec<Part>,
    total: u32,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    sent: &Sent,
    progress: &dyn Progress,
) -> (KnownImage, Result<()>) {
    let root = source.known.root;
    let hand_over = |piece: Vec<u8>| {
        let bytes = piece.len() as u64;
        let gone = || ClientError::new(ClientErrorCode::Failed, "NOBODY_READS", "the hub stopped reading");
        pieces.blocking_send(Ok(Bytes::from(piece))).map_err(|_| gone())?;
        sent.is_begun.store(true, Ordering::Relaxed);
        sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        progress.advance(bytes);
        crate::pages::file::point("send.piece")
    };
    let made = (|| {
        hand_over(header.encode())?;
        for part in parts {
            match part {
                Part::Staged(staged) => send_staged(&staged, &hand_over)?,
                Part::Pages(pages) => send_pages(pages, header, &mut source, &hand_over)?,
            }
        }
        hand_over(end_entry(total, &root))?;
        progress.begin(TransferPhase::Committing, None);
        Ok::<_, ClientError>(())
    })();
    if let Err(error) = &made {
        // The request fails with it instead of ending as if it were whole.
        let _ = pieces.blocking_send(Err(io::Error::other(error.to_string())));
    }
    (source.known, made)
}

fn send_staged(staged: &[(PageNo, Leaf)], hand_over: &impl Fn(Vec<u8>) -> Result<()>) -> Result<()> {
    let most = usize::try_from(STAGED_MAX_PAGES).unwrap_or(usize::MAX);
    for staged in staged.chunks(most) {
        let leaves: Vec<Leaf> = staged.iter().map(|(_, leaf)| *leaf).collect();
        hand_over(staged_entry(&runs_of(staged.iter().map(|(page, _)| *page)), &leaves))?;
    }
    Ok(())
}

fn send_pages(
    pages: Vec<PageNo>,
    header: BodyHeader,
    source: &mut PushSource,
    hand_over: &impl Fn(Vec<u8>) -> Result<()>,
) -> Result<()> {
    if pages.is_empty() {
        return Ok(());
    }
    // Without a base whole groups of pages travel as they are.
    let is_full = source.over.base_count().0 == 0;
    let plan = BodyHeader { flags: Flags { full: is_full, ..header.flags }, ..header };
    let mut encoder = BodyEncoder::new(BodyPlan { header: plan, pages, root: source.known.root });
    // Its header and its END tell of these pages alone.
    let _header = encoder.next_piece(source, &mut Zstd)?;
    let mut waiting = None;
    while let Some(piece) = encoder.next_piece(source, &mut Zstd)? {
        if let Some(piece) = waiting.replace(piece) {
            hand_over(piece)?;
        }
    }
    Ok(())
}

/// The two images, as the encoder reads them.
struct PushSource {
    known: KnownImage,
    base: Option<BaseCopy>,
    over: PushBase,
    /// Where the hub's image differs, of which nothing else is known.
    differing: PageSet,
}

impl PushSource {
    /// The leaf of a page of the base whose content is here.
    fn base_leaf(&mut self, page: PageNo) -> Result<Option<Leaf>> {
        let count = self.known.image.page_count();
        match &self.over {
            PushBase::Base { .. } => {
                let stored = self.known.tree.stored_leaf(page)?;
                if self.base.is_some() || stored.is_none() {
                    return Ok(stored);
                }
                let is_same = count.contains(page) && Some(self.known.tree.leaf(page)?) == stored;
                Ok(stored.filter(|_| is_same))
            }
            PushBase::Hubs { .. } if count.contains(page) && !self.differing.contains(page) => {
                self.known.tree.leaf(page).map(Some)
            }
            PushBase::Hubs { .. } | PushBase::Empty | PushBase::Whole(_) => Ok(None),
        }
    }
}

impl From<CodecError> for ClientError {
    fn from(error: CodecError) -> Self {
        Self::new(ClientErrorCode::Failed, "ZSTD", error.to_string())
    }
}

impl BodySource for PushSource {
    type Error = ClientError;

    fn leaves(&mut self, pages: &[PageNo], into: &mut Vec<Leaf>) -> Result<()> {
        for page in pages {
            into.push(self.known.tree.leaf(*page)?);
        }
        Ok(())
    }

    fn read(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        self.known.image.read_normal(pages, into)
    }

    fn base_leaves(&mut self, pages: &[PageNo], into: &mut Vec<Option<Leaf>>) -> Result<()> {
        for page in pages {
            into.push(self.base_leaf(*page)?);
        }
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        let (count, base_count) = (self.known.image.page_count(), self.over.base_count());
        for page in pages {
            let leaf = self.base_leaf(*page)?;
            let is_here = count.contains(*page) && leaf == Some(self.known.tree.leaf(*page)?);
            let read = match (&self.base, leaf) {
                _ if is_here => {
                    self.known.image.read_normal(&[*page], into)?;
                    true
                }
                (Some(base), Some(leaf)) => base.read_normal(*page, base_count, &leaf, into),
                _ => false,
            };
            if !read {
                let message = format!("the base copy's page {page} is not what was synced");
                return Err(ClientError::new(ClientErrorCode::Failed, "BASE_COPY_CHANGED", message));
            }
        }
        Ok(())
    }
}
