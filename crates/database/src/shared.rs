//! What the databases of a hub share.

use std::sync::{Arc, OnceLock};

use ferry_types::{Clock, DatabaseId};

use crate::{ChangedDatabases, InlineRuns, OpenFiles, blank::Blanks, capture::Captures, checked::CheckOnce};

/// What the databases of a hub share.
pub(crate) struct Shared<M> {
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) inline: Arc<InlineRuns>,
    pub(crate) blanks: Blanks<M>,
    pub(crate) captures: Arc<Captures>,
    pub(crate) check: CheckOnce,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who wants to know which were written.
    pub(crate) changed: OnceLock<Arc<ChangedDatabases>>,
}

impl<M> Shared<M> {
    /// A database was written.
    pub(crate) fn note_changed(&self, id: DatabaseId) {
        if let Some(changed) = self.changed.get() {
            changed.note(id, self.clock.now());
        }
    }
}
