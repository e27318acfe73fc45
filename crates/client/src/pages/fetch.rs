//! Receiving bodies into the part beside a file: decoded as they come, on a thread that may block, and taken up again where
//! a connection broke (PAG-25).

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use ferry_core::pages::{
    PageSet,
    body::{BodyReader, BodySink, Content},
    tree,
};
use ferry_protocol::pages::body::{BodyError, BodyHeader, Run, runs_of};
use ferry_sqlite::pages::Zstd;
use ferry_types::{DatabaseId, Leaf, PageCount, PageNo, PageSize, Root, Tag};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{sync::mpsc, time::timeout};

use super::{
    http::{ChangesAnswer, HubPages, KnownVersion},
    local_file::blocking,
};
use crate::{
    ClientError, Result,
    pages::file::{Base, ImageTree, Part},
    progress::Progress,
};

/// How often a broken download is taken up again.
const RESUMES_MAX: u32 = 8;
/// The first pause before that; each is twice the one before.
const RESUME_PAUSE: Duration = Duration::from_millis(200);
/// How long a body may stand still.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Pieces of a body that wait to be decoded.
const PIECES_WAITING: usize = 16;
/// Longest list of ranges in a URL, and in JSON. Longer ones name pages again that are there already.
const URL_RANGES_MAX: usize = 250;
pub(super) const JSON_RANGES_MAX: usize = 40_000;

/// Where received pages go, and what they are received over.
pub(super) struct Receiving {
    file: PathBuf,
    database: DatabaseId,
    /// The local image, if there is one.
    base: Option<Box<Base>>,
    /// First bytes of the root that a delta must be based on.
    base_prefix: Option<[u8; 8]>,
    /// Digests of the local image, in which those of received pages are set.
    pub(super) tree: ImageTree,
    part: Option<Part>,
    progress: Arc<dyn Progress>,
    pub(super) is_wal: bool,
    /// Pages that came, whether or not they differ from the local ones.
    have: PageSet,
    page_size: Option<PageSize>,
    /// Body bytes that came.
    pub(super) bytes: u64,
    room: Vec<u8>,
}

/// A received image that has the root it must have.
pub(super) struct VerifiedImage {
    pub(super) part: Part,
    pub(super) root: Root,
    pub(super) tree: ImageTree,
    pub(super) base: Option<Box<Base>>,
    pub(super) is_wal: bool,
    pub(super) bytes: u64,
}

/// What a download asks for.
#[derive(Clone, Copy)]
pub(super) enum BodyRequest<'a> {
    /// What leads from the one to the other.
    ChangesAnswer(KnownVersion, Tag),
    /// These pages.
    Pages(Tag, &'a [(u32, u32)]),
}

enum Outcome {
    Whole(Root),
    Broken(String),
}

impl Receiving {
    pub(super) fn new(
        file: PathBuf,
        database: DatabaseId,
        tree: ImageTree,
        base: Option<(Box<Base>, Root)>,
        progress: Arc<dyn Progress>,
    ) -> Self {
        let prefix = |root: &Root| Tag::new(0, root).root_prefix;
        Self {
            file,
            database,
            base_prefix: base.as_ref().map(|(_, root)| prefix(root)),
            base: base.map(|(base, _)| base),
            tree,
            part: None,
            progress,
            is_wal: false,
            have: PageSet::default(),
            page_size: None,
            bytes: 0,
            room: Vec::new(),
        }
    }

    /// Receives `body`, which answers `ask`, and what is missing of it should the connection break. The root that it names.
    pub(super) async fn receive(
        self,
        pages: &HubPages,
        ask: BodyRequest<'_>,
        body: Incoming,
    ) -> (Self, Result<Root>) {
        let mut asked = match ask {
            BodyRequest::ChangesAnswer(..) => None,
            BodyRequest::Pages(_, ranges) => Some(runs(ranges)),
        };
        let (mut receiving, mut body, mut pause) = (self, body, RESUME_PAUSE);
        for _ in 0..RESUMES_MAX {
            let outcome;
            (receiving, outcome) = receiving.receive_one(body, asked.take()).await;
            let why = match outcome {
                Ok(Outcome::Whole(root)) => return (receiving, Ok(root)),
                Ok(Outcome::Broken(why)) => why,
                Err(error) => return (receiving, Err(error)),
            };
            tracing::debug!(why, "the download broke off: it goes on");
            tokio::time::sleep(pause).await;
            pause *= 2;
            match receiving.ask_again(pages, ask).await {
                Ok((again, ranges)) => (body, asked) = (again, ranges),
                Err(error) if error.code == crate::ClientErrorCode::Unreachable => {
                    return (receiving, Err(error));
                }
                Err(error) => return (receiving, Err(error)),
            }
        }
        let message = "the connection breaks off again and again: try again later";
        (receiving, Err(ClientError::new(crate::ClientErrorCode::Unreachable, "BROKEN_OFF", message)))
    }

