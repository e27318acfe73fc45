//! The anchors of targets while the hub runs: looked at and written by this run, which stops where another hub has come (OPR-12), and
//! tells its clients where a target shows late that it was put back (OPR-31).

use std::{sync::Arc, time::Duration};

use ferry_backup::{AnchoredTarget, TargetAccess, newest_commit};
use ferry_core::{
    backup::log::{TargetTenures, TenureEnd},
    lineage::{Sign, TargetAnchor},
};
use ferry_database::{FileCheck as _, main_of};
use ferry_types::{DatabaseId, DatabaseKind, Error, Reason, Seq};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior},
};

use super::{
    anchor::{AnchorState, anchored, taken_message},
    failure::JobFailure,
    kept_state::TakenBy,
    service::{Backups, KnownTarget},
};
use crate::{functions, hub::Hub, lineage::Lineage};

/// It is looked so often whether another hub has come, where nothing is shipped between snapshots.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// And at the most, where it is.
const LOOK_MIN: Duration = Duration::from_secs(5);
/// How far the hub is, is told so often at the most.
const TELL_EVERY_MS: i64 = 30_000;
/// Another hub that writes at the same time is given way so often.
const TRIES: u32 = 3;

impl Backups {
    /// Says at a target that this run ships there, unless another hub does. With `is_told` the anchor is written anew even if it was
    /// a moment ago.
    ///
    /// # Errors
    /// `TARGET_TAKEN`, or when the target cannot be read or written.
    pub(super) fn hold(
        &self,
        runtime: &Handle,
        (index, target): (usize, &KnownTarget),
        is_told: bool,
    ) -> Result<(), JobFailure> {
        // A hub over a spoke's store names no runs.
        let Some(lineage) = &self.hub().lineage else { return Ok(()) };
        let _turn = self.anchor_turn();
        if let Some(taken) = target.anchor.taken() {
            return Err(JobFailure::new("TARGET_TAKEN", taken_message(target.url(), &taken)));
        }
        let access =
            TargetAccess { stopping: self.hub().stopping.clone(), ..self.hub().config.backup.access.clone() };
        let anchored = anchored(target.url(), &access)?;
        for _ in 0..TRIES {
            let found = anchored.read()?;
            let mut anchor = runtime.block_on(lineage.anchor())?;
            match &found {
                // Nobody's yet, not mounted, or another hub's.
                None if anchored.owner()?.as_ref() != Some(&anchor.hub_id) => return Ok(()),
                None => {}
                Some((there, _)) if there.hub_id != anchor.hub_id => {
                    let what = format!("{} is written by another hub ({})", target.url(), there.hub_id);
                    return Err(JobFailure::new("TARGET_FOREIGN", what));
                }
                // Written by this very run, though the answer may have been lost.
                Some((there, _)) if there.run == anchor.run => {}
                Some((there, _)) => self.judge(runtime, (index, target), lineage, there)?,
            }
            if let (AnchorState::Held(at, seq), Some((there, _))) = (target.anchor.now(), &found)
                && there.run == anchor.run
                && (seq == anchor.control_seq || (!is_told && anchor.at_unix_ms < at + TELL_EVERY_MS))
            {
                return Ok(());
            }
            anchor.tenures = tenures(&anchored, target, lineage, found.as_ref().map(|(there, _)| there))?;
            if anchored.write(&anchor, found.as_ref().map(|(_, tag)| tag))? {
                if let AnchorState::TakesBack(_) = target.anchor.now() {
                    // Not before: whoever is stopped until then asks the operator again, and goes on from what it had.
                    let _ = self.keep(|kept| drop(kept.taken.remove(target.url())));
                }
                target.anchor.hold(anchor);
                return Ok(());
            }
        }
        let what = format!("{}: another process writes its anchor at the same time", target.url());
        Err(JobFailure::new("BUSY", what))
    }

