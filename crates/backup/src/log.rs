//! The log of a target: which moments can be restored, and from what (OPR-09, OPR-21).

use ferry_core::backup::{
    SnapshotId,
    log::{LOG_FOLDER, LogBase, LogContents, LogPlan, NearestMoments, RestorableRange},
    manifest::{Manifest, Scope},
};
use ferry_types::UnixMillis;

use crate::{Error, ListedSnapshot, Repository, Result};

/// A snapshot, as far as the log is concerned.
pub(crate) fn base_of(manifest: &Manifest) -> LogBase<SnapshotId> {
    // While it is taken some databases are read earlier than others: the log makes one moment of it once all are.
    let time_ms = manifest.log.and(manifest.read_ms).unwrap_or(manifest.time_ms);
    LogBase { time_ms, log: manifest.log, name: manifest.id }
}

/// A snapshot, and nothing of what follows it.
pub(crate) fn alone(manifest: &Manifest) -> LogPlan<SnapshotId> {
    let base = LogBase { time_ms: manifest.time_ms, log: manifest.log, name: manifest.id };
    LogPlan { base, intervals: Vec::new() }
}

/// The moments of a hub of which these snapshots are.
fn bases_of(
    snapshots: &[ListedSnapshot],
    scope: Scope,
    is_damaged: impl Fn(SnapshotId) -> bool,
) -> Vec<LogBase<SnapshotId>> {
    let whole = snapshots.iter().filter_map(|listed| listed.manifest.as_ref().ok());
    whole.filter(|manifest| manifest.scope == scope && !is_damaged(manifest.id)).map(base_of).collect()
}

impl Repository {
    /// What lies there of the log.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub(crate) fn log(&self) -> Result<LogContents> {
        let objects = self.target.list(LOG_FOLDER)?;
        Ok(LogContents::of(objects.iter().map(|object| object.path.as_str())))
    }

    /// The moments to which the hub can be restored, of these snapshots and of what lies there of the log.
    ///
    /// # Errors
    /// When the target cannot be listed.
    pub fn ranges(&self, snapshots: &[ListedSnapshot]) -> Result<Vec<RestorableRange>> {
        let verdicts = self.verdicts()?;
        let is_damaged = |id| verdicts.get(&id).is_some_and(|verdict| !verdict.is_whole);
        Ok(self.log()?.ranges(&bases_of(snapshots, Scope::Hub, is_damaged)))
    }

    /// What is read to restore the hub as it was at `at`, or as near before it as can be; without a time as it was last. From the
    /// snapshot `id`, if one is named: without a time, it alone.
    ///
    /// # Errors
    /// When there is no such snapshot, or nothing of that moment.
    pub fn plan(&self, id: Option<SnapshotId>, at: Option<UnixMillis>) -> Result<LogPlan<SnapshotId>> {
        let bases = match id {
            Some(id) => {
                let manifest = self.manifest(id)?;
                if at.is_none() {
                    return Ok(alone(&manifest));
                }
                vec![base_of(&manifest)]
            }
            None => {
                let (snapshots, verdicts) = (self.snapshots()?, self.verdicts()?);
                let is_damaged = |id| verdicts.get(&id).is_some_and(|verdict| !verdict.is_whole);
                match bases_of(&snapshots, Scope::Hub, is_damaged) {
                    // Better than none.
                    bases if bases.is_empty() => bases_of(&snapshots, Scope::Hub, |_| false),
                    bases => bases,
                }
            }
        };
        if bases.is_empty() {
            let what = format!("{} has no backup of a whole hub: name one that it has", self.url());
            return Err(Error::NotFound(what));
        }
        let at_ms = at.map(|at| at.0);
        self.log()?.plan(&bases, at_ms).map_err(|nearest| not_kept(at.unwrap_or(UnixMillis(0)), nearest))
    }

    /// What of the log follows a snapshot, up to the next one.
    pub(crate) fn following(&self, manifest: &Manifest) -> Result<LogPlan<SnapshotId>> {
        let base = base_of(manifest);
        if base.log.is_none() {
            return Ok(alone(manifest));
        }
        let later = self.snapshots()?.into_iter().filter_map(|listed| listed.manifest.ok());
        let next = later.filter(|later| later.scope == Scope::Hub && later.id > manifest.id);
        let until = next.map(|next| base_of(&next).time_ms).min();
        let plan = self.log()?.plan(&[base], until.filter(|until| *until >= base.time_ms));
        Ok(plan.unwrap_or_else(|_| alone(manifest)))
    }
}

/// A moment as people write it: RFC 3339, or `latest`, which is none.
///
/// # Errors
/// When it is neither.
pub fn moment(text: &str) -> Result<Option<UnixMillis>> {
    if text == "latest" {
        return Ok(None);
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(Some(UnixMillis(at.as_millisecond()))),
        Err(_) => Err(Error::Invalid(format!(
            "{text}: expected a time such as 2026-11-29T01:42:00Z (RFC 3339), or latest"
        ))),
    }
}

fn not_kept(at: UnixMillis, nearest: NearestMoments) -> Error {
    let named = |moment: Option<i64>, word: &str| match moment {
        Some(ms) => format!("the nearest {word} it is {}", UnixMillis(ms)),
        None => format!("there is none {word} it"),
    };
    Error::NotFound(format!(
        "nothing restores to {at}: {}, {}; `ferry backup list` tells the ranges",
        named(nearest.before_ms, "before"),
        named(nearest.after_ms, "after"),
    ))
}
