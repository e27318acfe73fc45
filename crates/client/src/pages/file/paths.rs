//! The files that lie beside a synced file, and stepping from one to the other durably.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use ferry_sqlite::sidecars;
pub(super) use ferry_sqlite::sidecars::beside;

use crate::{ClientError, Result};

/// That a file can be made at `file`, or one that is there replaced, as far as its folder tells: what cannot succeed is
/// said before anything is downloaded.
///
/// # Errors
/// When the folder is missing, or the name is a symbolic link to nothing.
pub(crate) fn check_target(file: &Path) -> Result<()> {
    let folder = directory(file);
    if !folder.is_dir() {
        let (what, shown) =
            (if folder.exists() { "is not a folder" } else { "does not exist" }, folder.display());
        let message =
            format!("{shown} {what}: make the folder first (mkdir -p {shown}), or name another file");
        return Err(ClientError::file("FOLDER_MISSING", message));
    }
    let is_link = file.symlink_metadata().is_ok_and(|found| found.is_symlink());
    if is_link && !file.exists() {
        let target = fs::read_link(file).unwrap_or_default();
        let message = format!(
            "{} is a symbolic link to {}, which does not exist: remove the link, or name that file",
            file.display(),
            target.display()
        );
        return Err(ClientError::file("DANGLING_LINK", message));
    }
    Ok(())
}

/// Who may read and write a file, for a new one beside it; `None` where there is no file to ask, or no modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileMode(Option<u32>);

impl FileMode {
    /// The mode of `file`.
    pub(super) fn of(file: &Path) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            // Reading and writing only, and by us in any case.
            Self(fs::metadata(file).ok().map(|found| found.mode() & 0o666 | 0o600))
        }
        #[cfg(not(unix))]
        {
            let _ = file;
            Self(None)
        }
    }

    /// Has `options` make files that nobody may read who may not read the file asked.
    pub(super) fn limit(self, options: &mut OpenOptions) -> &mut OpenOptions {
        #[cfg(unix)]
        if let Some(mode) = self.0 {
            std::os::unix::fs::OpenOptionsExt::mode(options, mode);
        }
        options
    }

    /// Takes from a file that was there before what goes beyond this mode.
    pub(super) fn narrow(self, path: &Path) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(mode) = self.0 {
            use std::os::unix::fs::PermissionsExt as _;
            let found = fs::metadata(path)?.permissions().mode() & 0o777;
            if found & !mode != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(found & mode))?;
            }
        }
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }

    /// Makes `path`, of 0 bytes, unless it is there, which then is narrowed as far as we may.
    pub(super) fn make(self, path: &Path) -> io::Result<()> {
        match self.limit(OpenOptions::new().write(true).create_new(true)).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if let Err(error) = self.narrow(path) {
                    tracing::debug!(%error, path = %path.display(), "the mode stays as it is");
                }
                Ok(())
            }
            made => made.map(drop),
        }
    }
}

/// Gives a whole SQLite file the name `to`, which must be free, beside which no WAL or journal of an older file may lie:
/// SQLite would play it into the new one. Durable when it returns.
pub(super) fn place_database(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    for (old, new) in sidecars::set_aside(to)? {
        tracing::warn!(
            "{} was left over from another file: it is called {} now",
            old.display(),
            new.display()
        );
    }
    rename_without_replacing(from, to)
}

/// The directory of a file.
pub(super) fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Makes names in the file's directory durable.
pub(super) fn sync_directory(file: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory(file))?.sync_all() } else { Ok(()) }
}

/// Gives `from` the name `to`, which must be free (PAG-67). Durable when it returns.
pub(super) fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    no_replace(from, to)?;
    sync_directory(to)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn no_replace(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            link_and_unlink(from, to)
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn no_replace(from: &Path, to: &Path) -> io::Result<()> {
    link_and_unlink(from, to)
}

/// A hard link never replaces; killed in between, both names stay, and the next run removes `from`.
fn link_and_unlink(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        assert_eq!(rename_without_replacing(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(link_and_unlink(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&to).unwrap(), "old");
        fs::remove_file(&to).unwrap();
        rename_without_replacing(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        assert!(!from.exists());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        assert_eq!(directory(Path::new("x.db")), Path::new("."));
        assert_eq!(beside(Path::new("a/x.db"), "-ferry"), Path::new("a/x.db-ferry"));
    }
}
