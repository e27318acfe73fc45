//! Intervals are gathered: the pages of each database that was written, as its capture knows them.

use std::{sync::Arc, time::Duration};

use ferry_backup::{Error, IntervalWriter, NewInterval, Result, SpooledInterval};
use ferry_control::DatabaseEntry;
use ferry_core::backup::{
    manifest::{ImageShape, SnapshotDatabase},
    segment::SegmentPiece,
};
use ferry_sqlite::pages::{BaseFound, PageSource, PinnedVersion, Since};
use ferry_types::{DatabaseId, DatabaseKind, PageNo, PageSize, Reason, Tag, UnixMillis};
use tokio::{runtime::Handle, time::MissedTickBehavior};

use super::{
    HubLog,
    control_pages::{ControlPages, Gathered},
    state::BegunInterval,
};
use crate::{hub::Hub, pages};

/// Gathers as long as the hub runs, and once more when everybody has been answered.
pub(in crate::backup) async fn follow_changes(hub: Arc<Hub>, log: Arc<HubLog>) {
    let mut control = ControlPages::new(&hub.config.process.data_dir);
    let looks = log.settings.lag.div_f32(8.0);
    let mut looks = tokio::time::interval(looks.clamp(Duration::from_millis(50), Duration::from_secs(1)));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            _ = looks.tick() => false,
            () = log.end.last_write.cancelled() => true,
        };
        let now = hub.clock.now();
        if control.may_have_changed() {
            log.control_changed(now);
        }
        if let Some(begun) = log.begin(now, is_last) {
            control = gather(&hub, &log, begun, control).await;
        }
        if is_last {
            log.end.last_interval.cancel();
            return;
        }
    }
}

async fn gather(
    hub: &Arc<Hub>,
    log: &Arc<HubLog>,
    begun: BegunInterval,
    mut control: ControlPages,
) -> ControlPages {
    let (gathering, shared, runtime) = (Arc::clone(hub), Arc::clone(log), Handle::current());
    let done = tokio::task::spawn_blocking(move || {
        Gathering { hub: &gathering, runtime: &runtime, log: &shared, control: &mut control }.run(begun);
        control
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "what changed could not be gathered for backups, by a fault of the hub: please report it; a new backup begins anew");
        // Nobody knows what of it was taken.
        log.overflowed();
        ControlPages::new(&hub.config.process.data_dir)
    })
}

/// One interval.
struct Gathering<'a> {
    hub: &'a Arc<Hub>,
    runtime: &'a Handle,
    log: &'a HubLog,
    control: &'a mut ControlPages,
}

/// What was gathered.
struct Content {
    interval: Option<SpooledInterval>,
    versions: Vec<(DatabaseId, Tag)>,
    control: Option<Gathered>,
    /// Databases that could not be read, and since when they wait.
    failed: Vec<(DatabaseId, UnixMillis)>,
}

