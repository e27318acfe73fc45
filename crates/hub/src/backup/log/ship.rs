//! What was gathered is brought to the targets: to each in its own time, so that one that fails holds up none of the others.
//! Now and then it is noted there how far the log goes, and looked whether all of it is still there.

use std::{sync::Arc, time::Duration};

use ferry_backup::{
    BackupTarget, Error, Result, SpooledInterval, TargetAccess, find_lost_interval, note_log_head,
    open_target,
};
use ferry_core::backup::log::LogMark;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::HubLog;
use crate::hub::Hub;

/// How long after a failure it is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often it is noted on a target how far the log goes there, at most: what is newer can vanish with the hub and unnoticed.
const HEAD_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether a target still has the log of this run: after so many lags, at least and at most.
const LOOK: (u32, Duration, Duration) = (10, Duration::from_secs(10), Duration::from_secs(300));

/// Ships to all targets as long as the hub runs.
pub(in crate::backup) async fn follow_targets(hub: Arc<Hub>, log: Arc<HubLog>) {
    let all = (0..hub.config.backup.targets.len()).map(|index| {
        let (hub, log) = (Arc::clone(&hub), Arc::clone(&log));
        ShippedTarget::new(hub, log, index).follow()
    });
    futures_util::future::join_all(all).await;
}

/// A target to which the log is shipped.
struct ShippedTarget {
    hub: Arc<Hub>,
    log: Arc<HubLog>,
    /// Of the setting.
    index: usize,
    open: Option<Arc<dyn BackupTarget>>,
    retry: Duration,
    /// The interval that was shipped last, until it is noted there.
    unnoted: Option<Arc<SpooledInterval>>,
    /// What is noted there.
    head: Option<LogMark>,
    /// When it is noted again.
    note: Instant,
    /// When it is looked again whether all of it is there.
    look: Instant,
}

/// What is done next.
enum ShippingStep {
    Ship(Arc<SpooledInterval>, String),
    Note(Arc<SpooledInterval>),
    Look,
    End,
}

impl ShippedTarget {
    fn new(hub: Arc<Hub>, log: Arc<HubLog>, index: usize) -> Self {
        let look = Instant::now() + look_every(&log);
        Self {
            hub,
            log,
            index,
            open: None,
            retry: RETRY.0,
            unnoted: None,
            head: None,
            note: Instant::now(),
            look,
        }
    }

    async fn follow(mut self) {
        loop {
            let done = match self.next().await {
                ShippingStep::Ship(interval, target_id) => self.ship(interval, target_id).await,
                ShippingStep::Note(last) => self.note(last).await,
                ShippingStep::Look => self.look().await,
                ShippingStep::End => return,
            };
            let Err(error) = done else {
                self.retry = RETRY.0;
                continue;
            };
            self.log.ship_failed(self.index, error.to_string());
            let backup_target = &*self.hub.config.backup.targets[self.index];
            if self.log.end.last_interval.is_cancelled() {
                tracing::warn!(backup_target, %error, "what changed was not shipped, and the hub ends");
                return;
            }
            tracing::warn!(backup_target, %error, "what changed was not shipped; it is tried again");
            tokio::select! {
                () = tokio::time::sleep(self.retry) => {}
                // What there is then is tried once more.
                () = self.log.end.last_interval.cancelled() => {}
            }
            self.retry = (self.retry * 2).min(RETRY.1);
        }
    }

    async fn next(&self) -> ShippingStep {
        let log = Arc::clone(&self.log);
        loop {
            if log.end.cut_off.is_cancelled() {
                return ShippingStep::End;
            }
            let mut woken = std::pin::pin!(log.wake.notified());
            woken.as_mut().enable();
            if let (Some(last), true) = (&self.unnoted, self.note <= Instant::now()) {
                return ShippingStep::Note(Arc::clone(last));
            }
            if self.look <= Instant::now() && !self.hub.stopping.is_cancelled() {
                return ShippingStep::Look;
            }
            if let Some((interval, target_id)) = log.next_for(self.index) {
                return ShippingStep::Ship(interval, target_id);
            }
            if log.end.last_interval.is_cancelled() {
                return self.unnoted.clone().map_or(ShippingStep::End, ShippingStep::Note);
            }
            let due = if self.unnoted.is_some() { self.note.min(self.look) } else { self.look };
            tokio::select! {
                () = woken => {}
                () = sleep_until(due) => {}
                () = log.end.last_interval.cancelled() => {}
            }
        }
    }

