//! The spoke: a store of ops that exchanges them with a hub when it can (OPS-60 to OPS-67, sans-IO).

mod credential;
mod exchange;
mod ids;
mod load;
mod log;
mod offset;
mod outbox;
mod page;
mod peer;
mod recovery;
mod restamp;
mod results;
mod schema;
mod serve;
mod status;
mod write;

use ferry_types::{Seq, UnixMillis};

pub use credential::note_credential;
pub use exchange::{SpokeExchange, SpokeFailure, SpokeNext, SpokePush, SpokeRefusal, SpokeRequest};
pub use ids::Random;
pub use offset::{clock_offset_ms, corrected};
pub use outbox::OutboxProblem;
pub use peer::{Peer, PeerTarget};
pub use serve::{begin_serving, end_serving};
pub use status::{SpokeState, cursor, state};
pub use write::{WriteOutcome, append, prepare, resolve};

/// What one step of the spoke is given beside its store.
pub struct SpokeStep<'a> {
    /// The time to write ops with: see [`corrected`].
    pub now: UnixMillis,
    /// The commit that the step is part of.
    pub commit: Seq,
    /// Randomness.
    pub random: &'a mut Random<'a>,
}
