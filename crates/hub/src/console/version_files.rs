//! Older versions of databases that somebody looks at: SQLite reads a file, so each is written into one for a while.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferry_sqlite::pages::{ImageFile, PageSource as _, PinnedVersion, VersionInfo, image_of};
use ferry_types::{DatabaseId, Error, Reason, Result, Tag, UserId};
use tokio::sync::Semaphore;

use super::turns::QueryTurns;
use crate::monotonic;

/// The largest version that is written into a file to be looked at.
pub(crate) const VERSION_FILE_MAX_BYTES: u64 = 1 << 30;
/// All such files together.
pub(crate) const VERSION_FILES_MAX_BYTES: u64 = 2 << 30;
/// How long one is kept that nobody asks.
pub(crate) const VERSION_FILE_IDLE_MS: u64 = 5 * 60 * 1000;
/// What must stay free on the disk beside one that is made.
const FREE_LEAST_BYTES: u64 = 1 << 30;

/// A version in a file, which is removed with it.
pub(super) struct VersionFile {
    image: ImageFile,
    info: VersionInfo,
    asked_ms: AtomicU64,
}

impl VersionFile {
    /// Which version.
    pub(super) const fn info(&self) -> &VersionInfo {
        &self.info
    }

    /// Where it lies, while this lives.
    pub(super) fn path(&self) -> &Path {
        self.image.path()
    }
}

type VersionKey = (DatabaseId, Tag);

/// Those that stand now, one per version of a database.
#[derive(Clone, Default)]
struct StandingFiles(Arc<Mutex<HashMap<VersionKey, Arc<VersionFile>>>>);

impl StandingFiles {
    fn find(&self, key: &VersionKey) -> Option<Arc<VersionFile>> {
        let file = self.lock().get(key).cloned()?;
        file.asked_ms.store(monotonic::now_ms(), Ordering::Relaxed);
        Some(file)
    }

