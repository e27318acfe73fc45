//! The shell around the machines of `ferry_core::records::live`: it owns connections, storage and the clock.

mod outlet;
mod over;
mod owner;
mod socket;
mod stream;

pub(super) use owner::OwnerTopics;
pub(super) use socket::upgrade;
pub(super) use stream::{END, Source, position_of, respond};

use std::sync::OnceLock;

use tokio::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Milliseconds of this process: what the machines count in.
fn now_ms() -> u64 {
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// When it is so late.
fn instant(at_ms: u64) -> Instant {
    *START.get_or_init(Instant::now) + std::time::Duration::from_millis(at_ms)
}
