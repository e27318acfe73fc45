//! What tells others that `ferry dev` runs: a lock, and a file with the hub's address, which the Vite plugin waits for.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::PathBuf,
};

use ferry_client::ServerUrl;
use serde::Deserialize;
use serde_json::json;

use super::{DEV_DIR, Project};
use crate::failure::Failure;

/// The file, below [`DEV_DIR`].
const READY_FILE: &str = "dev.json";

/// That no other `ferry dev` runs in the project.
pub(crate) struct DevLock(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl DevLock {
    /// Takes it; makes the folder that is never committed.
    pub(crate) fn take(project: &Project) -> Result<Self, Failure> {
        let folder = project.root.join(DEV_DIR);
        let failed = |error: io::Error| Failure::other(format!("{}: {error}", folder.display()));
        fs::create_dir_all(&folder).map_err(failed)?;
        let ignored = folder.join(".gitignore");
        if !ignored.exists() {
            fs::write(&ignored, "*\n").map_err(failed)?;
        }
        let lock = File::options().write(true).create(true).truncate(false).open(folder.join("dev.lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self(lock)),
            Err(TryLockError::WouldBlock) => Err(Failure::other(format!(
                "ferry dev runs for this project already{}: use that one, or stop it with Ctrl-C where it runs",
                running(&folder.join(READY_FILE))
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Where a `ferry dev` of the project serves.
#[derive(Debug, Deserialize)]
pub(crate) struct RunningDev {
    pub(crate) url: String,
    pub(crate) database: String,
}

impl RunningDev {
    /// The one that runs now. A file that one left which was killed counts for nothing.
    pub(crate) fn find(project: &Project) -> Option<Self> {
        let folder = project.root.join(DEV_DIR);
        let lock = File::options().write(true).open(folder.join("dev.lock")).ok()?;
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        serde_json::from_str(&fs::read_to_string(folder.join(READY_FILE)).ok()?).ok()
    }
}

fn running(ready: &std::path::Path) -> String {
    let text = fs::read_to_string(ready).unwrap_or_default();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    found["url"].as_str().map_or_else(String::new, |url| format!(" at {url} (process {})", found["pid"]))
}

/// The file, as long as this lives.
pub(crate) struct Ready(PathBuf);

impl Ready {
    pub(crate) fn write(
        project: &Project,
        address: &ServerUrl,
        key: &str,
        database: &str,
    ) -> Result<Self, Failure> {
        let folder = project.root.join(DEV_DIR);
        let path = folder.join(READY_FILE);
        let (url, pid) = (address.to_string(), std::process::id());
        let text = json!({ "url": url, "key": key, "pid": pid, "database": database }).to_string();
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".dev-").suffix(".tmp").tempfile_in(&folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| Failure::other(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // Who finds it later finds nobody at the address.
        let _ = fs::remove_file(&self.0);
    }
}
