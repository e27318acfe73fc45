//! The anchor of a target: the one object there that is replaced, by the run of the hub that ships there (OPR-12).

use ferry_core::{
    backup::log::{LOG_FOLDER, LogContents, LogMark, TenureEnd},
    lineage::TargetAnchor,
};
use ferry_types::RunId;

use crate::{
    BackupKey, BackupTarget, Error, ObjectTag, Result,
    key::SEAL_BYTES,
    target_identity::{SNAPSHOTS, read_identity, snapshot_of},
};

const ANCHOR: &str = "anchor.json";
const ANCHOR_MAX_BYTES: usize = 64 << 10;

/// A target whose anchor is looked at.
pub struct AnchoredTarget {
    target: Box<dyn BackupTarget>,
    /// What the anchor is sealed with.
    key: Option<BackupKey>,
}

impl AnchoredTarget {
    /// That of `target`.
    #[must_use]
    pub const fn new(target: Box<dyn BackupTarget>, key: Option<BackupKey>) -> Self {
        Self { target, key }
    }

    /// The id of the hub whose backups it holds, and which alone has an anchor there; `None`: nobody's yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn owner(&self) -> Result<Option<String>> {
        Ok(read_identity(&*self.target)?.map(|identity| identity.hub_id))
    }

    /// The anchor, and by what it is replaced; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn read(&self) -> Result<Option<(TargetAnchor, ObjectTag)>> {
        read_anchor(&*self.target, self.key.as_ref())
    }

    /// What lies there now, of this run's log and of snapshots.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn reached(&self, run: RunId) -> Result<TenureEnd> {
        let listed = self.target.list(&format!("{LOG_FOLDER}/{run}"))?;
        let log = LogContents::of(listed.iter().map(|object| object.path.as_str()));
        // What is known to have been there and is gone is still missed.
        let heads = log.marks().filter_map(|mark| match mark {
            LogMark::Head(head, _) => Some(head),
            LogMark::Pruned(_) => None,
        });
        let spans = log.intervals().map(|one| one.span).chain(heads);
        let interval = spans.filter(|span| span.run == run).map(|span| span.last).max();
        let snapshots = self.target.list(SNAPSHOTS)?;
        let snapshot = snapshots.iter().filter_map(|object| snapshot_of(&object.path)).max();
        Ok(TenureEnd { interval: interval.unwrap_or(0), snapshot })
    }

    /// Writes it in the place of the one that has the tag `was`. False: another one stands there by now.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub fn write(&self, anchor: &TargetAnchor, was: Option<&ObjectTag>) -> Result<bool> {
        let bytes = serde_json::to_vec(anchor).expect("BUG: text and numbers are JSON");
        let bytes = match &self.key {
            Some(key) => key.seal(ANCHOR, &bytes)?,
            None => bytes,
        };
        self.target.replace(ANCHOR, &bytes, was)
    }
}

/// The anchor of a target, and by what it is replaced.
pub(crate) fn read_anchor(
    target: &dyn BackupTarget,
    key: Option<&BackupKey>,
) -> Result<Option<(TargetAnchor, ObjectTag)>> {
    let Some((bytes, tag)) = target.get_tagged(ANCHOR, ANCHOR_MAX_BYTES + SEAL_BYTES)? else {
        return Ok(None);
    };
    let opened = match key {
        Some(key) => key.open(ANCHOR, &bytes),
        None => Some(bytes),
    };
    let anchor = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(anchor) = anchor else {
        let url = target.url();
        // With another key, or none, nothing else is read there either.
        if let Some(identity) = read_identity(target)? {
            identity.check_key(url, key)?;
        }
        let what = format!(
            "it is damaged, and does not tell which hub ships to {url}: if it is this one alone, delete it there"
        );
        return Err(Error::damaged(ANCHOR, what));
    };
    Ok(Some((anchor, tag)))
}
