//! Why the database ended a call.

use ferry_sqlite::tracked::SqlLimit;
use ferry_types::Error;

/// Why the database ended a call.
#[derive(Clone, Debug)]
pub(in crate::functions) enum CallEnd {
    /// It writes, and reads a snapshot: it is run again where it may.
    NeedsWriter,
    /// What it read has changed before it could write: it is run again.
    Restart,
    /// The same, and it has used `fetch` (FUN-13).
    Conflict,
    /// It came by GET, and writes.
    WriteByGet,
    /// It was run to see whether its result changed, and writes.
    WriteByGate,
    /// It used more of SQL than it may.
    Limit(SqlLimit),
    /// It waited for too long while it held the writer.
    HeldTooLong,
    /// It ran for too long.
    RanTooLong,
    /// The hub refuses: the disk is full, a right ended, the database is busy.
    Refused(Error),
    /// A stored answer belongs to another call of the same key.
    OtherCallOfKey,
    /// It uses more CPU than a call in a group may: it is run again by itself.
    LongInGroup,
    /// It appends to an event store that is not open: the call is run again once it is.
    OpenStore(Box<str>),
}
