//! The store of a spoke in the place of a database's file: a link, so that the hub's folder holds nothing that would be
//! missed, and the store is one file with or without it.

use std::{io, os::unix::fs::symlink, path::Path};

use ferry_database::main_of;

use crate::config::ConfigError;

/// Makes `store`, which exists, the file of the database in `dir`.
///
/// # Errors
/// When the link cannot be made, or a file of another kind stands in its place.
pub(crate) fn link_store(dir: &Path, store: &Path) -> Result<(), ConfigError> {
    let link = main_of(dir);
    let failed = |error: io::Error| ConfigError(format!("{}: {error}", link.display()));
    let real = store.canonicalize().map_err(failed)?;
    match link.read_link() {
        Ok(known) if known == real => return Ok(()),
        // The store and the folder beside it were moved together.
        Ok(_) => std::fs::remove_file(&link).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    ferry_sqlite::folder::create(dir).map_err(failed)?;
    symlink(&real, &link).map_err(failed)?;
    ferry_sqlite::folder::sync(dir).map_err(failed)
}
