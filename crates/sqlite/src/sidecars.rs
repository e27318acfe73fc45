//! The files that SQLite keeps beside a database. They belong to one file; left behind by one that was deleted, they
//! would be played into whatever file gets its name next.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// What SQLite adds to a database's name: its WAL, the rollback journal, the WAL's index.
pub const SUFFIXES: [&str; 3] = ["-wal", "-journal", "-shm"];

/// `<file><suffix>`.
#[must_use]
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file.as_os_str());
    name.push(suffix);
    name.into()
}

/// Gives what lies beside the name of a file that is about to be made other names, in which SQLite looks for nothing:
/// `<file>-wal.old`, with a number where that is taken. Returns what was called what before.
///
/// # Errors
/// When the folder does not allow it; then nothing must be made there.
pub fn set_aside(file: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut moved = Vec::new();
    for suffix in SUFFIXES {
        let from = beside(file, suffix);
        if from.symlink_metadata().is_err() {
            continue;
        }
        let to = free_name(&from);
        fs::rename(&from, &to)?;
        moved.push((from, to));
    }
    Ok(moved)
}

fn free_name(sidecar: &Path) -> PathBuf {
    let mut name = beside(sidecar, ".old");
    let mut taken = 1;
    while name.symlink_metadata().is_ok() {
        taken += 1;
        name = beside(sidecar, &format!(".old-{taken}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_kept_under_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        for (content, name) in [("one", "x.db-wal.old"), ("two", "x.db-wal.old-2")] {
            fs::write(dir.path().join("x.db-wal"), content).unwrap();
            let moved = set_aside(&file).unwrap();
            assert_eq!(moved, [(dir.path().join("x.db-wal"), dir.path().join(name))]);
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), content);
        }
        assert!(set_aside(&file).unwrap().is_empty());
    }
}