    /// Finds out what the anchor that stands there says of this run.
    fn judge(
        &self,
        runtime: &Handle,
        (index, target): (usize, &KnownTarget),
        lineage: &Arc<Lineage>,
        there: &TargetAnchor,
    ) -> Result<(), JobFailure> {
        match target.anchor.now() {
            AnchorState::Unknown => {
                match self.start_anchors().late_sign(index, there, |run| lineage.knows(run)) {
                    Some(sign) => {
                        runtime.block_on(put_back(self.hub(), lineage, sign))?;
                        // Clients are told once, whatever the others show, and whether or not this one can be written.
                        for target in
                            self.targets().iter().filter(|one| one.anchor.now() == AnchorState::Unknown)
                        {
                            target.anchor.set(AnchorState::TakesOver);
                        }
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
            AnchorState::Held(..) if !lineage.knows(there.run) || is_later(there, target) => {
                let taken = TakenBy {
                    run: there.run.to_string(),
                    found_unix: self.hub().clock.now().as_secs(),
                    tenure: target.anchor.tenures().newest().map(|own| own.number),
                };
                let message = taken_message(target.url(), &taken);
                tracing::error!("{message}");
                target.anchor.set(AnchorState::Taken(taken.clone()));
                // What keeps it from being written down is told, and keeps no alarm back.
                let _ = self.keep(|kept| drop(kept.taken.insert(target.url().to_owned(), taken)));
                self.hold_back_log();
                Err(JobFailure::new("TARGET_TAKEN", message))
            }
            AnchorState::TakesOver
            | AnchorState::TakesBack(_)
            | AnchorState::Held(..)
            | AnchorState::Taken(_) => Ok(()),
        }
    }

    /// Lets this run go on at targets that another hub has taken, from what it had there itself. Returns which those are.
    pub(super) fn take_over(&self) -> Vec<usize> {
        let _turn = self.anchor_turn();
        let mut taken = Vec::new();
        for (index, target) in self.targets().iter().enumerate() {
            if let Some(by) = target.anchor.taken() {
                target.anchor.set(AnchorState::TakesBack(by.tenure));
                taken.push(index);
            }
        }
        taken
    }
}

/// Whether what stands there was written after this run had the target: by a copy that runs as an earlier start of this hub.
fn is_later(there: &TargetAnchor, target: &KnownTarget) -> bool {
    let number = |tenures: &TargetTenures| tenures.newest().map_or(0, |newest| newest.number);
    number(&there.tenures) > number(&target.anchor.tenures())
}

/// Who has had the target, up to this run, which writes its anchor in the place of `there`.
fn tenures(
    anchored: &AnchoredTarget,
    target: &KnownTarget,
    lineage: &Lineage,
    there: Option<&TargetAnchor>,
) -> ferry_backup::Result<TargetTenures> {
    let run = lineage.run();
    // What somebody has removed is written anew.
    let mut tenures = there.map_or_else(|| target.anchor.tenures(), |there| there.tenures.clone());
    let newest = tenures.newest().copied();
    let end = match newest {
        Some(newest) if newest.run == run => return Ok(tenures),
        Some(newest) => anchored.reached(newest.run)?,
        None => TenureEnd::default(),
    };
    let after = match target.anchor.now() {
        AnchorState::TakesBack(Some(own)) => Some(own),
        // Written down by an older program.
        AnchorState::TakesBack(None) => tenures.last_of(|run| lineage.knows(run)),
        _ => newest.map(|newest| newest.number),
    };
    tenures.begin(run, after, end);
    Ok(tenures)
}

/// Tells clients of a hub that serves already that it was put back before it began.
async fn put_back(hub: &Arc<Hub>, lineage: &Arc<Lineage>, sign: Sign) -> Result<(), Error> {
    lineage.put_back(sign).await?;
    let held: Vec<DatabaseId> = hub.databases.all().iter().map(|database| database.id()).collect();
    for id in held {
        if hub.control.database(id).is_none_or(|entry| entry.kind != Some(DatabaseKind::Hub)) {
            continue;
        }
        let refusal =
            Error::new(Reason::Busy, "the hub was put back to an older state, and tells so: try again");
        let lineage = Arc::clone(lineage);
        let mended = functions::replace_file(
            hub,
            id,
            refusal.retry_after_ms(1_000),
            |seq| *seq,
            move |dir| {
                let main = main_of(dir);
                if !main.exists() {
                    return Ok(Seq(0));
                }
                lineage.mend(id, &main)?;
                newest_commit(&main).map_err(|error| ferry_sqlite::Error::Damaged(error.to_string()))
            },
        );
        if let Err(error) = mended.await {
            tracing::error!(database = %id, %error, "its clients are not told that the hub was put back: start the hub anew");
        }
    }
    Ok(())
}

/// Looks at the anchors as long as the hub runs.
pub(crate) async fn follow_anchors(backups: Arc<Backups>) {
    let hub = Arc::clone(backups.hub());
    if backups.targets().is_empty() || hub.lineage.is_none() {
        return;
    }
    let every = hub.config.backup.log.map_or(LOOK_EVERY, |log| log.lag.clamp(LOOK_MIN, LOOK_EVERY));
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut verdicts = Instant::now();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = hub.stopping.cancelled() => return,
        }
        let (runtime, looking) = (Handle::current(), Arc::clone(&backups));
        let looked = tokio::task::spawn_blocking(move || {
            for (index, target) in looking.targets().iter().enumerate() {
                if target.anchor.taken().is_some() || looking.is_paused() {
                    continue;
                }
                match looking.hold(&runtime, (index, target), false) {
                    // Told when it was found.
                    Err(failure) if failure.reason == "TARGET_TAKEN" => {}
                    Err(failure) => {
                        tracing::warn!(
                            backup_target = target.url(),
                            error = failure.message,
                            "whether another hub ships to a backup target cannot be told"
                        );
                    }
                    Ok(()) => {}
                }
            }
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking at the anchors of backup targets panicked");
        }
        if verdicts.elapsed() >= LOOK_EVERY {
            verdicts = Instant::now();
            backups.look_at_verdicts().await;
        }
    }
}
