//! What is wrong with a body, and where.

/// A body that breaks a rule of its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}, at byte {offset}")]
pub struct BodyError {
    /// Where, counted from the first byte of the body: the field, or the entry whose content it is.
    pub offset: u64,
    /// Which rule.
    pub fault: BodyViolation,
}

/// A rule that a body breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyViolation {
    /// Other first bytes.
    #[error("not a body of pages: it begins with other bytes than FRYP")]
    Magic,
    /// A format of the future.
    #[error("format {0} is not known: use a newer ferry")]
    Format(u8),
    /// A field of the header.
    #[error("the header has a wrong {0}")]
    Header(&'static str),
    /// An opcode that there is not, or not in this body.
    #[error("opcode {0:02x} is not allowed here")]
    Opcode(u8),
    /// A varint of more than 64 bits, or with needless bytes.
    #[error("a varint is too long")]
    Varint,
    /// A run list that leaves the page numbers.
    #[error("a run list names page {0}, which there is not")]
    Page(i128),
    /// More runs or pages than an entry may have.
    #[error("an entry has more {0} than allowed: split it")]
    TooMany(&'static str),
    /// A list without pages, where there must be one.
    #[error("an entry has no pages")]
    NoPages,
    /// A compressed frame that is longer than its content can be.
    #[error("a frame of {0} bytes is longer than its pages can need")]
    FrameLength(u64),
    /// A compressed frame that is none, or holds other than it must.
    #[error("a compressed frame {0}")]
    Frame(&'static str),
    /// A page is written twice.
    #[error("page {0} is a target twice")]
    Twice(u32),
    /// A page that must not be a target.
    #[error("page {0} must not be a target: {1}")]
    Target(u32, &'static str),
    /// A page that the base does not have.
    #[error("page {0} is not one of the base")]
    Base(u32),
    /// A page that had to come did not.
    #[error("page {0} is missing")]
    Missing(u32),
    /// END counts other than came.
    #[error("END counts {stated} pages, {found} came")]
    Count {
        /// In END.
        stated: u32,
        /// Before it.
        found: u32,
    },
    /// Bytes after END.
    #[error("bytes follow END")]
    Trailing,
    /// The body ends before END.
    #[error("the body ends before END")]
    Ended,
}
