//! Versions of the pages of a database that the hub writes, captured beside its actor (PAG-40, PAG-41). Nothing of it exists
//! before pages are first asked for; from then on it is open whenever the writer is.

use std::{
    path::Path,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use ferry_sqlite::pages::{CaptureSlot, Replica, ReplicaConfig, Rescan};
use ferry_types::{
    Clock, Error, Result, Seq,
    limits::{PAGES_CAPTURE_INTERVAL_MS, PAGES_CAPTURE_UNFOLLOWED_MS},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    time::Instant,
};

use crate::{
    files::{DatabaseFiles, FilePermit},
    newest::NewestSeq,
};

/// Descriptors of an open capture: two snapshots, the index with a writer and some readers, segments.
const CAPTURE_DESCRIPTORS: u32 = 14;

/// Frames of a WAL that are captured without waiting for the interval: half of what has it moved into the file.
const UNCAPTURED_FRAMES_MAX: u64 = 512;

/// What captures go by, of all databases.
#[derive(Clone, Copy, Debug)]
pub struct CaptureSettings {
    /// Of the page files.
    pub files: ReplicaConfig,
    /// Shortest time between two captures of one database.
    pub interval: Duration,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self { files: ReplicaConfig::default(), interval: Duration::from_millis(PAGES_CAPTURE_INTERVAL_MS) }
    }
}

/// What the captures of a hub share.
pub(crate) struct Captures {
    settings: CaptureSettings,
    clock: Arc<dyn Clock>,
    /// Captures that run at once.
    turns: Semaphore,
}

impl Captures {
    pub(crate) fn new(settings: CaptureSettings, clock: Arc<dyn Clock>) -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from) * 2;
        Self { settings, clock, turns: Semaphore::new(at_once) }
    }
}

/// The capture of one database: closed, or open beside its writer.
pub struct Capture {
    all: Arc<Captures>,
    dir: Arc<Path>,
    files: Arc<DatabaseFiles>,
    slot: Arc<CaptureSlot>,
    /// The newest commit.
    newest: Arc<NewestSeq>,
    /// The newest version.
    captured: NewestSeq,
    /// Held by whoever opens or captures.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<Instant>>,
    /// A task waits for the next capture to be due.
    is_scheduled: AtomicBool,
    followers: AtomicU32,
    /// Frames of the WAL when the last capture began.
    captured_frames: AtomicU64,
    /// The next capture may be due sooner than it was.
    hurry: Notify,
    /// The right to open it, once the writer does.
    granted: Mutex<Option<FilePermit>>,
    /// Where that task runs: commits are made on threads of no runtime too.
    runtime: OnceLock<Handle>,
}

