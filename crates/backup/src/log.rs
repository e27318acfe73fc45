//! The log of a target: which moments can be restored, and from what (OPR-09, OPR-21).

use ferry_core::backup::{
    SnapshotId,
    log::{
        LOG_FOLDER, LogBase, LogContents, LogInterval, LogMark, LogObject, LogPlan, LostIntervals,
        NearestMoments, RestorableRange, TargetHistory, UnreachedMoment,
    },
    manifest::{Manifest, Scope, SnapshotDatabase},
    segment::{IntervalDatabases, OBJECT_MAX_BYTES, OBJECT_MIN_BYTES, ReadLogObject},
};
use ferry_types::UnixMillis;

use crate::{
    DamagedSnapshot, Error, HubPlan, ListedSnapshot, ObjectInfo, Repository, Result, history::is_of,
};

/// Longest mark of the log.
const MARK_MAX_BYTES: usize = 64 << 10;

/// A snapshot, as far as the log is concerned.
pub(crate) fn base_of(manifest: &Manifest) -> LogBase<SnapshotId> {
    // While it is taken some databases are read earlier than others: the log makes one moment of it once all are.
    let time_ms = manifest.read_ms.unwrap_or(manifest.time_ms);
    LogBase { time_ms, log: manifest.log, name: manifest.id, shipped: manifest.shipped }
}

/// A snapshot, and nothing of what follows it.
pub(crate) fn alone(manifest: &Manifest) -> LogPlan<SnapshotId> {
    let base = base_of(manifest);
    // What a log makes one moment of is of the moment when it began, without it.
    let time_ms = base.log.map_or(base.time_ms, |_| manifest.time_ms);
    let base = LogBase { time_ms, ..base };
    LogPlan { base, intervals: Vec::new() }
}

/// The moments of a hub of which these snapshots are.
fn bases_of(snapshots: &[ListedSnapshot], is_meant: impl Fn(&Manifest) -> bool) -> Vec<LogBase<SnapshotId>> {
    let whole = snapshots.iter().filter_map(|listed| listed.manifest.as_ref().ok());
    whole.filter(|manifest| manifest.scope == Scope::Hub && is_meant(manifest)).map(base_of).collect()
}

