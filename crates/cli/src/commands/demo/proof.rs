//! The proof that the copy is the source: roots of the images, SQLite's own check, and every row.

use std::{fmt, path::PathBuf};

use ferry_client::{
    ClientError,
    pages::file::{ImageDigests, LocalImage, OpenedFile, compare, compare::Comparison, image::FileAccess},
    progress::Silent,
};
use ferry_types::Root;
use serde_json::json;

use crate::{failure::Failure, output};

/// What was compared, and what came of it.
pub(super) struct Proof {
    /// Whether the copy's image has the root of the pushed snapshot.
    roots_equal: bool,
    /// What `PRAGMA integrity_check` says of the copy, if it says anything else of the source.
    integrity: Option<String>,
    contents: Comparison,
    /// Whether the source's own program wrote it since the snapshot, so that rows may honestly differ.
    pub(super) source_moved: bool,
}

/// Compares source and copy. `pushed` is the root of the snapshot that was pushed, `pulled` the root that the
/// pull computed; the copy is read again from its file.
pub(super) async fn compare(
    source: PathBuf,
    copy: PathBuf,
    pushed: Root,
    pulled: Root,
) -> Result<Proof, Failure> {
    let compared = tokio::task::spawn_blocking(move || {
        let root_of = |path: &PathBuf| match LocalImage::open(path, FileAccess::ReadOnly)? {
            OpenedFile::Image(image) => Ok(Some(ImageDigests::of(&image, &Silent)?.root)),
            OpenedFile::Missing | OpenedFile::Empty => Ok::<_, ClientError>(None),
        };
        let roots_equal = pushed == pulled && root_of(&copy)? == Some(pushed);
        let integrity = match compare::integrity(&copy)? {
            found if found == "ok" || found == compare::integrity(&source)? => None,
            found => Some(found),
        };
        let contents = compare::contents(&source, &copy)?;
        // After the rows were read: a root that still equals the pushed one covers them too.
        let source_moved = root_of(&source)? != Some(pushed);
        Ok::<_, ClientError>(Proof { roots_equal, integrity, contents, source_moved })
    });
    Ok(compared.await.map_err(|error| Failure::other(format!("comparing panicked: {error}")))??)
}

impl Proof {
    /// Whether the copy is what was pushed.
    pub(super) fn holds(&self) -> bool {
        let rows = self.contents.differing.is_empty() || self.source_moved;
        self.roots_equal && self.integrity.is_none() && rows
    }

    /// What to say if it is not.
    pub(super) fn failure(&self) -> ClientError {
        ClientError::unverified(format!("the copy is not what was pushed: {self}"))
    }

    pub(super) fn document(&self) -> serde_json::Value {
        json!({
            "equal": self.holds(),
            "roots_equal": self.roots_equal,
            "integrity_check": self.integrity.as_deref().unwrap_or("ok"),
            "tables": self.contents.tables,
            "rows": self.contents.rows,
            "differing": self.contents.differing,
            "source_changed_meanwhile": self.source_moved,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = if self.roots_equal { "images equal (BLAKE3 root)" } else { "images DIFFER" };
        let integrity = self.integrity.as_deref().unwrap_or("ok");
        write!(f, "{roots}; integrity_check {integrity}; ")?;
        let tables = self.contents.tables;
        let rows = output::count(self.contents.rows);
        if self.contents.differing.is_empty() {
            write!(f, "{tables} tables with {rows} rows equal")
        } else if self.source_moved {
            f.write_str("rows not compared: its program keeps writing the source")
        } else {
            write!(f, "rows DIFFER in {}", self.contents.differing.join(", "))
        }
    }
}
