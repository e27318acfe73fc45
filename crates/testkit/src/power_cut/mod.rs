//! Power cuts. `kill -9` leaves what was written in the kernel's cache, so it says nothing of syncs. Here the hub runs
//! over a recorder (`recorder.c`, loaded in front of the C library) that notes each write, sync, rename and creation in
//! order; from these notes [`disk::Disk`] works out what a disk might hold if the power went: what was synced, and of
//! the rest something, torn at sectors, or nothing.
//!
//! Linux only.

mod disk;
mod notes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

pub use self::disk::Disk;
use crate::{
    Hub,
    hub::{Options, Refused},
};

/// A data directory whose hub runs over a recorder.
#[derive(Debug)]
pub struct Recorded {
    home: TempDir,
    options: Options,
}

/// The recorder, compiled once per process.
fn recorder() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = folder.path().join("recorder.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/power_cut/recorder.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
        let status =
            command.arg(&library).arg(source).status().expect("a C compiler, which SQLite needs too");
        assert!(status.success(), "the recorder does not compile");
        (folder, library)
    });
    library
}

impl Recorded {
    /// A data directory in which nothing is yet, for hubs that are started with `options`.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder"), options }
    }

    /// Where it lies.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        // As the kernel names it: the recorder compares with what descriptors lead to.
        fs::canonicalize(self.home.path()).expect("the folder is there").join("data")
    }

    fn notes(&self) -> PathBuf {
        self.home.path().join("notes")
    }

    /// Starts the hub over the recorder.
    #[must_use]
    pub fn start(&self) -> Hub {
        self.start_with(|options| options)
    }

    /// The same with changed options.
    #[must_use]
    pub fn start_with(&self, change: impl FnOnce(Options) -> Options) -> Hub {
        let options = change(self.options.clone()).data_dir(self.data_dir());
        let text = |path: PathBuf| path.to_str().expect("temporary names are text").to_owned();
        options
            .env("LD_PRELOAD", text(recorder().to_owned()))
            .env("RECORDER_ROOT", text(self.data_dir()))
            .env("RECORDER_LOG", text(self.notes()))
            .start()
    }

    /// What the disk and the kernel held when the hub ended.
    ///
    /// # Panics
    /// If the notes cannot be read.
    #[must_use]
    pub fn disk(&self) -> Disk {
        Disk::replay(&self.data_dir(), &fs::read(self.notes()).expect("the recorder wrote its notes"))
    }

    /// A hub over one of the disks that may be left, told apart by `seed`: what was not synced is forgotten or torn at
    /// random. It runs without a recorder.
    ///
    /// # Errors
    /// When it ends by itself.
    pub fn after_cut(&self, disk: &Disk, seed: u64) -> Result<Hub, Refused> {
        let folder = self.home.path().join(format!("cut-{seed}")).join("data");
        disk.write_after_cut(&folder, seed);
        // Its files are made anew, by which a copy is known; of a disk that lost power they are not.
        let options = self.options.clone().without_faults().arg("--on-copied=moved");
        options.data_dir(folder).try_start()
    }
}
