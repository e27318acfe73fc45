//! The identities of logs in a fork of a database that the hub writes: two logs that diverge never share one (PAG-31).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ferry_core::{
    events::{admin, identity::IdentityChange},
    ops::epoch,
};
use ferry_sqlite::{NativeSql, Result};
use ferry_types::{Error, Seq};

/// Bytes of randomness in the identity of an event store, and of a log of ops.
const LOG_ID_BYTES: usize = 16;
/// The same in the epoch of a log of ops.
const EPOCH_BYTES: usize = 8;

/// Who makes a copy of what, and when.
pub(crate) struct Forked {
    /// What it is, as it is written down: `fork of <id>`.
    pub(crate) reason: String,
    /// Who makes it.
    pub(crate) by: String,
    /// RFC 3339, UTC.
    pub(crate) at: String,
}

impl Forked {
    /// Gives the logs in the fork identities of their own.
    ///
    /// # Errors
    /// What storage reports, or when the operating system has no randomness.
    pub(crate) fn remint(&self, sql: &NativeSql<'_>, seq: Seq) -> Result<()> {
        let Self { reason, by, at } = self;
        let change = IdentityChange { commit_seq: seq.0, new_id: "", actor: by, reason, at };
        admin::remint_all(sql, &change, &mut || Ok(URL_SAFE_NO_PAD.encode(random::<LOG_ID_BYTES>()?)))?;
        epoch::fork(sql, &hex::encode(random::<LOG_ID_BYTES>()?), &hex::encode(random::<EPOCH_BYTES>()?))
    }
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(bytes)
}