    /// Takes out those that were asked longest ago, until `more` bytes fit. Whoever drops them waits for the disk.
    #[must_use = "they are files, which are removed when they are dropped"]
    fn make_room(&self, more: u64) -> Result<Vec<Arc<VersionFile>>> {
        let mut files = self.lock();
        let unused = |file: &Arc<VersionFile>| Arc::strong_count(file) == 1;
        // Whoever is refused has nobody's taken out.
        let used: u64 = files.values().filter(|file| !unused(file)).map(|file| file.info.bytes()).sum();
        if used + more > VERSION_FILES_MAX_BYTES {
            let message = "others look at as many older versions as the hub keeps: try again in a moment";
            return Err(Error::new(Reason::Busy, message).retry_after_ms(2000));
        }
        let mut taken = Vec::new();
        while bytes(&files) + more > VERSION_FILES_MAX_BYTES {
            let oldest = files
                .iter()
                .filter(|(_, file)| unused(file))
                .min_by_key(|(_, file)| file.asked_ms.load(Ordering::Relaxed));
            let Some(key) = oldest.map(|(key, _)| *key) else { break };
            taken.extend(files.remove(&key));
        }
        Ok(taken)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VersionKey, Arc<VersionFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Older versions that are looked at.
pub(super) struct VersionFiles {
    dir: PathBuf,
    files: StandingFiles,
    /// One is made at a time.
    making: Arc<Semaphore>,
    /// Turns of those for whom one is made, and of those who wait for that.
    turns: QueryTurns,
}

impl VersionFiles {
    /// None yet; they will lie in a folder of `data_dir`. What an earlier run of the hub left there goes.
    pub(super) fn new(data_dir: &Path) -> Self {
        let dir = data_dir.join("console");
        if let Err(error) = fs::remove_dir_all(&dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "older versions that were looked at cannot be removed");
        }
        Self {
            dir,
            files: StandingFiles::default(),
            making: Arc::new(Semaphore::new(1)),
            turns: QueryTurns::of_openings(),
        }
    }

    /// The version as a file, for `user`.
    ///
    /// # Errors
    /// A version that is too large, `BUSY`, a full disk, what storage reports.
    pub(super) async fn file(
        &self,
        user: UserId,
        id: DatabaseId,
        pinned: PinnedVersion,
    ) -> Result<Arc<VersionFile>> {
        let info = pinned.info().clone();
        let write = move |dir: &Path| {
            let image = image_of(&pinned, dir).map_err(ferry_sqlite::Error::into_refusal)?;
            Ok(image.expect("BUG: an empty version is not written"))
        };
        self.written(user, (id, info.tag()), info, write).await
    }

    /// The file of `key` that stands, else the one that `write` makes in a folder.
    async fn written(
        &self,
        user: UserId,
        key: VersionKey,
        info: VersionInfo,
        write: impl FnOnce(&Path) -> Result<ImageFile> + Send + 'static,
    ) -> Result<Arc<VersionFile>> {
        if let Some(file) = self.files.find(&key) {
            return Ok(file);
        }
        check_size(&info)?;
        let turn = self.turns.take(user)?;
        let making = Arc::clone(&self.making).acquire_owned().await.map_err(|_| Error::internal())?;
        // Somebody else may have wanted it too.
        if let Some(file) = self.files.find(&key) {
            return Ok(file);
        }
        let (dir, files) = (self.dir.clone(), self.files.clone());
        // It goes on to its end, also if nobody waits any more: whoever asks again finds it.
        let made = tokio::task::spawn_blocking(move || {
            let _held = (turn, making);
            drop(files.make_room(info.bytes())?);
            check_disk(&dir, info.bytes())?;
            let image = write(&dir)?;
            let made = Arc::new(VersionFile { image, info, asked_ms: AtomicU64::new(monotonic::now_ms()) });
            metrics::counter!("ferry_version_files_total").increment(1);
            files.lock().insert(key, Arc::clone(&made));
            Ok(made)
        });
        made.await.map_err(|_| Error::internal())?
    }

    /// Takes out those that nobody asked for a while. Whoever drops them waits for the disk.
    #[must_use = "they are files, which are removed when they are dropped"]
    pub(super) fn take_idle(&self, now_ms: u64) -> Vec<Arc<VersionFile>> {
        let is_idle = |file: &Arc<VersionFile>| {
            let asked = file.asked_ms.load(Ordering::Relaxed);
            Arc::strong_count(file) == 1 && now_ms.saturating_sub(asked) >= VERSION_FILE_IDLE_MS
        };
        self.files.lock().extract_if(|_, file| is_idle(file)).map(|(_, file)| file).collect()
    }

    /// Bytes of those that stand now.
    pub(super) fn bytes(&self) -> u64 {
        bytes(&self.files.lock())
    }
}

fn bytes(files: &HashMap<VersionKey, Arc<VersionFile>>) -> u64 {
    files.values().map(|file| file.info.bytes()).sum()
}

/// Refuses a version that is too large to be written into a file.
pub(crate) fn check_size(info: &VersionInfo) -> Result<()> {
    if info.bytes() <= VERSION_FILE_MAX_BYTES {
        return Ok(());
    }
    let message = format!(
        "version {} has {} bytes, and older versions are opened here up to {VERSION_FILE_MAX_BYTES}: take it as a file \
         (ferry pull --at), or as a new database (ferry fork --at)",
        info.version,
        info.bytes()
    );
    Err(Error::new(Reason::FailedPrecondition, message))
}

fn check_disk(dir: &Path, bytes: u64) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| ferry_sqlite::Error::from(error).into_refusal())?;
    let Ok(stat) = rustix::fs::statvfs(dir) else { return Ok(()) };
    if stat.f_bavail.saturating_mul(stat.f_frsize) >= bytes.saturating_add(FREE_LEAST_BYTES) {
        return Ok(());
    }
    let message =
        "the hub's disk has no room to open an older version beside what it must write: make some there";
    Err(Error::new(Reason::FailedPrecondition, message))
}

#[cfg(test)]
mod tests {
    use ferry_types::{PageCount, PageSize};

    use super::*;

