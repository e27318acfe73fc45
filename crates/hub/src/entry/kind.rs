//! The kind of a database: asked at the way in, fixed by its first write (ORG-09).

use ferry_types::{DatabaseId, DatabaseKind, Result};

use crate::hub::Hub;
use ferry_control::{Requester, wrong_kind};

/// Refuses a database that is of the other kind already.
///
/// # Errors
/// `WRONG_KIND`.
pub(crate) fn check_kind(hub: &Hub, id: DatabaseId, kind: DatabaseKind) -> Result<()> {
    match hub.control.database(id).and_then(|entry| entry.kind) {
        Some(is) if is != kind => Err(wrong_kind(is)),
        _ => Ok(()),
    }
}

/// A write that may be the first of its database: the kind is fixed before it, durably.
pub(crate) struct FirstWrite<'h> {
    hub: &'h Hub,
    id: DatabaseId,
    kind: DatabaseKind,
    by: &'h Requester,
    /// Whether the kind was open until now.
    is_first: bool,
}

impl<'h> FirstWrite<'h> {
    /// Fixes the kind.
    ///
    /// # Errors
    /// `WRONG_KIND`, or a failure of `control.db`.
    pub(crate) async fn claim(
        hub: &'h Hub,
        id: DatabaseId,
        kind: DatabaseKind,
        by: &'h Requester,
    ) -> Result<Self> {
        let claim = hub.control.kinds.claim(id, kind, by).await?;
        Ok(Self { hub, id, kind, by, is_first: claim.set_by_this_call })
    }

    /// Whether a failure would leave a kind to release.
    pub(crate) const fn fixed_the_kind(&self) -> bool {
        self.is_first
    }

    /// The write failed: the kind is as open as before, unless another write relies on it by now.
    pub(crate) async fn release(self) {
        if !self.is_first {
            return;
        }
        if let Err(error) = self.hub.control.kinds.release(self.id, self.by).await {
            let kind = self.kind.as_str();
            tracing::warn!(database = %self.id, %error, kind, "the database stays of its kind, though empty");
        }
    }
}
