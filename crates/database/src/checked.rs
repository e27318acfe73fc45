//! Whether a file goes on from where its clients last saw it: looked at once, before its first answer (OPR-33).

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ferry_core::lineage::FileNote;
use ferry_sqlite::{Blank, NativeSql, Result, Writer, wal_base};
use ferry_types::DatabaseId;

/// Who knows of files what they do not say themselves.
pub trait FileCheck: Send + Sync + 'static {
    /// What each file notes in its first commit of the hub's run.
    fn note(&self) -> FileNote;

    /// Whether the file of this database, which `sql` shows, may be used as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    fn fits(&self, id: DatabaseId, sql: &NativeSql<'_>) -> Result<bool>;

    /// The file of this database does not belong to the WAL beside it, and is not served.
    fn not_served(&self, id: DatabaseId);

    /// Changes a file that may not, so that its clients notice. Nobody has it open. Called on a thread that may wait.
    ///
    /// # Errors
    /// When it cannot be changed: then it is as it was.
    fn mend(&self, id: DatabaseId, main: &Path) -> Result<()>;
}

/// Set when the hub begins to serve.
pub(crate) type CheckOnce = Arc<OnceLock<Arc<dyn FileCheck>>>;

/// The file of one database, which is looked at once while the database is held.
pub(crate) struct CheckedFile {
    id: DatabaseId,
    check: CheckOnce,
    is_done: AtomicBool,
    /// That it is not served was logged.
    is_told: AtomicBool,
}

impl CheckedFile {
    pub(crate) fn new(id: DatabaseId, check: &CheckOnce) -> Self {
        Self {
            id,
            check: Arc::clone(check),
            is_done: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        }
    }

    /// What the first commit notes.
    pub(crate) fn note(&self) -> Option<FileNote> {
        self.check.get().map(|check| check.note())
    }

    /// Whether it was looked at, or nobody asks for that.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire) || self.check.get().is_none()
    }

    /// Looks whether the file `main` belongs to the WAL beside it, before anything opens the two together.
    pub(crate) fn look_at_wal(&self, main: &Path) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let checked = wal_base::check(main);
        if let Err(error) = &checked
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::error!(database = %self.id, main = %main.display(), %error, "a database is not served");
            if let Some(check) = self.check.get() {
                check.not_served(self.id);
            }
        }
        checked
    }

    /// Looks at it. False: it must be mended first.
    pub(crate) fn look(&self, sql: &NativeSql<'_>) -> Result<bool> {
        if let Some(check) = self.check.get()
            && !check.fits(self.id, sql)?
        {
            return Ok(false);
        }
        self.is_done.store(true, Ordering::Release);
        Ok(true)
    }

    /// The writer of the file `main`, which is made from `blank` if it is not there: looks at it, and mends it if need be. A
    /// new one lacks nothing.
    pub(crate) fn open(&self, main: &Path, blank: &Blank) -> Result<Writer> {
        let is_new = !main.exists();
        self.look_at_wal(main)?;
        let mut writer = Writer::open_or_make(main, blank)?;
        let Some(check) = self.check.get() else { return Ok(writer) };
        if !is_new && !self.is_done() && !self.look(&NativeSql(writer.connection()))? {
            writer.close()?;
            check.mend(self.id, main)?;
            writer = Writer::open(main)?;
        }
        self.is_done.store(true, Ordering::Release);
        Ok(writer.noting(check.note()))
    }
}
