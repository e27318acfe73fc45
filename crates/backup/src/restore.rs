//! A database is written as a snapshot has it, and compared with its root on the way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ferry_core::{
    backup::{
        ChunkId, chunk,
        manifest::{BackedUpDatabase, ImageShape},
        map::MapEntry,
    },
    pages::tree,
};
use ferry_sqlite::connection;
use ferry_types::{Leaf, PageNo, PageSize};

use crate::{Error, JobProgress, Repository, Result, error::AtPath as _, image::leaves_of};

/// Writes a database to `to`, which must not exist: whole, compared with its root and on disk, or not at all.
///
/// # Errors
/// When an object is missing or damaged, or the file cannot be written.
pub fn restore_file(
    repository: &Repository,
    entry: &BackedUpDatabase,
    to: &Path,
    progress: &JobProgress,
) -> Result<()> {
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::Occupied(format!("{} exists already: name a new file", to.display())));
        }
        opened => opened.at("cannot write", to)?,
    };
    let written = write_image(repository, entry, &file, to, progress);
    if written.is_err() {
        let _ = fs::remove_file(to);
    }
    written
}

fn write_image(
    repository: &Repository,
    entry: &BackedUpDatabase,
    mut file: &File,
    to: &Path,
    progress: &JobProgress,
) -> Result<()> {
    let shape = entry.image();
    let mut root = tree::RootBuilder::default();
    let mut place = 0;
    for (part, entries) in entry.map_parts() {
        for map_entry in repository.map_part(part, entries)? {
            progress.check()?;
            let size = shape.page_size.expect("BUG: an image with a map has pages");
            let mut data = read_chunk(repository, &shape, size, place, &map_entry)?;
            let first = PageNo::new(place * chunk::PAGES + 1).expect("BUG: it is not 0");
            leaves_of(first, size, &data).iter().for_each(|leaf| root.push(leaf));
            if place == 0 {
                shape.volatile.apply(&mut data);
            }
            file.write_all(&data).at("cannot write", to)?;
            place += 1;
        }
    }
    let found = shape.page_size.map_or_else(tree::empty_root, |size| root.finish(size));
    if found != shape.root {
        let what = format!(
            "database {}: its chunks are whole, and make another image than its root names",
            entry.id
        );
        return Err(Error::damaged("snapshots", what));
    }
    file.sync_all().at("cannot sync", to)
}

/// A chunk as the image has it, in normal form.
fn read_chunk(
    repository: &Repository,
    shape: &ImageShape,
    size: PageSize,
    place: u32,
    entry: &MapEntry,
) -> Result<Vec<u8>> {
    let count = chunk::pages_of(place, shape.pages);
    let first = PageNo::new(place * chunk::PAGES + 1).expect("BUG: it is not 0");
    let mut data = repository.chunk(entry.chunk())?;
    let is_whole = data.len() == count as usize * size.bytes()
        && ChunkId::of_pages(chunk::node(&leaves_of(first, size, &data))) == entry.chunk();
    if !is_whole {
        return Err(repository.is_damaged(entry.chunk())?);
    }
    for patch in entry.patches() {
        let id = ChunkId::of_page(patch.leaf);
        let page = repository.chunk(id)?;
        let number = first.get() + u32::from(patch.page);
        let leaf = if number == size.lock_page().get() { Leaf::LOCK_PAGE } else { tree::leaf(&page) };
        if page.len() != size.bytes() || leaf != patch.leaf {
            return Err(repository.is_damaged(id)?);
        }
        let room = data.chunks_exact_mut(size.bytes()).nth(patch.page.into());
        let room = room.ok_or_else(|| {
            Error::damaged(repository.object_of(entry.chunk()), "a map patches a page behind the last")
        })?;
        room.copy_from_slice(&page);
    }
    Ok(data)
}

/// Asks SQLite whether a restored file is sound. Nobody else has it open.
///
/// # Errors
/// SQLite's first finding, or that it cannot be read.
pub(crate) fn check_integrity(path: &Path, name: &str) -> Result<()> {
    if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Ok(());
    }
    let connection = connection::open_immutable(path)?;
    let finding: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(Error::damaged("snapshots", format!("database {name} is as it was, and was not sound: {finding}")))
}
