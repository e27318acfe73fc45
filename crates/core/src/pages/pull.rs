//! The hub's side of a pull over EdgeReplica's wire (section 2.2, PAG-10 to PAG-15).
//!
//! Until its `complete` the client reads nothing, so nothing is sent to its hashes. Afterwards the caller sends
//! the pages that [`PullSession::next_page`] names, reading each when the socket can take it, then
//! [`PullSession::complete_frame`].

use ferry_protocol::pages::{Frame, PageHash, PageHashBatch, SyncComplete, close};
use ferry_types::{PageCount, PageNo, PageSize};

use super::{
    Image, ImageHashes, PageSet, Refusal, SessionError,
    announce::Announcements,
    session::{batch_matches, expect_hello, hello_reply, misplaced},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before hello.
    Opening,
    /// Hashes come in.
    Announcing,
    /// Pages go out.
    Sending(Next),
}

/// What may have to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// This page or one above it.
    From(PageNo),
    /// Page 1, the last one.
    First,
    /// Nothing.
    Done,
}

/// A pull session.
#[derive(Debug)]
pub struct PullSession {
    image: Image,
    max_database_bytes: u64,
    state: State,
    reply: Option<Frame<'static>>,
    announcements: Announcements,
    /// Pages that the client has as the image has them.
    equal: PageSet,
    transferred: SyncComplete,
}

impl Next {
    fn after(page: PageNo) -> Self {
        page.get().checked_add(1).and_then(PageNo::new).map_or(Self::First, Self::From)
    }
}

impl PullSession {
    /// A session on this version.
    #[must_use]
    pub fn new(image: Image, max_database_bytes: u64) -> Self {
        Self {
            image,
            max_database_bytes,
            state: State::Opening,
            reply: None,
            announcements: Announcements::new(PageCount(0)),
            equal: PageSet::default(),
            transferred: SyncComplete { pages_transferred: 0, bytes_transferred: 0 },
        }
    }

    /// Takes the client's next frame.
    ///
    /// # Errors
    /// The refusal that ends the session, or what storage failed with.
    pub fn receive<H: ImageHashes>(
        &mut self,
        frame: &Frame<'_>,
        hashes: &mut H,
    ) -> Result<(), SessionError<H::Error>> {
        if self.state == State::Opening {
            return Ok(self.hello(frame)?);
        }
        match frame {
            Frame::PageData(_) | Frame::PageDataBatch(_) => {
                let message = "this token allows pull only".into();
                return Err(Refusal { message, close: close::RIGHTS }.into());
            }
            Frame::PageHash(page) if self.state == State::Announcing => self.page_hash(page, hashes)?,
            Frame::PageHashBatch(batch) if self.state == State::Announcing => self.batch(batch, hashes)?,
            Frame::Complete if self.state == State::Announcing => {
                // The client cannot truncate, but SQLite believes the page count that page 1 states (PAG-14).
                if self.announcements.max_page() > self.image.page_count {
                    self.equal.remove(PageNo::FIRST);
                }
                self.state = State::Sending(Next::after(PageNo::FIRST));
            }
            other => return Err(misplaced(other).into()),
        }
        Ok(())
    }

    /// The next frame to send before any page, if there is one now.
    pub fn next_frame(&mut self) -> Option<Frame<'static>> {
        self.reply.take().or_else(|| self.announcements.next_frame())
    }

    /// Whether pages go out.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        matches!(self.state, State::Sending(_))
    }

    /// The next page to send in served form; `None` when all are sent (or the client is not complete yet).
    ///
    /// Ascending, but page 1 last (PAG-17): the client writes pages into its live file as they come, and a new schema
    /// cookie on page 1 makes its SQLite read the schema anew, which must be whole by then.
    pub fn next_page(&mut self) -> Option<PageNo> {
        let (State::Sending(next), Some(size)) = (self.state, self.image.page_size) else { return None };
        let page = match next {
            Next::From(from) => {
                let mut rest = (from.get()..=self.image.page_count.0).filter_map(PageNo::new);
                rest.find(|page| !self.equal.contains(*page) && *page != size.lock_page())
            }
            Next::First | Next::Done => None,
        };
        let page = page.or_else(|| {
            let is_due = next != Next::Done && !self.equal.contains(PageNo::FIRST);
            is_due.then_some(PageNo::FIRST)
        });
        self.state = State::Sending(match page {
            Some(page) if page != PageNo::FIRST => Next::after(page),
            _ => Next::Done,
        });
        if page.is_some() {
            self.transferred.pages_transferred += 1;
            self.transferred.bytes_transferred += u64::from(size.get());
        }
        page
    }

    /// The last frame, once [`Self::next_page`] has no more.
    #[must_use]
    pub const fn complete_frame(&self) -> Frame<'static> {
        Frame::SyncComplete(self.transferred)
    }

    fn hello(&mut self, frame: &Frame<'_>) -> Result<(), Refusal> {
        let hello = expect_hello(frame, self.max_database_bytes)?;
        match self.image.page_size {
            Some(size) if size != PageSize::DEFAULT && hello.max_page == 0 => {
                return Err(Refusal::wrong(format!(
                    "page size is {size}; this client can only create {}: use ferry pull",
                    PageSize::DEFAULT
                )));
            }
            _ => {}
        }
        self.reply = Some(hello_reply(&self.image, &hello));
        self.announcements = Announcements::new(PageCount(hello.max_page));
        self.state = State::Announcing;
        Ok(())
    }

    fn page_hash<H: ImageHashes>(
        &mut self,
        frame: &PageHash<'_>,
        hashes: &mut H,
    ) -> Result<(), SessionError<H::Error>> {
        let (page, hash) = self.announcements.page(frame)?;
        if self.image.page_count.contains(page)
            && hashes.served_hash(page).map_err(SessionError::Store)? == hash
        {
            self.equal.insert(page);
        }
        Ok(())
    }

    fn batch<H: ImageHashes>(
        &mut self,
        frame: &PageHashBatch<'_>,
        hashes: &mut H,
    ) -> Result<(), SessionError<H::Error>> {
        let (run, combined) = self.announcements.batch(frame)?;
        if !batch_matches(&self.image, hashes, run, &combined)? {
            return Ok(self.announcements.refuse(run)?);
        }
        self.announcements.accept(run)?;
        for page in (run.0.get()..=run.1.get()).filter_map(PageNo::new) {
            self.equal.insert(page);
        }
        Ok(())
    }
}
