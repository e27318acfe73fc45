//! The hub's side of a push over EdgeReplica's wire (section 2.2, PAG-02 to PAG-09).
//!
//! The caller feeds every frame to [`PushSession::receive`] and sends what [`PushSession::next_frame`] gives whenever its
//! socket can take it: what is still to be asked for is a set of bits, so reading never waits for writing. Once
//! [`PushSession::outcome`] yields, the caller validates, commits, and answers with [`PushSession::complete_frame`].

use ferry_protocol::pages::{Frame, PageBytes, PageHash, PageHashBatch, PageNumber, SyncComplete};
use ferry_types::{Leaf, PageCount, PageNo, PageSize};

use super::{
    Image, ImageHashes, PageSet, Refusal, SessionError, Volatile,
    announce::Announcements,
    header,
    session::{batch_matches, expect_hello, hello_reply, misplaced},
    tree,
};

/// The first words are those that EdgeReplica's clients know (PAG-09).
const NOTHING_ANNOUNCED: &str = "nothing announced: this token allows push only, and an empty file never replaces a \
                                 database; to fetch it use a token for pull, to replace it push a file with a table";

/// What a push asks of storage.
pub trait PushStore: ImageHashes {
    /// Whether a page with this content is staged; true only if it can be read back whole.
    ///
    /// # Errors
    /// When the stage cannot be read.
    fn is_staged(&mut self, hash: &Leaf) -> Result<bool, Self::Error>;

    /// Stages a page whose BLAKE3 is `hash`.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn stage(&mut self, hash: &Leaf, data: &[u8]) -> Result<(), Self::Error>;

    /// Remembers what the client announced for a page that differs, until the session ends.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn note(&mut self, page: PageNo, hash: &Leaf) -> Result<(), Self::Error>;

    /// What was remembered by [`Self::note`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn noted(&mut self, page: PageNo) -> Result<Leaf, Self::Error>;
}

/// A push that is whole: what storage validates and commits.
#[derive(Clone, Debug)]
pub struct PushPlan {
    /// The version it replaces.
    pub base: Image,
    /// Bytes per page of the new image, from its page 1.
    pub page_size: PageSize,
    /// Pages of the new image.
    pub page_count: PageCount,
    /// Page 1 as the client's file has it.
    pub page1: Vec<u8>,
    /// Its volatile bytes.
    pub volatile: Volatile,
    /// Pages other than page 1 that differ from the base: each is staged, or all zeros, under the hash noted.
    pub changed: PageSet,
}

/// What came of a push, once everything has arrived.
#[derive(Clone, Debug)]
pub enum PushOutcome {
    /// The client's file is the base.
    Unchanged,
    /// A new image.
    Changed(Box<PushPlan>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before hello.
    Opening,
    /// Hashes come in, requests go out.
    Announcing,
    /// The client sent complete; data may be outstanding.
    Completing,
    /// Page 1, the last one, was asked for.
    AwaitingPage1,
    /// Everything is here.
    Whole,
}

/// A push session.
#[derive(Debug)]
pub struct PushSession {
    base: Image,
    max_database_bytes: u64,
    state: State,
    reply: Option<Frame<'static>>,
    announcements: Announcements,
    page1_hash: Option<Leaf>,
    page1_differs: bool,
    page1: Option<Vec<u8>>,
    /// Pages other than page 1 that differ from the base.
    changed: PageSet,
    /// Of these, those to be asked for.
    wanted: PageSet,
    /// Of these, those asked for and not yet here. Page 1 is among them while it is awaited.
    outstanding: PageSet,
    /// Length of every page of this push, once one is here.
    data_bytes: Option<usize>,
    transferred: SyncComplete,
}

impl PushSession {
    /// A session on the present version.
    #[must_use]
    pub fn new(base: Image, max_database_bytes: u64) -> Self {
        Self {
            base,
            max_database_bytes,
            state: State::Opening,
            reply: None,
            announcements: Announcements::new(PageCount(0)),
            page1_hash: None,
            page1_differs: false,
            page1: None,
            changed: PageSet::default(),
            wanted: PageSet::default(),
            outstanding: PageSet::default(),
            data_bytes: None,
            transferred: SyncComplete { pages_transferred: 0, bytes_transferred: 0 },
        }
    }

    /// Takes the client's next frame.
    ///
    /// # Errors
    /// The refusal that ends the session, or what storage failed with.
    pub fn receive<S: PushStore>(
        &mut self,
        frame: &Frame<'_>,
        store: &mut S,
    ) -> Result<(), SessionError<S::Error>> {
        if self.state == State::Opening {
            let hello = expect_hello(frame, self.max_database_bytes)?;
            self.reply = Some(hello_reply(&self.base, &hello));
            self.announcements = Announcements::new(PageCount(hello.max_page));
            self.state = State::Announcing;
            return Ok(());
        }
        match frame {
            Frame::PageData(page) => self.page_data(page, store)?,
            Frame::PageDataBatch(pages) => pages.iter().try_for_each(|page| self.page_data(page, store))?,
            Frame::PageHash(page) if self.state == State::Announcing => self.page_hash(page, store)?,
            Frame::PageHashBatch(batch) if self.state == State::Announcing => self.batch(batch, store)?,
            Frame::Complete if self.state == State::Announcing => self.complete()?,
            other => return Err(misplaced(other).into()),
        }
        self.advance();
        Ok(())
    }

    /// The next frame to send, if there is one now.
    pub fn next_frame(&mut self) -> Option<Frame<'static>> {
        if let Some(frame) = self.reply.take().or_else(|| self.announcements.next_frame()) {
            return Some(frame);
        }
        let page = self.wanted.pop_first()?;
        self.outstanding.insert(page);
        Some(Frame::RequestPage(PageNumber { page_no: page.get() }))
    }