impl Gathering<'_> {
    fn run(mut self, begun: BegunInterval) {
        match self.gather(&begun) {
            Ok(Content { interval, versions, control, failed }) => {
                self.log.gathered(&begun, interval, versions, control.is_some());
                if let Some(control) = control {
                    self.control.gathered(control);
                }
                let now = self.hub.clock.now();
                failed.into_iter().for_each(|(id, since)| self.log.set_aside(id, since, now));
            }
            Err(error) => {
                self.log.not_gathered(begun);
                if matches!(error, Error::SpoolFull(_) | Error::Io { .. }) {
                    tracing::error!(%error, "what is to be shipped between backups cannot wait on this machine's disk (backup/log of the data directory): a new backup closes the gap");
                    self.log.overflowed();
                } else {
                    tracing::warn!(%error, "what changed was not gathered for backups; it is tried again");
                }
            }
        }
    }

    fn gather(&mut self, begun: &BegunInterval) -> Result<Content> {
        let mut writer = IntervalWriter::begin(NewInterval {
            run: self.log.run,
            number: begun.number,
            spool: self.log.spool.clone(),
            key: self.hub.config.backup.access.key.clone(),
            max_bytes: self.log.settings.spool_bytes,
            before: begun.before.clone(),
        })?;
        let now = UnixMillis(begun.from_ms);
        // Before the databases: of what it names all is there.
        let control = self.control.add(&mut writer, (begun.number, begun.control_whole), now)?;
        let (mut versions, mut failed) = (Vec::new(), Vec::new());
        for (id, since) in &begun.changed {
            if self.log.end.cut_off.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match self.add(&mut writer, *id, *since) {
                Ok(version) => versions.extend(version.map(|version| (*id, version))),
                Err(error @ (Error::SpoolFull(_) | Error::Io { .. })) => return Err(error),
                Err(error) if writer.is_torn() => return Err(error),
                Err(error) => {
                    tracing::warn!(database = %id, %error, "what changed in a database was not gathered for backups; it is tried again");
                    failed.push((*id, *since));
                }
            }
        }
        let times = self.log.times(begun, self.hub.clock.now());
        Ok(Content { interval: writer.finish(times)?, versions, control, failed })
    }

    /// Adds what changed in a database. `None`: nothing did.
    fn add(&self, writer: &mut IntervalWriter, id: DatabaseId, since: UnixMillis) -> Result<Option<Tag>> {
        // One that was deleted meanwhile is in no control.db any more.
        let Some(entry) = self.hub.control.database(id) else { return Ok(None) };
        let Some(kind) = entry.kind else {
            // Its first write is under way.
            self.log.set_aside(id, since, self.hub.clock.now());
            return Ok(None);
        };
        let pinned = match self.pin(id) {
            Err(error) if error.reason == Reason::NotFound => return Ok(None),
            pinned => pinned.map_err(|error| Error::Sqlite(error.into()))?,
        };
        let info = pinned.info();
        let last = self.log.shipped(id);
        if info.version == 0 || last == Some(info.tag()) {
            return Ok(None);
        }
        let (base, pages) = differing(&pinned, last)?;
        if base.is_none() && last.is_some_and(|last| last.version > 0) {
            metrics::counter!("ferry_backup_log_whole_total").increment(1);
            tracing::info!(database = %id, "its pages do not follow those that the log of backups has: all of them are shipped");
        }
        let segment = described(&entry, kind, &pinned, base);
        writer.add(&segment, &pages, &mut |pages, each| {
            PageSource::read(&pinned, pages, &mut |page, data| {
                each(page, data);
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(Some(info.tag()))
    }

    fn pin(&self, id: DatabaseId) -> ferry_types::Result<PinnedVersion> {
        let database = self.hub.databases.get(id)?;
        self.runtime.block_on(pages::pinned(self.hub, &database))
    }
}

/// The pages that lead from the version `last` to this one. Without a version that the index still lists, all of them: whoever plays
/// them upon a later image must find each page that differs.
fn differing(pinned: &PinnedVersion, last: Option<Tag>) -> Result<(Option<u64>, Vec<PageNo>)> {
    let info = pinned.info();
    if let Some(last) = last
        && let BaseFound::Known(base) = pinned.replica().find_base(info, &Since::Tag(last))?
        && base.pinned.is_some()
        && base.version <= info.version
    {
        return Ok((Some(base.version), pinned.replica().differing(&base, info)?));
    }
    let lock_page = info.page_size.map(PageSize::lock_page);
    Ok((None, info.page_count.pages().filter(|page| Some(*page) != lock_page).collect()))
}

fn described(
    entry: &DatabaseEntry,
    kind: DatabaseKind,
    pinned: &PinnedVersion,
    base: Option<u64>,
) -> SegmentPiece {
    let info = pinned.info();
    let image = ImageShape {
        page_size: info.page_size,
        pages: info.page_count,
        volatile: info.volatile,
        root: info.root,
    };
    let mut segment = SegmentPiece::new(SnapshotDatabase::Main(entry.id), &image);
    segment.name = entry.name.to_string();
    segment.org = entry.org_id.to_string();
    kind.as_str().clone_into(&mut segment.kind);
    (segment.base, segment.seq) = (base, info.version);
    segment
}