/// Somebody who waits for each new version, until it is dropped.
pub struct Follower(Arc<Capture>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Capture {
    pub(crate) fn new(
        all: &Arc<Captures>,
        dir: &Arc<Path>,
        files: &Arc<DatabaseFiles>,
        newest: &Arc<NewestSeq>,
    ) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::clone(all),
            dir: Arc::clone(dir),
            files: Arc::clone(files),
            slot: Arc::default(),
            newest: Arc::clone(newest),
            captured: NewestSeq::default(),
            turn: tokio::sync::Mutex::default(),
            last: Mutex::default(),
            is_scheduled: AtomicBool::new(false),
            followers: AtomicU32::new(0),
            captured_frames: AtomicU64::new(0),
            hurry: Notify::new(),
            granted: Mutex::default(),
            runtime: OnceLock::new(),
        })
    }

    pub(crate) const fn slot(&self) -> &Arc<CaptureSlot> {
        &self.slot
    }

    /// The database's versions, up to the newest commit but for the last moments; up to `least`, if that is committed. Opens
    /// them, which the first time reads the whole database.
    ///
    /// # Errors
    /// When a file cannot be opened, or there was no room for it for long.
    pub async fn replica(self: &Arc<Self>, least: Seq) -> Result<Arc<Replica>> {
        self.files.touch();
        let replica = match self.slot.get() {
            Some(replica) => replica,
            None => self.open().await?,
        };
        if self.runtime.set(Handle::current()).is_ok() {
            // Beside the writer it was opened, and commits were made, where no task could be begun.
            self.committed();
        }
        replica.touch();
        if self.is_due(&replica, least) {
            drop(replica);
            let turn = self.turn.lock().await;
            if self.slot.get().is_some_and(|replica| self.is_due(&replica, least)) {
                self.run().await;
            }
            drop(turn);
            return match self.slot.get() {
                Some(replica) => Ok(replica),
                None => self.open().await,
            };
        }
        Ok(replica)
    }

    fn is_due(&self, replica: &Replica, least: Seq) -> bool {
        let (newest, version) = (self.newest.now(), replica.current().version);
        let is_newer = version > 0 && newest.0 > version;
        is_newer
            && (least.0 > version
                || self.last().is_none_or(|last| last.elapsed() >= self.all.settings.interval))
    }

    /// Waits for the version `least`, or a later one. May return before, when the versions have to be opened again.
    pub async fn version(&self, least: Seq) {
        let unseen = async {
            self.newest.wait_for(least).await;
            if self.slot.is_open() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.captured.wait_for(least) => {}
            () = unseen => {}
        }
    }

    /// Captures often, until what is returned is dropped.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Follower {
        if self.followers.fetch_add(1, Ordering::Relaxed) == 0 {
            self.hurry.notify_waiters();
        }
        Follower(Arc::clone(self))
    }

    /// Whether somebody reads from it just now.
    pub(crate) fn is_in_use(&self) -> bool {
        self.slot.is_in_use()
    }

    async fn open(self: &Arc<Self>) -> Result<Arc<Replica>> {
        let turn = self.turn.lock().await;
        if let Some(replica) = self.slot.get() {
            return Ok(replica);
        }
        let permit = Box::new(self.files.open(CAPTURE_DESCRIPTORS).await?);
        let this = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let all = &this.all;
            this.slot.get_or_open(|frames| {
                let (files, clock) = (all.settings.files, Arc::clone(&all.clock));
                let opened =
                    Replica::open_captured(&this.dir, files, clock, permit, frames, Rescan::Allowed)?;
                Ok(opened.expect("BUG: it may read the whole"))
            })
        });
        let opened = opened.await.map_err(|_| Error::internal())?;
        let replica = opened.map_err(ferry_sqlite::Error::into_refusal)?;
        drop(turn);
        self.opened(&replica);
        Ok(replica)
    }

    /// Descriptors that it takes once the writer is opened.
    pub(crate) fn descriptors_of_reopening(&self) -> u32 {
        let is_needed = !self.slot.is_open() && CaptureSlot::was_captured(&self.dir);
        if is_needed { CAPTURE_DESCRIPTORS } else { 0 }
    }

    /// The right to them, for [`Self::reopen`].
    pub(crate) fn grant(&self, permit: FilePermit) {
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    /// Closes it, where no writer is open that would. True unless somebody reads from it.
    pub(crate) fn close_if_unused(&self) -> bool {
        self.take_granted();
        self.slot.close_if_unused()
    }

    /// Closes it whoever reads: the database is going.
    pub(crate) fn close(&self) {
        self.take_granted();
        self.slot.close();
    }

    /// What was granted; a writer whose jobs were all taken back was not opened, and left it.
    fn take_granted(&self) -> Option<FilePermit> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Opens it beside the writer, which has not written yet, if it was open before and that is quickly done.
    pub(crate) fn reopen(self: &Arc<Self>) {
        let granted = self.take_granted();
        if self.slot.is_open() || !CaptureSlot::was_captured(&self.dir) {
            return;
        }
        let Some(permit) = granted.or_else(|| self.files.try_open(CAPTURE_DESCRIPTORS)) else { return };
        let all = &self.all;
        let opened = self.slot.try_open(|frames| {
            let (files, clock) = (all.settings.files, Arc::clone(&all.clock));
            Replica::open_captured(&self.dir, files, clock, Box::new(permit), frames, Rescan::Refused)
        });
        match opened {
            Ok(()) => {
                if let Some(replica) = self.slot.get() {
                    self.opened(&replica);
                }
            }
            Err(error) => tracing::warn!(%error, "versions are not captured until pages are asked for"),
        }
    }

    fn opened(self: &Arc<Self>, replica: &Replica) {
        self.captured.reached(Seq(replica.current().version));
        // Whatever was committed meanwhile told nobody.
        self.committed();
    }

    /// Something was committed, or may have been.
    pub(crate) fn committed(self: &Arc<Self>) {
        // Without a runtime nobody has asked for versions; who does has the rest captured.
        let Some(runtime) = self.runtime.get().filter(|_| self.slot.is_open()) else { return };
        if self.is_scheduled.swap(true, Ordering::AcqRel) {
            if self.lags() {
                self.hurry.notify_waiters();
            }
            return;
        }
        let this = Arc::clone(self);
        runtime.spawn(async move {
            this.wait_until_due().await;
            // Before the capture: what is committed meanwhile needs another one.
            this.is_scheduled.store(false, Ordering::Release);
            let _turn = this.turn.lock().await;
            this.run().await;
        });
    }

    /// Whether so much was committed that the writer, which has the rest captured before a checkpoint, would have to wait.
    fn lags(&self) -> bool {
        let (now, captured) = (self.frames(), self.captured_frames.load(Ordering::Relaxed));
        // Started over, the WAL has fewer.
        now.checked_sub(captured).unwrap_or(now) > UNCAPTURED_FRAMES_MAX
    }

    fn frames(&self) -> u64 {
        self.slot.committed_frames().load(Ordering::Relaxed)
    }

    async fn wait_until_due(&self) {
        while !self.lags() {
            let mut hurry = pin!(self.hurry.notified());
            hurry.as_mut().enable();
            let interval = match self.followers.load(Ordering::Relaxed) {
                0 => self.all.settings.interval.max(Duration::from_millis(PAGES_CAPTURE_UNFOLLOWED_MS)),
                _ => self.all.settings.interval,
            };
            let Some(left) = self.last().and_then(|last| interval.checked_sub(last.elapsed())) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = hurry => {}
            }
        }
    }

    /// Captures what was committed; the caller has the turn.
    async fn run(&self) {
        let Some(replica) = self.slot.get() else {
            // Closed meanwhile, which captured the rest: whoever waits opens it again.
            self.captured.reached(self.newest.now());
            return;
        };
        let Ok(_turn) = self.all.turns.acquire().await else { return };
        let began = Instant::now();
        self.captured_frames.store(self.frames(), Ordering::Relaxed);
        let captured = tokio::task::spawn_blocking(move || {
            let captured = replica.capture();
            // The writer may have had it captured, for a checkpoint.
            captured.map(|captured| (captured.is_some(), replica.current().version))
        });
        let captured = captured.await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        match captured {
            Ok(Ok((is_new, version))) => {
                if is_new {
                    metrics::counter!("ferry_pages_captures_total").increment(1);
                    metrics::histogram!("ferry_pages_capture_seconds").record(began.elapsed());
                }
                self.captured.reached(Seq(version));
            }
            Ok(Err(error)) => {
                tracing::warn!(dir = %self.dir.display(), %error, "commits were not captured");
                // Whoever waits opens it again.
                self.captured.reached(self.newest.now());
            }
            Err(panicked) => tracing::error!(%panicked, "a capture panicked"),
        }
    }

    fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
