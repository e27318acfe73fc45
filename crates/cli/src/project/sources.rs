//! The files of a project: those that functions are made of, and when they were changed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ferry_functions::ProjectFiles;

use super::{PROJECT_FILE, Project};
use crate::failure::Failure;

/// Folders below the functions' folder that hold none of their source.
const SKIPPED: [&str; 3] = ["migrations", "packages", "node_modules"];
/// What functions are made of.
const EXTENSIONS: [&str; 5] = ["ts", "mts", "js", "mjs", "json"];
/// Files that are looked through.
const FILES_MAX: usize = 10_000;
/// A file that was changed so shortly ago may change again within one tick of the file system's clock.
const UNSETTLED: Duration = Duration::from_millis(100);

/// Reads all sources, by their paths below the functions' folder.
pub(crate) fn read(project: &Project) -> Result<ProjectFiles, Failure> {
    let unreadable =
        |path: &Path, error: &io::Error| Failure::other(format!("{}: {error}", project.shown(path)));
    let mut files = ProjectFiles::new();
    for path in list(&project.dir).map_err(|error| unreadable(&project.dir, &error))? {
        let name = path.strip_prefix(&project.dir).expect("BUG: the walk stays below the folder");
        let name = name.to_string_lossy().replace('\\', "/");
        match fs::read(&path) {
            Ok(bytes) => files.insert(name, String::from_utf8_lossy(&bytes).into_owned()),
            // It went between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, &error)),
        };
    }
    Ok(files)
}

/// The sources below a functions' folder.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != dir => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name.starts_with('.') || SKIPPED.contains(&&*name) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|one| extension == *one))
            {
                found.push(path);
            }
        }
        if found.len() > FILES_MAX {
            return Err(io::Error::other(format!(
                "more than {FILES_MAX} files: keep what is not functions out of this folder"
            )));
        }
    }
    found.sort();
    Ok(found)
}

/// What a file looked like; another look that is equal saw the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<std::time::SystemTime>,
    bytes: u64,
    /// Which look this was, as long as the file may change unseen.
    look: u64,
}

/// Files that are looked at again and again.
#[derive(Debug)]
pub(crate) struct Watched {
    dir: PathBuf,
    /// Beside those below the functions' folder.
    others: Vec<PathBuf>,
    stamps: BTreeMap<PathBuf, Stamp>,
    looks: u64,
}

impl Watched {
    /// Those of a project: sources, settings, secrets, and whether other packages are installed.
    pub(crate) fn new(project: &Project) -> Self {
        let of_dir = [PROJECT_FILE, ".env"].map(|name| project.dir.join(name));
        let of_root = ["node_modules/.package-lock.json", "package.json", "tsconfig.json"];
        let others = of_dir.into_iter().chain(of_root.map(|name| project.root.join(name)));
        Self { dir: project.dir.clone(), others: others.collect(), stamps: BTreeMap::new(), looks: 0 }
    }

    /// Takes part in what is looked at: what a bundler found outside of the folder.
    pub(crate) fn also(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            if !self.others.contains(&path) && !path.starts_with(&self.dir) {
                self.others.push(path);
            }
        }
    }

    /// The files that changed, came or went since the last look; all at the first.
    pub(crate) fn look(&mut self) -> Vec<PathBuf> {
        self.looks += 1;
        let mut now = BTreeMap::new();
        // A folder that is gone for a moment, as while branches are changed, is one without files.
        for path in list(&self.dir).unwrap_or_default().iter().chain(&self.others) {
            if let Ok(found) = fs::metadata(path) {
                let modified = found.modified().ok();
                let is_young = modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < UNSETTLED);
                let look = if is_young { self.looks } else { 0 };
                now.insert(path.clone(), Stamp { modified, bytes: found.len(), look });
            }
        }
        let changed = now.iter().filter(|(path, stamp)| self.stamps.get(*path) != Some(stamp));
        let gone = self.stamps.keys().filter(|path| !now.contains_key(*path));
        let all = changed.map(|(path, _)| path).chain(gone).cloned().collect();
        self.stamps = now;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::settings::ProjectSettings;

    fn project(root: &Path) -> Project {
        Project { root: root.to_owned(), dir: root.join("ferry"), settings: ProjectSettings::default() }
    }

    // Verifies: FUN-71
    #[test]
    fn every_way_to_change_a_file_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let project = project(root.path());
        fs::create_dir_all(project.dir.join("functions")).unwrap();
        fs::create_dir_all(project.dir.join("migrations")).unwrap();
        let index = project.dir.join("functions/index.ts");
        fs::write(&index, "a").unwrap();
        let mut watched = Watched::new(&project);
        assert_eq!(watched.look(), std::slice::from_ref(&index));
        // Editors write another file and rename it; of equal length.
        let other = project.dir.join("functions/.index.ts.swp");
        fs::write(&other, "b").unwrap();
        fs::rename(&other, &index).unwrap();
        assert_eq!(watched.look(), std::slice::from_ref(&index));
        let new = project.dir.join("lib/new.ts");
        fs::create_dir_all(project.dir.join("lib")).unwrap();
        fs::write(&new, "").unwrap();
        assert!(watched.look().contains(&new));
        fs::remove_file(&new).unwrap();
        assert!(watched.look().contains(&new));
        fs::write(project.dir.join("migrations/1.sql"), "").unwrap();
        fs::write(project.dir.join(".env"), "A=1").unwrap();
        assert!(watched.look().iter().all(|path| !path.ends_with("1.sql")));
        let outside = root.path().join("shared.ts");
        fs::write(&outside, "").unwrap();
        watched.also([outside.clone()]);
        assert!(watched.look().contains(&outside));
        let files = read(&project).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["functions/index.ts"]);
    }
}
