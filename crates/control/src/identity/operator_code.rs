//! The code of the link that a hub without accounts prints (OPR-51).

use std::sync::{Mutex, MutexGuard, PoisonError};

use ferry_types::{Result, UnixMillis};

use crate::identity::codes::{code_hash, new_code};

/// How long the link is good, milliseconds.
const CODE_TTL_MS: i64 = 3_600_000;

/// The code of the link, while the hub has no accounts: its hash, and when it dies. It is forgotten with the process.
#[derive(Default)]
pub(crate) struct OperatorCode(Mutex<Option<([u8; 32], UnixMillis)>>);

impl OperatorCode {
    /// A new one, in place of any other.
    pub(crate) fn renew(&self, now: UnixMillis) -> Result<String> {
        let code = new_code()?;
        *self.lock() = Some((code_hash(&code), UnixMillis(now.0.saturating_add(CODE_TTL_MS))));
        Ok(code)
    }

    /// Whether it is this one, and good.
    pub(crate) fn is(&self, code: &str, now: UnixMillis) -> bool {
        self.lock().is_some_and(|(hash, dies)| hash == code_hash(code) && now < dies)
    }

    /// Ends it.
    pub(crate) fn spend(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<([u8; 32], UnixMillis)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
