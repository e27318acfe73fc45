//! What push and pull sessions of EdgeReplica's wire share: the image they are pinned to, how they end, and
//! the messages of the pages specification, sections 3.1 and 5.

use std::borrow::Cow;

use ferry_protocol::pages::{Frame, Hello, HelloReply, PROTOCOL_VERSION, close};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, limits::EDGEREPLICA_BATCH_MAX_PAGES};

/// Smallest page size, which bounds the pages of a database before its page size is known.
const SMALLEST_PAGE_BYTES: u64 = 512;

/// The version that a session is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its number.
    pub version: u64,
    /// Bytes per page; `None` for the empty database.
    pub page_size: Option<PageSize>,
    /// Its pages.
    pub page_count: PageCount,
}

/// Hashes of the pages of the pinned version.
pub trait ImageHashes {
    /// What reading them can fail with.
    type Error;

    /// BLAKE3 of a page of the image as it is served: page 1 with its volatile bytes, the lock page as zeros.
    ///
    /// # Errors
    /// When it cannot be read.
    fn served_hash(&mut self, page: PageNo) -> Result<Leaf, Self::Error>;
}

/// The end of a session: an error frame, then a close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the error frame: what was wrong and what to do.
    pub message: Cow<'static, str>,
    /// Close code and its reason.
    pub close: (u16, &'static str),
}

impl Refusal {
    /// Wrong order or content.
    pub fn wrong(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), close: close::SERVER_ERROR }
    }

    /// A wrong value for a page.
    pub(super) fn page(page_no: u32, rule: impl std::fmt::Display) -> Self {
        Self::wrong(format!("page {page_no}: {rule}"))
    }

    /// Over the size limit of a database.
    #[must_use]
    pub fn too_large(max_database_bytes: u64) -> Self {
        let message = format!("the database is over this hub's limit of {max_database_bytes} bytes");
        Self { message: message.into(), close: close::TOO_LARGE }
    }

    /// Another push won (PAG-08).
    #[must_use]
    pub fn conflict(current: u64) -> Self {
        let message = format!(
            "another push was committed first (now version {current}); pull before you push again, or you replace it"
        );
        Self { message: message.into(), close: close::TRY_AGAIN }
    }

    /// The file changed between the announcement of a page and its transfer (PAG-07).
    #[must_use]
    pub fn torn() -> Self {
        Self::wrong("database changed while it was pushed; run push again")
    }

    /// The same image came twice, so that it was not torn by a writer (PAG-19).
    #[must_use]
    pub fn damaged(finding: &str) -> Self {
        let message = format!(
            "DAMAGED: the file itself is damaged, so pushing it again does not help ({finding}); \
             see PRAGMA integrity_check, repair it with sqlite3's .recover, then push the result"
        );
        Self { message: message.into(), close: close::DAMAGED }
    }
}

/// Why a session's step failed.
#[derive(Debug)]
pub enum SessionError<E> {
    /// The client's fault, or a rule's: tell it and close.
    Refused(Refusal),
    /// Storage failed.
    Store(E),
}

impl<E> From<Refusal> for SessionError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Checks the frame that must be hello.
pub(super) fn expect_hello(frame: &Frame<'_>, max_database_bytes: u64) -> Result<Hello, Refusal> {
    let Frame::Hello(hello) = frame else {
        return Err(Refusal::wrong("first message must be Hello"));
    };
    if hello.protocol_version != PROTOCOL_VERSION {
        let theirs = hello.protocol_version;
        let message = format!("protocol_version mismatch: server={PROTOCOL_VERSION}, client={theirs}");
        return Err(Refusal::wrong(message));
    }
    if u64::from(hello.max_page) * SMALLEST_PAGE_BYTES > max_database_bytes {
        return Err(Refusal::too_large(max_database_bytes));
    }
    Ok(*hello)
}

/// The answer to hello.
pub(super) fn hello_reply(image: &Image, hello: &Hello) -> Frame<'static> {
    Frame::HelloReply(HelloReply {
        protocol_version: PROTOCOL_VERSION,
        page_size: image.page_size.map_or(hello.page_size, PageSize::get),
        max_page: image.page_count.0,
    })
}

/// What a frame means that has no place in a session after hello.
pub(super) fn misplaced(frame: &Frame<'_>) -> Refusal {
    if frame.is_from_hub() {
        Refusal::wrong("client may not send server-originated message")
    } else if matches!(frame, Frame::Hello(_)) {
        Refusal::wrong("Hello may only be sent once")
    } else {
        Refusal::wrong(format!("{} may not be sent after complete", frame.kind()))
    }
}

/// Whether the combined hash of a batch is that of the image's pages `first` to `last`.
pub(super) fn batch_matches<H: ImageHashes>(
    image: &Image,
    hashes: &mut H,
    (first, last): (PageNo, PageNo),
    combined: &Leaf,
) -> Result<bool, SessionError<H::Error>> {
    if last.get() - first.get() >= EDGEREPLICA_BATCH_MAX_PAGES {
        return Err(Refusal::page(
            first.get(),
            format_args!("a batch may cover at most {EDGEREPLICA_BATCH_MAX_PAGES} pages"),
        )
        .into());
    }
    if !image.page_count.contains(last) {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    for page in (first.get()..=last.get()).filter_map(PageNo::new) {
        hasher.update(&hashes.served_hash(page).map_err(SessionError::Store)?.0);
    }
    Ok(hasher.finalize().as_bytes() == &combined.0)
}
