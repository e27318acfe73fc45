//! What is known of a database's log without looking into its file.

use std::sync::Arc;

use ferry_core::events::Watermark;
use ferry_types::OpSeq;

/// The names of a log.
#[derive(Clone, Debug)]
pub(super) struct LogIdentity {
    /// 32 hex digits.
    pub(super) hub_id: String,
    /// 16 hex digits.
    pub(super) epoch: String,
}

/// A log and how far it is: what the control plane remembers, so that an older file is noticed (OPS-31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPosition {
    /// `<hub_id>/<epoch>`.
    pub(super) identity: Arc<str>,
    /// Its highest op number.
    pub(super) head: OpSeq,
}

impl LogPosition {
    pub(super) fn new(hub_id: &str, epoch: &str, head: OpSeq) -> Self {
        Self { identity: format!("{hub_id}/{epoch}").into(), head }
    }

    /// As the control plane keeps it.
    pub(super) fn watermark(&self) -> Watermark {
        let head = i64::try_from(self.head.0).unwrap_or(i64::MAX);
        Watermark { backend_id: (*self.identity).into(), head }
    }

    /// Whether the file that stands here was put back: it is not the log that is remembered, or lacks ops of it.
    pub(super) fn is_older_than(&self, known: &Watermark) -> bool {
        *known.backend_id != *self.identity || known.head > i64::try_from(self.head.0).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-31
    #[test]
    fn an_older_or_another_log_was_put_back() {
        let now = LogPosition::new("a", "b", OpSeq(7));
        let known = |epoch: &str, head| LogPosition::new("a", epoch, OpSeq(head)).watermark();
        assert!(!now.is_older_than(&known("b", 7)) && !now.is_older_than(&known("b", 3)));
        assert!(now.is_older_than(&known("b", 8)) && now.is_older_than(&known("c", 3)));
    }
}
