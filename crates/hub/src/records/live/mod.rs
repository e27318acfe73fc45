//! The shell around the machines of `ferry_core::records::live`: it owns connections, storage and the clock.

mod over;
mod owner;
mod socket;
mod stream;

pub(super) use owner::OwnerTopics;
pub(super) use socket::upgrade;
pub(super) use stream::{END, Source, position_of, respond};

use crate::monotonic::{instant, now_ms};