    /// Does something with the target where waiting is allowed.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&dyn BackupTarget) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (hub, known, index) = (Arc::clone(&self.hub), self.open.take(), self.index);
        let cut_off = self.log.end.cut_off.clone();
        let done = tokio::task::spawn_blocking(move || {
            let target = match known {
                Some(target) => target,
                None => opened(&hub, &hub.config.backup.targets[index], cut_off)?,
            };
            work(&*target).map(|done| (done, target))
        });
        let (done, target) = done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "shipping the log of backups panicked");
            Err(Error::Invalid("shipping the log of backups panicked: see the hub's log".to_owned()))
        })?;
        self.open = Some(target);
        self.log.reached(self.index);
        Ok(done)
    }

    async fn ship(&mut self, interval: Arc<SpooledInterval>, target_id: String) -> Result<()> {
        let shipping = Arc::clone(&interval);
        self.with(move |target| shipping.ship(target, &target_id)).await?;
        self.log.shipped_to(self.index, &interval);
        metrics::counter!("ferry_backup_bytes_total").increment(interval.bytes());
        self.unnoted = Some(interval);
        Ok(())
    }

    /// Notes how far the log goes.
    async fn note(&mut self, last: Arc<SpooledInterval>) -> Result<()> {
        self.note = Instant::now() + HEAD_EVERY;
        let Some((span, _)) = self.log.shipped_span(self.index).filter(|(span, _)| span.has(last.number()))
        else {
            self.unnoted = None;
            return Ok(());
        };
        let earlier =
            self.head.filter(|mark| matches!(mark, LogMark::Head(head, _) if head.first == span.first));
        let key = self.hub.config.backup.access.key.clone();
        let noted =
            self.with(move |target| note_log_head(target, key.as_ref(), (span, &last), earlier)).await?;
        (self.head, self.unnoted) = (Some(noted), None);
        Ok(())
    }

    /// Looks whether all that was shipped is still there.
    async fn look(&mut self) -> Result<()> {
        self.look = Instant::now() + look_every(&self.log);
        let Some((span, lengths)) = self.log.shipped_span(self.index) else { return Ok(()) };
        let lost = self.with(move |target| {
            let Some(lost) = find_lost_interval(target, span, &lengths)? else { return Ok(None) };
            // A list is not of one moment: what is merged while it is made may show neither whole nor in parts.
            Ok(find_lost_interval(target, span, &lengths)?.filter(|again| *again == lost))
        });
        if let Some(number) = lost.await? {
            metrics::counter!("ferry_backup_errors_total", "reason" => "LOG_LOST").increment(1);
            let object = ferry_core::backup::log::LogSpan::of(span.run, number);
            tracing::error!(
                %object, backup_target = %self.hub.config.backup.targets[self.index],
                "a part of the log of backups was removed from the target, or cut: nothing restores from there until the new backup that \
                 is taken now; `ferry backup list` shows the hole"
            );
            self.log.lost_on(self.index, self.hub.clock.now());
        }
        Ok(())
    }
}

fn look_every(log: &HubLog) -> Duration {
    log.settings.lag.saturating_mul(LOOK.0).clamp(LOOK.1, LOOK.2)
}

fn opened(hub: &Hub, url: &str, cut_off: CancellationToken) -> Result<Arc<dyn BackupTarget>> {
    let access = TargetAccess { stopping: cut_off, ..hub.config.backup.access.clone() };
    Ok(Arc::from(open_target(url, &access)?))
}