    /// Whether the client owes data.
    #[must_use]
    pub const fn is_awaiting_data(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// What came of the push; `None` while something is missing.
    ///
    /// # Errors
    /// When page 1 is no header of an SQLite database of this size.
    pub fn outcome(&self) -> Result<Option<PushOutcome>, Refusal> {
        if self.state != State::Whole {
            return Ok(None);
        }
        let Some(page1) = &self.page1 else {
            return Ok(Some(PushOutcome::Unchanged));
        };
        let page_count = self.announcements.max_page();
        let header =
            header::check_image(page1, page_count).map_err(|error| Refusal::wrong(error.to_string()))?;
        Ok(Some(PushOutcome::Changed(Box::new(PushPlan {
            base: self.base,
            page_size: header.page_size,
            page_count,
            page1: page1.clone(),
            volatile: Volatile::of(page1),
            changed: self.changed.clone(),
        }))))
    }

    /// The last frame of a push that succeeded.
    #[must_use]
    pub const fn complete_frame(&self) -> Frame<'static> {
        Frame::SyncComplete(self.transferred)
    }

    fn page_hash<S: PushStore>(
        &mut self,
        frame: &PageHash<'_>,
        store: &mut S,
    ) -> Result<(), SessionError<S::Error>> {
        let (page, hash) = self.announcements.page(frame)?;
        let in_base = self.base.page_count.contains(page);
        let equal = in_base && store.served_hash(page).map_err(SessionError::Store)? == hash;
        if page == PageNo::FIRST {
            self.page1_hash = Some(hash);
            self.page1_differs = !equal;
            return Ok(());
        }
        if equal {
            return Ok(());
        }
        self.changed.insert(page);
        store.note(page, &hash).map_err(SessionError::Store)?;
        if tree::zero_page_size(&hash).is_none() && !store.is_staged(&hash).map_err(SessionError::Store)? {
            self.wanted.insert(page);
        }
        Ok(())
    }

    fn batch<S: PushStore>(
        &mut self,
        frame: &PageHashBatch<'_>,
        store: &mut S,
    ) -> Result<(), SessionError<S::Error>> {
        let (run, combined) = self.announcements.batch(frame)?;
        if !batch_matches(&self.base, store, run, &combined)? {
            return Ok(self.announcements.refuse(run)?);
        }
        self.announcements.accept(run)?;
        if run.0 == PageNo::FIRST {
            self.page1_hash = Some(store.served_hash(PageNo::FIRST).map_err(SessionError::Store)?);
        }
        Ok(())
    }

    fn page_data<S: PushStore>(
        &mut self,
        frame: &PageBytes<'_>,
        store: &mut S,
    ) -> Result<(), SessionError<S::Error>> {
        let outstanding = PageNo::new(frame.page_no).filter(|page| self.outstanding.contains(*page));
        let page = outstanding.ok_or_else(|| Refusal::page(frame.page_no, "data was not requested"))?;
        self.check_length(frame)?;
        let hash = tree::leaf(frame.data);
        if page == PageNo::FIRST {
            if self.page1_hash != Some(hash) {
                return Err(Refusal::torn().into());
            }
            self.page1 = Some(frame.data.to_vec());
        } else {
            if store.noted(page).map_err(SessionError::Store)? != hash {
                let rule = "data does not match its announced hash: database changed while it was pushed; \
                            run push again";
                return Err(Refusal::page(frame.page_no, rule).into());
            }
            store.stage(&hash, frame.data).map_err(SessionError::Store)?;
        }
        self.outstanding.remove(page);
        self.transferred.pages_transferred += 1;
        self.transferred.bytes_transferred += frame.data.len() as u64;
        Ok(())
    }

    fn check_length(&mut self, frame: &PageBytes<'_>) -> Result<(), Refusal> {
        let bytes = frame.data.len();
        match self.data_bytes {
            Some(others) if others != bytes => {
                let rule = format_args!("data has {bytes} bytes, other pages have {others}").to_string();
                Err(Refusal::page(frame.page_no, rule))
            }
            Some(_) => Ok(()),
            None => {
                let size = u32::try_from(bytes).ok().and_then(PageSize::new);
                if size.is_none() {
                    let rule = format_args!("data has {bytes} bytes, which is no page size").to_string();
                    return Err(Refusal::page(frame.page_no, rule));
                }
                if u64::from(self.announcements.max_page().0) * bytes as u64 > self.max_database_bytes {
                    return Err(Refusal::too_large(self.max_database_bytes));
                }
                self.data_bytes = Some(bytes);
                Ok(())
            }
        }
    }

    fn complete(&mut self) -> Result<(), Refusal> {
        if self.announcements.max_page().0 == 0 && self.base.page_count.0 != 0 {
            // A push of an empty file and a pull into a missing one look the same here.
            return Err(Refusal::wrong(NOTHING_ANNOUNCED));
        }
        self.announcements.check_all()?;
        self.state = State::Completing;
        Ok(())
    }

    /// Asks for page 1 once everything else is here (PAG-07), and notices the end.
    fn advance(&mut self) {
        if !self.wanted.is_empty() || !self.outstanding.is_empty() {
            return;
        }
        let count_differs = self.announcements.max_page() != self.base.page_count;
        match self.state {
            State::Completing if count_differs || self.page1_differs || !self.changed.is_empty() => {
                self.wanted.insert(PageNo::FIRST);
                self.state = State::AwaitingPage1;
            }
            State::Completing | State::AwaitingPage1 => self.state = State::Whole,
            State::Opening | State::Announcing | State::Whole => {}
        }
    }
}