    /// Asks for what is missing of a broken download.
    async fn ask_again(
        &self,
        pages: &HubPages,
        ask: BodyRequest<'_>,
    ) -> Result<(Incoming, Option<Vec<Run>>)> {
        let moved =
            || ClientError::unverified("the hub no longer has the version that was being pulled: pull again");
        match ask {
            BodyRequest::Pages(at, ranges) => {
                let left = coarse(self.missing(&runs(ranges)), JSON_RANGES_MAX);
                Ok((pages.pages_at(at, &left).await?, Some(runs(&left))))
            }
            BodyRequest::ChangesAnswer(since, at) => {
                let Some(part) = &self.part else {
                    return match pages.changes(since, Some(&at.to_string()), None).await? {
                        ChangesAnswer::Body(tag, body) if tag == at => Ok((body, None)),
                        _ => Err(moved()),
                    };
                };
                let all = Run { first: PageNo::FIRST, length: part.page_count().0 };
                let left = coarse(self.missing(&[all]), URL_RANGES_MAX);
                let text: Vec<String> = left.iter().map(|(first, last)| format!("{first}-{last}")).collect();
                match pages.changes(since, Some(&at.to_string()), Some(&text.join(","))).await? {
                    ChangesAnswer::Body(tag, body) if tag == at => Ok((body, Some(runs(&left)))),
                    _ => Err(moved()),
                }
            }
        }
    }

    /// What of `asked` has not come.
    fn missing(&self, asked: &[Run]) -> Vec<(u32, u32)> {
        let pages =
            asked.iter().flat_map(|run| run.first.get()..=u32::try_from(run.end() - 1).unwrap_or(u32::MAX));
        let missing = pages.filter_map(PageNo::new).filter(|page| !self.have.contains(*page));
        let mut ranges: Vec<(u32, u32)> = runs_of(missing)
            .iter()
            .map(|run| (run.first.get(), u32::try_from(run.end() - 1).unwrap_or(u32::MAX)))
            .collect();
        if ranges.is_empty() {
            // All came but the end: a question for no page is none.
            ranges.push((1, 1));
        }
        ranges
    }

    /// One body, as far as it comes.
    async fn receive_one(self, mut body: Incoming, asked: Option<Vec<Run>>) -> (Self, Result<Outcome>) {
        let (pieces, received) = mpsc::channel(PIECES_WAITING);
        let decoding = tokio::task::spawn_blocking(move || self.decode(received, asked));
        let broken = loop {
            let frame = match timeout(STALL_MAX, body.frame()).await {
                Err(_) => break Some("nothing came for 60 s".to_owned()),
                Ok(None) => break None,
                Ok(Some(Err(error))) => break Some(error.to_string()),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(piece) = frame.into_data()
                && pieces.send(piece).await.is_err()
            {
                break None;
            }
        };
        drop(pieces);
        let (receiving, outcome) = decoding.await.expect("BUG: decoding panicked");
        let outcome = match (outcome, broken) {
            // A body that was cut off has no END.
            (Err(_), Some(why)) => Ok(Outcome::Broken(why)),
            (outcome, _) => outcome.map(Outcome::Whole),
        };
        (receiving, outcome)
    }

    fn decode(mut self, mut pieces: mpsc::Receiver<Bytes>, asked: Option<Vec<Run>>) -> (Self, Result<Root>) {
        let mut reader = BodyReader::new(asked);
        while let Some(piece) = pieces.blocking_recv() {
            self.bytes += piece.len() as u64;
            if let Err(error) = reader.push(&piece, &mut self, &mut Zstd) {
                return (self, Err(error));
            }
        }
        let finished = reader.finish(&mut self, &mut Zstd);
        (self, finished.map(|(_, root)| root))
    }

    /// Decodes a body that has come whole.
    pub(super) fn take_whole(self, body: Vec<u8>) -> (Self, Result<Root>) {
        let (pieces, received) = mpsc::channel(1);
        pieces.try_send(Bytes::from(body)).expect("BUG: the channel has room for one");
        drop(pieces);
        self.decode(received, None)
    }

    /// Takes pages that the local image has elsewhere.
    pub(super) fn copy(&mut self, pages: &[(PageNo, PageNo)]) -> Result<()> {
        pages.iter().try_for_each(|(target, source)| self.put(*target, Content::Base(*source)))
    }

    /// The header of an image of which only digests have come yet.
    pub(super) fn begin_image(&mut self, size: PageSize, count: PageCount) -> Result<()> {
        self.page_size = Some(size);
        if self.part.is_some() {
            return Ok(());
        }
        if self.base.as_ref().is_none_or(|base| base.page_size() != size) {
            let state = self.tree.take_state();
            self.tree = ImageTree::default().kept_in(state);
        }
        self.tree.resize(count)?;
        self.part = Some(Part::create(&self.file, size, count, Arc::clone(&self.progress))?);
        Ok(())
    }

    /// Whether what came is an image with `root`: then it may be put in its place.
    ///
    /// # Errors
    /// `ROOT_MISMATCH` if not.
    pub(super) async fn verify(self, root: Root) -> Result<VerifiedImage> {
        blocking(move || {
            let Self { mut tree, part, base, is_wal, bytes, page_size, .. } = self;
            let (Some(part), Some(size)) = (part, page_size) else {
                return Err(ClientError::conflict(
                    "DATABASE_EMPTY",
                    "the database is empty: push a file to it first",
                ));
            };
            if tree.root(size)? != root {
                return Err(ClientError::new(
                    crate::ClientErrorCode::Unverified,
                    "ROOT_MISMATCH",
                    "what was received does not have the root that the hub names: pull again; if it stays so, the hub's \
                     copy or this machine's memory is damaged",
                ));
            }
            let same_size = base.as_ref().filter(|base| base.page_size() == size);
            part.check_header(same_size.map(|base| base.first_page()))?;
            crate::pages::file::point("pull.received")?;
            Ok(VerifiedImage { part, root, tree, base, is_wal, bytes })
        })
        .await
    }

    fn fits(&self, header: &BodyHeader) -> Result<()> {
        let wrong = |what| Err(ClientError::unverified(format!("the hub sent a body {what}")));
        if header.database != self.database {
            return wrong("of another database");
        }
        if header.flags.push {
            return wrong("that is a push");
        }
        if !header.flags.full && self.base_prefix != Some(header.base_root) {
            return wrong("for another base");
        }
        match &self.part {
            Some(part)
                if (part.page_count(), Some(part.page_size())) != (header.page_count, header.page_size) =>
            {
                wrong("of another image than the one before")
            }
            _ => Ok(()),
        }
    }
}

impl From<BodyError> for ClientError {
    fn from(error: BodyError) -> Self {
        Self::unverified(format!("the hub's body breaks a rule of the format: {error}"))
    }
}

impl BodySink for Receiving {
    type Error = ClientError;

