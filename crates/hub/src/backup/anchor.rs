//! Whose a target is while the hub runs: the run that has last said so in `anchor.json` there. One that another hub says so of
//! is left alone (OPR-12); and a start finds there what was written after the state that it was given (OPR-31).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_backup::{AnchoredTarget, TargetAccess, look_at_folder, open_target};
use ferry_control::LineageRows;
use ferry_core::{
    backup::log::TargetTenures,
    lineage::{Sign, TargetAnchor},
};
use ferry_types::RunId;

use super::kept_state::{KeptState, TakenBy};
use crate::config::BackupConfig;

/// For so long a start waits for its targets. One that answers later is judged then.
const START_WAIT: Duration = Duration::from_secs(1);

/// What a start found at its targets.
#[derive(Debug, Default)]
pub(crate) struct StartAnchors {
    /// What it shows, if it shows anything.
    pub(crate) sign: Option<Sign>,
    /// The runs that were found, by the places of the targets in the setting.
    runs: Vec<Option<RunId>>,
    /// The newest commit of `control.db` when it began.
    control_seq: u64,
    /// And its last break of all databases.
    hub_break: i64,
    /// The hub begins with a break, so that clients are told in any case.
    pub(crate) is_broken: bool,
    /// What keeps backups from targets, one line for each of these.
    pub(crate) warnings: Vec<String>,
}

impl StartAnchors {
    /// Looks at the targets of a hub of whose `control.db` these are the rows.
    pub(crate) async fn look(config: &BackupConfig, kept: &KeptState, rows: &LineageRows) -> Self {
        let mut found = Self {
            control_seq: rows.control.seq,
            hub_break: rows.newest_hub_break(),
            runs: vec![None; config.targets.len()],
            ..Self::default()
        };
        let hub_id = rows.control.hub_id.as_deref();
        let looked = config.targets.iter().map(|url| async {
            let (url, access, hub_id) = (url.clone(), config.access.clone(), hub_id.map(str::to_owned));
            let looked = tokio::task::spawn_blocking(move || look_at(&url, &access, hub_id.as_deref()));
            tokio::time::timeout(START_WAIT, looked).await
        });
        let all = futures_util::future::join_all(looked).await;
        for ((url, place), looked) in config.targets.iter().zip(&mut found.runs).zip(all) {
            let anchor = match looked {
                Ok(Ok(Ok((anchor, trouble)))) => {
                    let taken = kept.taken.get(url).map(|taken| taken_message(url, taken));
                    found.warnings.extend(taken.or(trouble));
                    anchor
                }
                Ok(Ok(Err(error))) => {
                    tracing::warn!(backup_target = %url, %error, "a backup target does not tell whether this hub was put back to an older state: it is asked again");
                    found.warnings.push(unusable(url, &error.to_string()));
                    continue;
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(backup_target = %url, "a backup target takes its time to tell whether this hub was put back to an older state");
                    found.warnings.push(unusable(url, "it did not answer within a second"));
                    continue;
                }
            };
            let Some(anchor) = anchor else { continue };
            // Another hub's is told when a backup is taken; of one that was taken it is known that its run is unknown. A new hub has
            // written nowhere.
            if hub_id != Some(&*anchor.hub_id) || kept.taken.contains_key(url) {
                continue;
            }
            *place = Some(anchor.run);
            let sign = anchor.sign(|run| rows.runs.contains(&run), rows.control.seq, found.hub_break);
            found.sign = found.sign.or(sign);
        }
        found
    }

    /// What `there`, which stands at the target of this place, shows of a hub of which `knows` tells the runs and that looks only now;
    /// `None` also where the start knew of it, and has told clients if it had to.
    pub(super) fn late_sign(
        &self,
        place: usize,
        there: &TargetAnchor,
        knows: impl Fn(RunId) -> bool,
    ) -> Option<Sign> {
        if self.runs.get(place).copied().flatten() == Some(there.run) {
            return None;
        }
        there.sign(knows, self.control_seq, self.hub_break)
    }
}

