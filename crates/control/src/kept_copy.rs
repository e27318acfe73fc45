//! What is kept of `control.db` before a migration behind which older programs cannot go (OPR-77): the way back for who puts
//! an older program in its place.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use ferry_sqlite::{Writer, folder};

/// Where it lies below the data directory, in a folder for each version that began to migrate.
const FOLDER: &str = "backup";

/// Copies the open `control.db` to `backup/pre-<version>/` of its folder, unless that was done before: a start that was cut off
/// had begun to change it.
///
/// # Errors
/// When the copy cannot be written; nothing was changed then.
pub(crate) fn keep(writer: &mut Writer, data_dir: &Path) -> ferry_sqlite::Result<()> {
    let backup = data_dir.join(FOLDER);
    let dir = backup.join(concat!("pre-", env!("CARGO_PKG_VERSION")));
    let kept = dir.join("control.db");
    if kept.exists() {
        return Ok(());
    }
    for folder in [&backup, &dir] {
        folder::create(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let part = dir.join("control.db.part");
    if part.exists() {
        fs::remove_file(&part)?;
    }
    // One image, whatever lies in the WAL.
    writer.connection().execute("VACUUM INTO ?1", [part.to_string_lossy()])?;
    fs::set_permissions(&part, Permissions::from_mode(0o600))?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, &kept)?;
    folder::sync(&dir)?;
    let file = kept.display();
    tracing::info!(%file, "older programs cannot go on with control.db from now on: what it was is kept");
    Ok(())
}
