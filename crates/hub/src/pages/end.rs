//! How a session ends.

use ferry_core::pages::Refusal;
use ferry_protocol::pages::close;

/// Why a session ended without its purpose reached.
#[derive(Debug)]
pub(super) enum End {
    /// Told in an error frame.
    Refused(Refusal),
    /// The hub stops.
    Stopping,
    /// The peer has gone.
    Gone,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{} {}", refusal.close.0, refusal.message),
            Self::Stopping => f.write_str(close::SHUTDOWN.1),
            Self::Gone => f.write_str("connection lost"),
        }
    }
}
