//! Which targets a hub has backed up to. One that is empty all of a sudden is most likely a disk that is not mounted, and what
//! lay on it is not replaced by backups in the empty folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use crate::{Error, Result, error::AtPath as _};

const FILE: &str = "known-targets.json";

/// Address and `target_id` of each.
pub(crate) struct KnownTargets<'a> {
    folder: &'a Path,
    ids: BTreeMap<String, String>,
}

impl<'a> KnownTargets<'a> {
    /// Reads what is known in a hub's own folder of backups.
    pub(crate) fn read(folder: &'a Path) -> Result<Self> {
        let path = folder.join(FILE);
        let ids = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::Invalid(format!("{} is damaged: {error}; it may be deleted", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).at("cannot read", &path),
        };
        Ok(Self { folder, ids })
    }

    /// Refuses an empty target that was not empty before.
    pub(crate) fn check_empty(&self, url: &str) -> Result<()> {
        if !self.ids.contains_key(url) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "{url} is empty, and this hub has backups there: is its disk mounted? To begin anew there, delete {}",
            self.folder.join(FILE).display()
        )))
    }

    /// Notes a target that is in use.
    pub(crate) fn note(&mut self, url: &str, target_id: &str) -> Result<()> {
        if self.ids.get(url).is_some_and(|known| known == target_id) {
            return Ok(());
        }
        self.ids.insert(url.to_owned(), target_id.to_owned());
        let bytes = serde_json::to_vec(&self.ids).expect("BUG: text is JSON");
        let path = self.folder.join(FILE);
        let new = path.with_extension("new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            ferry_sqlite::folder::sync(self.folder)
        };
        write().at("cannot write", &path)
    }
}
