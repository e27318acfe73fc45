//! What the demo pushes: the file it was given, else a database that some program of this machine wrote, else
//! a sample that says what it is.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{context::variable, failure::Failure};

/// Found databases above this are passed over: a first look should be short.
const FOUND_MAX_BYTES: u64 = 128 << 20;
/// Rows of the sample.
const SAMPLE_ROWS: u32 = 20_000;

/// A database to push.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Bytes of the file, without its WAL.
    pub(super) bytes: u64,
    /// Whose it is, for people.
    pub(super) origin: String,
}

/// The file given, else one that is found, else a sample made in `dir`.
pub(super) fn choose(given: Option<&Path>, dir: &Path) -> Result<Source, Failure> {
    if let Some(path) = given {
        return Ok(Source { path: path.to_owned(), bytes: size(path), origin: "your file".into() });
    }
    let found = candidates().into_iter().find(|(path, _)| is_readable(path));
    if let Some((path, origin)) = found {
        return Ok(Source { bytes: size(&path), path, origin: origin.to_owned() });
    }
    let path = dir.join("sample.db");
    make_sample(&path).map_err(|error| Failure::other(format!("cannot write a sample: {error}")))?;
    let origin =
        "a sample made just now, since no program's database was found (or name one: ferry demo FILE)";
    Ok(Source { bytes: size(&path), path, origin: origin.into() })
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Where well-known programs keep SQLite databases, and whose they are.
fn candidates() -> Vec<(PathBuf, &'static str)> {
    let home = variable("HOME").map(PathBuf::from);
    let mut found = Vec::new();
    let cargo = variable("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".cargo")));
    found.extend(cargo.map(|dir| (dir.join(".global-cache"), "written by Cargo")));
    let Some(home) = home else { return found };
    for profiles in [
        ".mozilla/firefox",
        "snap/firefox/common/.mozilla/firefox",
        "Library/Application Support/Firefox/Profiles",
    ] {
        let inside = fs::read_dir(home.join(profiles)).into_iter().flatten().flatten();
        found.extend(inside.map(|profile| (profile.path().join("places.sqlite"), "written by Firefox")));
    }
    for (path, origin) in [
        (".config/google-chrome/Default/History", "written by Chrome"),
        (".config/chromium/Default/History", "written by Chromium"),
        ("Library/Application Support/Google/Chrome/Default/History", "written by Chrome"),
    ] {
        found.push((home.join(path), origin));
    }
    found
}

/// Whether the file is a database with something in it that its program lets others read now.
fn is_readable(path: &Path) -> bool {
    let bytes = size(path);
    if bytes == 0 || bytes > FOUND_MAX_BYTES {
        return false;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let tables = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, u64>(0))
    });
    tables.is_ok_and(|tables| tables > 0)
}

fn make_sample(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL, stars REAL);
         WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {SAMPLE_ROWS})
         INSERT INTO note SELECT n, 'Note ' || n, hex(randomblob(40)), n % 50 / 10.0 FROM number;
         CREATE INDEX note_title ON note(title);
         COMMIT;"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_readable_database() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.db");
        make_sample(&path).unwrap();
        assert!(is_readable(&path));
        fs::write(dir.path().join("text"), "no database at all").unwrap();
        assert!(!is_readable(&dir.path().join("text")) && !is_readable(&dir.path().join("missing")));
    }
}
