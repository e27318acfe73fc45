//! Whether a database's files are as they were, without opening them (OPR-04).

use std::{fs::Metadata, io, os::unix::fs::MetadataExt as _, path::Path};

use ferry_sqlite::sidecars;
use rustix::time::{ClockId, clock_gettime};

/// Seconds for which a change may not show in a file's times: some file systems write whole seconds.
const SETTLED_SECONDS: i64 = 2;

/// What a database's file and its WAL are known by: where they lie, how long they are, when they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFileIdentity(Vec<u8>);

impl DatabaseFileIdentity {
    /// That of the database at `main` now. `None`: it was written a moment ago, and a further write might not show.
    ///
    /// # Errors
    /// When the file system cannot tell.
    pub fn of(main: &Path) -> io::Result<Option<Self>> {
        let now = clock_gettime(ClockId::Realtime).tv_sec;
        let mut bytes = Vec::new();
        for (path, has_ctime) in [(main.to_owned(), true), (sidecars::beside(main, "-wal"), false)] {
            let metadata = match path.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    bytes.push(0);
                    continue;
                }
                looked => looked?,
            };
            // A WAL without content is none: whoever reads a database that nobody has open makes one.
            if !has_ctime && metadata.size() == 0 {
                bytes.push(0);
                continue;
            }
            let written = if has_ctime { metadata.mtime().max(metadata.ctime()) } else { metadata.mtime() };
            if written > now - SETTLED_SECONDS {
                return Ok(None);
            }
            bytes.push(1);
            note(&metadata, has_ctime, &mut bytes);
        }
        Ok(Some(Self(bytes)))
    }

    /// As it is kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Of a WAL its inode's time is left out: where root runs the hub, SQLite sets the WAL's owner whenever it opens the file to read,
/// so that reading alone would be a change. What is written shows in the time of its content, too.
fn note(metadata: &Metadata, has_ctime: bool, bytes: &mut Vec<u8>) {
    for number in [metadata.dev(), metadata.ino(), metadata.size()] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let changed = [metadata.ctime(), metadata.ctime_nsec()];
    let times = [metadata.mtime(), metadata.mtime_nsec()].into_iter();
    for time in times.chain(changed.into_iter().filter(|_| has_ctime)) {
        bytes.extend_from_slice(&time.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_written_is_known_by_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main.db");
        let missing = DatabaseFileIdentity::of(&main).unwrap();
        assert!(missing.is_some(), "a file that is not there is known by that");
        std::fs::write(&main, b"x").unwrap();
        assert_eq!(DatabaseFileIdentity::of(&main).unwrap(), None);
    }
}
