//! Mail (OPR-90 to OPR-94): a row of `outbox` in the transaction that causes it, so that it is sent if and only if that was
//! committed. The hub claims rows and sends them; what is read here of a mail never reaches a log.
//!
//! No code that works rests in the table: of a reset or a verification the row holds a code that nobody knows yet, and its
//! hash is stored when the row is claimed; of an invitation it holds the code itself. All are sealed with the key ring.

mod claim;
mod queue;
mod reseal;
mod settle;

use std::collections::BTreeMap;

use ferry_types::UserId;

pub use claim::{ClaimMail, LookAtOutbox, MailBacklog};
pub(crate) use queue::{MailTo, Outbox};
pub(crate) use reseal::reseal;
pub use settle::{MailRefused, MailSent};

/// How long it is tried to send a mail (OPR-91).
pub(crate) const GIVE_UP_MS: i64 = 24 * 3600 * 1000;
/// How long a code works that proves an address (OPR-92), seconds.
pub(crate) const VERIFY_TTL_SECONDS: i64 = 24 * 3600;
/// Mails that may wait, of all.
pub(crate) const WAITING_MAX: usize = 10_000;
/// Mails that may wait for one address.
pub(crate) const WAITING_PER_ADDRESS_MAX: usize = 10;

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailKind {
    /// Whether an address is its account's.
    Verify,
    /// Somebody is invited to an organisation.
    Invite,
    /// A code for a new password.
    Reset,
    /// What opens an account was changed.
    Changed,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Verify, Self::Invite, Self::Reset, Self::Changed];

    /// Its name, as templates and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Invite => "invite",
            Self::Reset => "reset",
            Self::Changed => "changed",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A mail that is to be sent now. Its code is a secret.
#[derive(Clone)]
pub struct WaitingMail {
    /// What it is called in the outbox.
    pub id: i64,
    /// What it is about.
    pub kind: MailKind,
    /// Whom it is for.
    pub address: String,
    /// The code of its link.
    pub code: Option<String>,
    /// What else it says, by name.
    pub words: BTreeMap<String, String>,
    /// How often it was tried, this time included.
    pub tries: u32,
    /// When it was caused, Unix milliseconds.
    pub created_unix_ms: i64,
    /// Whose it is, if the hub knows.
    user_id: Option<UserId>,
}
