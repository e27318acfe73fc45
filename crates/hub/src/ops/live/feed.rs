//! What a stream shows of its log, one event after the other.

use bytes::Bytes;
use ferry_types::OpSeq;

/// What a feed has next.
#[derive(Debug)]
pub(super) enum FeedStep {
    Event(Bytes),
    Nothing,
    /// What comes next is in the log alone: read it behind [`Feed::position`], then [`Feed::seek`].
    Read,
    /// The log is another one.
    Resync,
}

/// What a stream shows of its log.
pub(super) trait Feed: Send + 'static {
    fn next(&mut self) -> FeedStep;

    /// Up to where everything was told.
    fn position(&self) -> OpSeq;

    /// Everything was told up to there.
    fn seek(&mut self, position: OpSeq);
}
