//! Page sync: what an image is (header, leaves, tree), and the session machines of EdgeReplica's wire.
//! Terms are those of the pages specification, section 2.1.

mod announce;
pub mod body;
pub mod header;
mod pageset;
pub mod pull;
pub mod push;
pub mod session;
pub mod structure;
pub mod tree;

pub use header::{Header, Volatile};
pub use pageset::PageSet;
pub use pull::PullSession;
pub use push::{PushPlan, PushSession};
pub use session::{Image, ImageHashes, Refusal, SessionError};

#[cfg(test)]
mod tests;
