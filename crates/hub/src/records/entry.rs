//! What a request for records is let in with.

use std::sync::Arc;

use ferry_core::records::ReachedTables;
use ferry_types::{Error, Reason, Result};

use crate::entry::RequestContext;

/// Everything that a request is let in with.
#[derive(Clone)]
pub(super) struct RecordsEntry {
    pub(super) context: RequestContext,
    pub(super) owner: Arc<str>,
}

impl RecordsEntry {
    /// The collections that the credential reaches.
    pub(super) fn tables(&self) -> ReachedTables<'_> {
        ReachedTables(&self.context.auth.restrictions.table_prefixes)
    }

    /// Refuses a collection that the credential does not reach (REC-33).
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) fn check_table(&self, coll: &str) -> Result<()> {
        if self.tables().contain(coll) {
            return Ok(());
        }
        Err(Error::new(
            Reason::PermissionDenied,
            format!("this credential does not reach the collection {coll}"),
        ))
    }
}