impl Repository {
    /// What lies there of the log.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub(crate) fn log(&self) -> Result<LogContents> {
        let objects = self.target.list(LOG_FOLDER)?;
        // What is shorter than any object is as good as missing.
        let is_one = |object: &&ObjectInfo| {
            object.bytes >= OBJECT_MIN_BYTES || object.path.parse::<LogObject>().is_err()
        };
        Ok(LogContents::of(objects.iter().filter(is_one).map(|object| object.path.as_str())))
    }

    /// The moments to which the hub can be restored, of these snapshots and of what lies there of the log.
    ///
    /// # Errors
    /// When the target cannot be listed.
    pub fn ranges(&self, snapshots: &[ListedSnapshot]) -> Result<Vec<RestorableRange>> {
        let verdicts = self.verdicts()?;
        let is_damaged = |id| verdicts.get(&id).is_some_and(|verdict| !verdict.is_whole);
        let history = self.history()?;
        let bases = bases_of(snapshots, |manifest| is_of(&history, manifest) && !is_damaged(manifest.id));
        Ok(self.log()?.of_history(&history).ranges(&bases))
    }

    /// What is read to restore the hub as it was at `at`, or as near before it as can be; without a time as it was last. From the
    /// snapshot `id`, if one is named: without a time, it alone.
    ///
    /// # Errors
    /// When there is no such snapshot, nothing of that moment, or a snapshot that does not restore is nearer to it.
    pub fn plan(&self, id: Option<SnapshotId>, at: Option<UnixMillis>) -> Result<LogPlan<SnapshotId>> {
        let Some(id) = id else { return self.hub_plan(at)?.furthest() };
        let manifest = self.manifest(id)?;
        if at.is_none() {
            return Ok(alone(&manifest));
        }
        self.plan_upon(&self.log()?, &[base_of(&manifest)], at)
    }

    /// What is read to restore the hub as it was at `at`, or as near before it as can be; without a time as it was last.
    ///
    /// # Errors
    /// When there is no snapshot of a hub that restores, or nothing of that moment.
    pub fn hub_plan(&self, at: Option<UnixMillis>) -> Result<HubPlan> {
        let (snapshots, verdicts, history) = (self.snapshots()?, self.verdicts()?, self.history()?);
        let is_damaged = |id| verdicts.get(&id).is_some_and(|verdict| !verdict.is_whole);
        let is_owners = |manifest: &Manifest| is_of(&history, manifest);
        let bases = match bases_of(&snapshots, |one| is_owners(one) && !is_damaged(one.id)) {
            // Better than none.
            bases if bases.is_empty() => bases_of(&snapshots, is_owners),
            bases => bases,
        };
        let damaged = |listed: &ListedSnapshot| match &listed.manifest {
            Err(error) => Some(DamagedSnapshot::of(listed, error)),
            Ok(manifest) if !is_owners(manifest) => None,
            Ok(manifest) if manifest.scope == Scope::Hub && is_damaged(listed.id) => Some(DamagedSnapshot {
                id: listed.id,
                what: "verifying it found it damaged".to_owned(),
                until_ms: base_of(manifest).time_ms,
            }),
            Ok(_) => None,
        };
        let mut damaged = snapshots.iter().filter_map(damaged);
        if bases.is_empty() {
            return Err(match damaged.next() {
                Some(damaged) => damaged.refusal("no backup of a hub there has a whole manifest"),
                None => self.no_hub(&history)?,
            });
        }
        let plan = self.plan_upon(&self.log()?.of_history(&history), &bases, at)?;
        let reached = plan.reached_ms();
        let lacking = damaged.find(|damaged| {
            let is_asked_for = at.is_none_or(|at| damaged.id.seconds().saturating_mul(1000) <= at.0);
            is_asked_for && damaged.id > plan.base.name && damaged.until_ms > reached
        });
        Ok(HubPlan { plan, lacking })
    }

    fn plan_upon(
        &self,
        log: &LogContents,
        bases: &[LogBase<SnapshotId>],
        at: Option<UnixMillis>,
    ) -> Result<LogPlan<SnapshotId>> {
        match log.plan(bases, at.map(|at| at.0)) {
            Ok(plan) => Ok(plan),
            Err(UnreachedMoment::NotKept(nearest)) => Err(not_kept(at.unwrap_or(UnixMillis(0)), nearest)),
            Err(UnreachedMoment::Lost(lost, nearest)) => Err(self.is_lost(log, &lost, Some(nearest))?),
        }
    }

    /// What of the log follows a snapshot, up to the next one, and what of that was lost.
    pub(crate) fn following(&self, manifest: &Manifest) -> Result<(LogPlan<SnapshotId>, Vec<LostLog>)> {
        let base = base_of(manifest);
        let Some(start) = base.log else { return Ok((alone(manifest), Vec::new())) };
        // Of another hub's, all that lies there.
        let history = self.history()?;
        let history = if is_of(&history, manifest) { history } else { TargetHistory::default() };
        let bases = bases_of(&self.snapshots()?, |manifest| is_of(&history, manifest));
        let next = bases.iter().filter(|later| later.name > base.name);
        let until = next.clone().map(|next| next.time_ms).min().filter(|until| *until >= base.time_ms);
        // Another run begins with a snapshot of its own.
        let goes_on = next.filter_map(|next| next.log).filter(|next| next.run == start.run);
        let end = goes_on.map(|next| next.interval).min().unwrap_or(u64::MAX);
        let log = self.log()?.of_history(&history);
        let lost = log.lost(&bases).into_iter();
        let lost = lost.filter(|lost| {
            lost.span.run == start.run && lost.span.last >= start.interval && lost.span.first < end
        });
        let lost = lost.map(|lost| self.told(&log, &lost)).collect::<Result<_>>()?;
        let mut plan = log.played_upon(&base);
        plan.intervals.retain(|interval| until.is_none_or(|until| interval.times.to_ms <= until));
        Ok((plan, lost))
    }

    /// The error for an object of the log that is damaged: what it had, and what restores without it.
    pub(crate) fn damaged_log(&self, plan: &LogPlan<SnapshotId>, error: Error) -> Error {
        let Error::Damaged { object, what } = &error else { return error };
        let is_it = |one: &LogInterval| one.objects().any(|part| part.to_string() == *object);
        let Some(at) = plan.intervals.iter().position(is_it) else { return error };
        let before = LogPlan { base: plan.base, intervals: plan.intervals[..at].to_vec() };
        let after_ms = Some(before.reached_ms());
        let lost = LostIntervals { span: plan.intervals[at].span, after_ms, before_ms: None };
        match self.log().and_then(|log| self.told(&log, &lost)) {
            Ok(told) => Error::damaged(object, told.told(what.clone(), after_ms)),
            Err(_) => error,
        }
    }

    fn is_lost(
        &self,
        log: &LogContents,
        lost: &LostIntervals,
        nearest: Option<NearestMoments>,
    ) -> Result<Error> {
        Ok(self.told(log, lost)?.error(nearest.and_then(|nearest| nearest.before_ms)))
    }

    /// What is known of intervals that were lost, from what lies behind them.
    fn told(&self, log: &LogContents, lost: &LostIntervals) -> Result<LostLog> {
        let span = lost.span;
        let databases = match log.behind(span.run, span.last) {
            Some(next) if next.span.first == span.last + 1 => {
                let path = next.objects().next().map(|first| first.to_string()).unwrap_or_default();
                let read = |bytes: Vec<u8>| ReadLogObject::decode(&bytes).ok().and_then(|read| read.before);
                self.whole(&path, OBJECT_MAX_BYTES)?.and_then(read)
            }
            _ => {
                let is_of_it = |mark: &LogMark| match mark {
                    LogMark::Head(head, _) => head.run == span.run && head.last == span.last,
                    LogMark::Pruned(_) => false,
                };
                match log.marks().find(is_of_it) {
                    Some(mark) => self
                        .whole(&mark.to_string(), MARK_MAX_BYTES)?
                        .and_then(|bytes| serde_json::from_slice(&bytes).ok()),
                    None => None,
                }
            }
        };
        Ok(LostLog { lost: *lost, databases: databases.unwrap_or_default() })
    }

    /// An object; `None` if it is missing or damaged.
    fn whole(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        match self.target.get(path, max_bytes) {
            Err(Error::Damaged { .. }) => Ok(None),
            read => read,
        }
    }
}

