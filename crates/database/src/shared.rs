//! What the databases of a hub share.

use std::sync::Arc;

use crate::{InlineRuns, OpenFiles, blank::Blanks, capture::Captures, checked::CheckOnce};

/// What the databases of a hub share.
pub(crate) struct Shared<M> {
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) inline: Arc<InlineRuns>,
    pub(crate) blanks: Blanks<M>,
    pub(crate) captures: Arc<Captures>,
    pub(crate) check: CheckOnce,
}
