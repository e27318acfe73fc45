//! The operator pauses backups, and has them go on (section 2.1).

use std::{sync::Arc, time::Duration};

use ferry_types::{Error, Reason, Result};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::service::Backups;

/// For so long whoever takes a target back waits for the backup there. A longer one goes on by itself.
const SETTLES: Duration = Duration::from_secs(10);

/// What going on has changed.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    pub(crate) was_paused: bool,
    /// Addresses of targets that another hub had taken.
    pub(crate) taken_over: Vec<String>,
}

impl Backups {
    /// Has nothing done by schedule from now on, also after a start. False: nothing was.
    ///
    /// # Errors
    /// When no target is set, or it cannot be written down.
    pub(crate) async fn pause(self: &Arc<Self>) -> Result<bool> {
        self.needs_target()?;
        let now = self.hub().clock.now().as_secs();
        let is_new = !self.is_paused();
        self.waiting(move |backups| {
            backups.keep(|kept| kept.paused_unix = Some(kept.paused_unix.unwrap_or(now)))
        })
        .await?;
        self.hold_back_log();
        if is_new {
            tracing::warn!(
                "the operator has paused backups: nothing is backed up by itself until they are resumed"
            );
        }
        Ok(is_new)
    }

    /// Has the schedule go on; with `takes_over` also at targets that another hub has taken, which is told by the anchors there.
    ///
    /// # Errors
    /// When no target is set, one that is taken over cannot be written, or it cannot be written down.
    pub(crate) async fn resume(self: &Arc<Self>, takes_over: bool) -> Result<Resumed> {
        self.needs_target()?;
        let was_paused = self.is_paused();
        self.waiting(|backups| backups.keep(|kept| kept.paused_unix = None)).await?;
        self.hold_back_log();
        if was_paused {
            tracing::info!("the operator has resumed backups");
        }
        if !takes_over {
            return Ok(Resumed { was_paused, taken_over: Vec::new() });
        }
        let runtime = Handle::current();
        let taken = self.waiting(move |backups| backups.take_over_and_tell(&runtime)).await?;
        let taken_over: Vec<String> =
            taken.iter().map(|index| self.targets()[*index].url().to_owned()).collect();
        if !taken.is_empty() {
            tracing::warn!(targets = ?taken_over, "the operator has this hub go on at targets that another hub had taken");
            // The newest backup there may be the other hub's. One that is being taken does as well.
            let _ = self.begin_create(None, Some(taken.clone()));
            self.settled(&taken).await;
        }
        Ok(Resumed { was_paused, taken_over })
    }

    /// Waits until these targets have what they lacked while another hub had them: whoever took them back is told how they are then.
    async fn settled(&self, targets: &[usize]) {
        let deadline = Instant::now() + SETTLES;
        while Instant::now() < deadline && !self.hub().stopping.is_cancelled() {
            let status = self.status();
            if targets.iter().all(|index| !["late", "gap"].contains(&status[*index].state)) {
                return;
            }
            sleep(SETTLES / 100).await;
        }
    }

    fn take_over_and_tell(&self, runtime: &Handle) -> Result<Vec<usize>> {
        let taken = self.take_over();
        self.hold_back_log();
        for index in &taken {
            self.hold(runtime, (*index, &self.targets()[*index]), true).map_err(|failure| {
                let message = format!(
                    "the target is this hub's now, and could not be told so, which is tried again: {}",
                    failure.message
                );
                Error::new(Reason::Unavailable, message)
            })?;
            // What kept it from being written is over.
            self.targets()[*index].reached();
        }
        Ok(taken)
    }

    /// Runs `work` on a thread that may wait.
    async fn waiting<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let backups = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&backups)).await;
        done.unwrap_or_else(|_| Err(Error::internal()))
    }
}