    fn begin(&mut self, header: &BodyHeader) -> Result<()> {
        self.fits(header)?;
        self.is_wal = header.flags.wal;
        match header.page_size {
            Some(size) => self.begin_image(size, header.page_count),
            None => Ok(()),
        }
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        match &self.base {
            Some(base) => base.read_normal(pages, into),
            None if pages.is_empty() => Ok(()),
            None => Err(ClientError::unverified("the hub sent a body for a base that is not here")),
        }
    }

    fn put(&mut self, page: PageNo, content: Content<'_>) -> Result<()> {
        let size = self.page_size.expect("BUG: a page comes after the header").bytes();
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        match content {
            Content::Bytes(data) => room.extend_from_slice(data),
            Content::Zero => room.resize(size, 0),
            Content::Base(source) => self.read_base(&[source], &mut room)?,
            Content::Staged(_) => {
                return Err(ClientError::unverified("the hub sent a page by its name alone"));
            }
        }
        let part = self.part.as_mut().expect("BUG: a page comes after the header");
        let count = part.page_count();
        let leaf = tree::leaf_of(page, count, &room, &mut Vec::new());
        self.have.insert(page);
        // What the local file has at this place already stays as it is.
        let is_new = self
            .base
            .as_ref()
            .is_none_or(|base| base.page_size().bytes() != size || !base.page_count().contains(page));
        if is_new || self.tree.leaf(page)? != leaf {
            part.put(page, &room, leaf)?;
            self.tree.set(page, leaf)?;
        }
        self.room = room;
        Ok(())
    }
}

fn runs(ranges: &[(u32, u32)]) -> Vec<Run> {
    let run = |(first, last): &(u32, u32)| {
        PageNo::new(*first).map(|first| Run { first, length: last.saturating_sub(first.get()) + 1 })
    };
    ranges.iter().filter_map(run).collect()
}

/// At most `most` ranges that hold all pages of these: the narrowest gaps are closed.
pub(super) fn coarse(mut ranges: Vec<(u32, u32)>, most: usize) -> Vec<(u32, u32)> {
    while ranges.len() > most {
        let mut gaps: Vec<u32> = ranges.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
        let surplus = ranges.len() - most;
        gaps.sort_unstable();
        let widest = gaps[surplus - 1];
        let mut closed: Vec<(u32, u32)> = Vec::with_capacity(most);
        for range in ranges {
            match closed.last_mut() {
                Some(last) if range.0 - last.1 <= widest => last.1 = range.1,
                _ => closed.push(range),
            }
        }
        ranges = closed;
    }
    ranges
}

/// The 8 bytes of a digest that travel.
pub(super) fn prefix(digest: &[u8; 32]) -> [u8; 8] {
    Leaf(*digest).0[..8].try_into().expect("BUG: a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_ranges_lose_their_narrowest_gaps() {
        let ranges = vec![(1, 2), (4, 5), (100, 110), (112, 113), (500, 500)];
        assert_eq!(coarse(ranges.clone(), 5), ranges);
        assert_eq!(coarse(ranges.clone(), 3), [(1, 5), (100, 113), (500, 500)]);
        assert_eq!(coarse(ranges, 1), [(1, 500)]);
    }
}