/// Intervals that were lost, and what is known of them.
#[derive(Clone, Debug)]
pub(crate) struct LostLog {
    lost: LostIntervals,
    /// Of the last of them.
    databases: IntervalDatabases,
}

impl LostLog {
    /// The databases that it is known to concern.
    pub(crate) fn databases(&self) -> &[SnapshotDatabase] {
        &self.databases.named
    }

    /// In words; `nearest_ms` is the moment before it that restores.
    pub(crate) fn error(&self, nearest_ms: Option<i64>) -> Error {
        let span = self.lost.span;
        let what = if span.first == span.last {
            "it was on the target, and is missing".to_owned()
        } else {
            format!("{} intervals were on the target, and are missing", span.last - span.first + 1)
        };
        Error::damaged(span.to_string(), self.told(what, nearest_ms))
    }

    /// `what` is wrong, and what that means.
    fn told(&self, mut what: String, nearest_ms: Option<i64>) -> String {
        let LostIntervals { span, after_ms, before_ms } = self.lost;
        let (after, before) = (after_ms.map(UnixMillis), before_ms.map(UnixMillis));
        what += &match (after, before) {
            (Some(after), Some(before)) => format!(": nothing restores between {after} and {before}"),
            (Some(after), None) => format!(": nothing restores after {after}, until the next backup"),
            (None, _) => ": nothing restores between the backup before it and the next".to_owned(),
        };
        let named: Vec<String> = self.databases.named.iter().map(ToString::to_string).collect();
        what += &match (&named[..], self.databases.more, span.first == span.last) {
            ([], ..) => "; nothing tells which databases it had".to_owned(),
            (_, 0, true) => format!("; it had databases {}", named.join(", ")),
            (_, 0, false) => format!("; the last of them had databases {}", named.join(", ")),
            (_, more, _) => format!("; it had databases {} and {more} others", named.join(", ")),
        };
        if let Some(nearest) = nearest_ms.map(UnixMillis) {
            what += &format!(". What lies before restores with --at {nearest}");
        }
        what
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