    /// A version of so many pages of 64 KiB, none of which takes room on the disk.
    fn info(version: u64, pages: u32) -> VersionInfo {
        VersionInfo {
            version,
            page_size: PageSize::new(65536),
            page_count: PageCount(pages),
            ..VersionInfo::empty()
        }
    }

    fn id() -> DatabaseId {
        "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap()
    }

    fn put(files: &VersionFiles, version: u64, pages: u32, asked_ms: u64) -> PathBuf {
        fs::create_dir_all(&files.dir).unwrap();
        let info = info(version, pages);
        let image = ImageFile::create(&files.dir, info.page_size.unwrap(), info.page_count).unwrap();
        let path = image.path().to_owned();
        let key = (id(), info.tag());
        let file = VersionFile { image, info, asked_ms: AtomicU64::new(asked_ms) };
        files.files.lock().insert(key, Arc::new(file));
        path
    }

    const GIB_PAGES: u32 = 1 << 14;

    // Verifies: OPR-57
    #[test]
    fn versions_are_written_out_within_limits() {
        let dir = tempfile::tempdir().unwrap();
        let files = VersionFiles::new(dir.path());
        assert!(check_size(&info(1, GIB_PAGES)).is_ok());
        let refusal = check_size(&info(1, GIB_PAGES + 1)).unwrap_err();
        assert!(refusal.message.contains("ferry fork --at"), "{refusal:?}");
        let (older, newer) = (put(&files, 1, GIB_PAGES, 10), put(&files, 2, GIB_PAGES, 20));
        assert_eq!(files.bytes(), VERSION_FILES_MAX_BYTES);
        drop(files.files.make_room(1).unwrap());
        assert!(!older.exists() && newer.exists(), "that which was asked longest ago");
        // What is read stays, and others wait.
        let held = files.files.lock().values().next().cloned().unwrap();
        assert_eq!(files.files.make_room(VERSION_FILES_MAX_BYTES).err().unwrap().reason, Reason::Busy);
        drop(files.take_idle(20 + VERSION_FILE_IDLE_MS));
        assert!(newer.exists());
        drop(held);
        drop(files.take_idle(19 + VERSION_FILE_IDLE_MS));
        assert!(newer.exists());
        drop(files.take_idle(20 + VERSION_FILE_IDLE_MS));
        assert!(!newer.exists() && files.bytes() == 0);
        assert!(check_disk(&files.dir, u64::MAX).unwrap_err().message.contains("no room"));
        // A hub that was killed leaves them to the next start.
        fs::write(files.dir.join("next-0.db"), "left").unwrap();
        assert_eq!(VersionFiles::new(dir.path()).bytes(), 0);
        assert!(!files.dir.exists());
    }

    // A version of a GiB was written and thrown away when the page that had asked was closed, and each further page wrote it again.
    // Verifies: OPR-57
    #[tokio::test]
    async fn what_is_written_is_kept_though_nobody_waits_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let files = VersionFiles::new(dir.path());
        let user = "u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902101".parse().unwrap();
        let (info, key) = (info(1, 1), (id(), info(1, 1).tag()));
        let of = info.clone();
        let (go_on, told) = std::sync::mpsc::channel::<()>();
        let write = move |dir: &Path| {
            told.recv().unwrap();
            Ok(ImageFile::create(dir, of.page_size.unwrap(), of.page_count).unwrap())
        };
        let mut first = Box::pin(files.written(user, key, info.clone(), write));
        assert!(futures_util::poll!(&mut first).is_pending());
        drop(first);
        let still = files.turns.take(user).unwrap();
        assert!(
            files.turns.take(user).is_err(),
            "it is written still, and whoever asked for it has but two turns"
        );
        drop(still);
        let again = files.written(user, key, info, |_: &Path| unreachable!("BUG: it is written twice"));
        let mut again = Box::pin(again);
        assert!(futures_util::poll!(&mut again).is_pending());
        go_on.send(()).unwrap();
        assert!(again.await.unwrap().path().exists());
    }
}
