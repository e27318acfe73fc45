//! Page sync: EdgeReplica's wire, `GET /sync` (pages specification, sections 2.2, 2.6, 3.1), and Ferry's own over HTTP
//! (`api`).
//!
//! A session of EdgeReplica's wire is one task. It reads and writes its socket; everything that touches files or hashes pages runs in
//! batches on blocking threads, and only one batch of a session at a time. What the session says is decided by
//! the machines in `ferry_core::pages`.

mod api;
mod body_cache;
mod commit;
mod end;
mod lookup;
mod maintenance;
mod pinned;
mod pull;
mod push;
mod put_back;
mod remint;
mod route;
mod service;
mod session;
mod shell;
mod socket;
mod state;
mod unfinished;

pub(crate) use pinned::{pinned, pinned_at};
pub(crate) use put_back::{make_pushed, put_back};
pub(crate) use remint::Forked;
pub use service::PagesService;
pub use state::PagesState;
pub(crate) use unfinished::{begin_database, finish_database};

use ferry_core::pages::{Refusal, SessionError};
use ferry_protocol::pages::close;
use ferry_types::Reason;

/// What a failure of storage tells the client; the cause is in the log.
fn refusal(error: ferry_types::Error) -> Refusal {
    let close = match error.reason {
        Reason::TokenExpired => (close::RIGHTS.0, "token expired"),
        Reason::TokenRevoked => (close::RIGHTS.0, "token revoked"),
        Reason::NotFound => (close::RIGHTS.0, "database deleted"),
        Reason::WrongKind | Reason::Unauthenticated | Reason::PermissionDenied => close::RIGHTS,
        Reason::TooLarge => close::TOO_LARGE,
        Reason::Busy | Reason::ShuttingDown | Reason::ByteBudget => close::TRY_AGAIN,
        _ => close::SERVER_ERROR,
    };
    Refusal { message: error.message, close }
}

fn session_refusal(error: SessionError<ferry_sqlite::Error>) -> Refusal {
    match error {
        SessionError::Refused(refusal) => refusal,
        SessionError::Store(error) => refusal(error.into_refusal()),
    }
}

#[cfg(test)]
mod tests;
