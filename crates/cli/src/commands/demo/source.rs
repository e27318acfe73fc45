//! What the demo pushes: the file it was given, else a sample that it makes itself. It never searches for files.

use std::path::{Path, PathBuf};

use ferry_client::{
    ClientError,
    pages::file::{LocalImage, OpenedFile, image::FileAccess},
};
use ferry_sqlite::connection::open_file;
use rusqlite::OpenFlags;

use crate::failure::Failure;

/// Rows of the sample.
const SAMPLE_ROWS: u32 = 20_000;

/// A database to push.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Bytes of its image.
    pub(super) bytes: u64,
    /// Whose it is, for people.
    pub(super) origin: String,
}

/// The file given, which must be a database with something in it, else a sample made in `dir`.
pub(super) fn choose(given: Option<&Path>, dir: &Path) -> Result<Source, Failure> {
    let (path, origin) = match given {
        Some(path) => (path.to_owned(), "your file"),
        None => {
            let path = dir.join("sample.db");
            make_sample(&path).map_err(|error| Failure::other(format!("cannot write a sample: {error}")))?;
            (path, "a sample made just now (or name a file: ferry demo FILE)")
        }
    };
    let wrong = |reason, what: &str| ClientError::file(reason, format!("{} {what}", path.display()));
    let bytes = match LocalImage::open(&path, FileAccess::ReadOnly)? {
        OpenedFile::Image(image) => image.bytes(),
        OpenedFile::Missing => return Err(wrong("FILE_MISSING", "does not exist").into()),
        OpenedFile::Empty => return Err(wrong("FILE_EMPTY", "is empty: there is nothing to push").into()),
    };
    Ok(Source { path, bytes, origin: origin.into() })
}

fn make_sample(path: &Path) -> rusqlite::Result<()> {
    let connection = open_file(path, OpenFlags::default())?;
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL, stars REAL);
         WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {SAMPLE_ROWS})
         INSERT INTO note SELECT n, 'Note ' || n, hex(randomblob(40)), n % 50 / 10.0 FROM number;
         CREATE INDEX note_title ON note(title);
         COMMIT;"
    ))
}