/// The anchor of a target, and what keeps the backups of this hub from it.
fn look_at(
    url: &str,
    access: &TargetAccess,
    hub_id: Option<&str>,
) -> ferry_backup::Result<(Option<TargetAnchor>, Option<String>)> {
    let target = anchored(url, access)?;
    let anchor = target.read()?.map(|(anchor, _)| anchor);
    let trouble = match (look_at_folder(url), target.owner()) {
        (_, Ok(Some(owner))) if hub_id != Some(&*owner) => Some(foreign(url)),
        (Err(error), _) | (_, Err(error)) => Some(unusable(url, &error.to_string())),
        (Ok(()), Ok(_)) => None,
    };
    Ok((anchor, trouble))
}

fn unusable(url: &str, why: &str) -> String {
    format!(
        "nothing is backed up to {url} as it is now: {why}; `ferry backup check-target {url}` tells what it lacks, \
         `ferry backup schedule` whether backups arrive"
    )
}

fn foreign(url: &str) -> String {
    format!(
        "nothing is backed up to {url}, which holds the backups of another hub: give this one a target of its own \
         (--backup-target), or restore that hub from it; `ferry backup schedule` tells how targets are"
    )
}

pub(super) fn anchored(url: &str, access: &TargetAccess) -> ferry_backup::Result<AnchoredTarget> {
    Ok(AnchoredTarget::new(open_target(url, access)?, access.key.clone()))
}

/// What this run knows of the anchor of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum AnchorState {
    /// It was not read yet, or only by the start.
    #[default]
    Unknown,
    /// Whoever stands there, this run goes on, from what lies there.
    TakesOver,
    /// The same, from the tenure that this hub had before another one took the target; `None`: which one is looked for.
    TakesBack(Option<u64>),
    /// It is this run's, and told so at that moment, in Unix milliseconds, with that commit of `control.db`.
    Held(i64, u64),
    /// It is another hub's.
    Taken(TakenBy),
}

/// The anchor of one target.
#[derive(Default)]
pub(super) struct HeldAnchor {
    state: Mutex<AnchorState>,
    /// As this run has last written them there.
    tenures: Mutex<TargetTenures>,
}

impl HeldAnchor {
    /// As the hub begins.
    pub(super) fn begin(taken: Option<TakenBy>, is_broken: bool) -> Self {
        let state = match taken {
            Some(taken) => AnchorState::Taken(taken),
            None if is_broken => AnchorState::TakesOver,
            None => AnchorState::Unknown,
        };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    /// Who has taken the target.
    pub(super) fn taken(&self) -> Option<TakenBy> {
        match &*self.lock() {
            AnchorState::Taken(taken) => Some(taken.clone()),
            _ => None,
        }
    }

    pub(super) fn now(&self) -> AnchorState {
        self.lock().clone()
    }

    pub(super) fn set(&self, state: AnchorState) {
        *self.lock() = state;
    }

    /// Who had the target until this run wrote there.
    pub(super) fn tenures(&self) -> TargetTenures {
        self.tenures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The anchor is this run's.
    pub(super) fn hold(&self, anchor: TargetAnchor) {
        *self.tenures.lock().unwrap_or_else(PoisonError::into_inner) = anchor.tenures;
        self.set(AnchorState::Held(anchor.at_unix_ms, anchor.control_seq));
    }

    fn lock(&self) -> MutexGuard<'_, AnchorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operator is told of a target that another hub has taken.
pub(super) fn taken_message(url: &str, taken: &TakenBy) -> String {
    format!(
        "another hub ships to {url} as this one (its run {}): it runs on a copy of this data directory, or this is the copy. Nothing \
         more is written there. Stop the other one or name it another target, and then let this one go on: `ferry backup schedule resume \
         --take-over`; or stop this one, if the other is the hub now",
        taken.run
    )
}
