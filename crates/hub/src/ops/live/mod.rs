//! Live streams (ops specification, 2.3): where the head is, or the ops themselves. A stream is a cursor into the log;
//! nothing is queued for it, and it holds no file open.

mod feed;
mod nudge;
mod op_events;
mod over;
mod stream;
mod tail;

pub(super) use nudge::NudgeTopic;
pub(super) use op_events::OpTopic;
pub(super) use stream::{LiveMode, LiveStart, open};
