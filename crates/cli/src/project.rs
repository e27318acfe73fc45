//! A project with functions: a folder with `ferry/` in it, and what is made of that (functions specification, 3.8).

pub(crate) mod bundle;
pub(crate) mod checker;
pub(crate) mod dev_decisions;
pub(crate) mod dev_lock;
pub(crate) mod difference;
pub(crate) mod env_file;
mod esbuild;
pub(crate) mod migrations;
pub(crate) mod settings;
pub(crate) mod sources;
pub(crate) mod types_file;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ferry_client::{ClientError, ClientErrorCode};
use ferry_types::Code;

use self::settings::ProjectSettings;
use crate::failure::Failure;

/// The file by which the folder with the functions is known.
pub(crate) const PROJECT_FILE: &str = "project.toml";
/// What that folder is called unless `ferry init --dir` said otherwise.
pub(crate) const DEFAULT_DIR: &str = "ferry";
/// Where `ferry dev` keeps its hub's data, below the project's folder.
pub(crate) const DEV_DIR: &str = ".ferry";

/// A project.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Its folder, which has `package.json`.
    pub(crate) root: PathBuf,
    /// The folder with `schema.ts`, `functions/` and so on.
    pub(crate) dir: PathBuf,
    /// What its `project.toml` says.
    pub(crate) settings: ProjectSettings,
}

impl Project {
    /// The project that `start` lies in.
    pub(crate) fn find(start: &Path) -> Result<Self, Failure> {
        let start = fs::canonicalize(start).map_err(|error| {
            Failure::Usage(format!("{}: {error}: name a project's folder", start.display()))
        })?;
        match start.ancestors().find_map(dir_at) {
            Some(dir) => Self::at(dir),
            None => Err(ClientError::new(
                ClientErrorCode::Table(Code::NotFound),
                "NO_PROJECT",
                format!(
                    "there is no Ferry project in {} or above it: make one with ferry init, or go to its folder",
                    start.display()
                ),
            )
            .into()),
        }
    }

    fn at(dir: PathBuf) -> Result<Self, Failure> {
        let settings = ProjectSettings::read(&dir.join(PROJECT_FILE))?;
        let root = dir.parent().unwrap_or(&dir).to_owned();
        Ok(Self { root, dir, settings })
    }

    /// Reads `project.toml` again.
    pub(crate) fn reread(&mut self) -> Result<(), Failure> {
        self.settings = ProjectSettings::read(&self.dir.join(PROJECT_FILE))?;
        Ok(())
    }

    /// A path below the functions' folder as people see it from the project's.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// A folder of `node_modules` that the project sees: its own, or one above it.
    pub(crate) fn node_module(&self, path: &str) -> Option<PathBuf> {
        let folders = self.root.ancestors().map(|folder| folder.join("node_modules").join(path));
        folders.into_iter().find(|found| found.exists())
    }
}

/// The functions' folder, if `folder` is it or has it: `ferry`, else the only child with a `project.toml`.
fn dir_at(folder: &Path) -> Option<PathBuf> {
    let is_dir = |dir: &Path| is_project_file(&dir.join(PROJECT_FILE));
    let usual = folder.join(DEFAULT_DIR);
    if is_dir(&usual) {
        return Some(usual);
    }
    if is_dir(folder) {
        return Some(folder.to_owned());
    }
    let children = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found = children.filter(|child| is_dir(child));
    let only = found.next()?;
    found.next().is_none().then_some(only)
}

/// Whether it is a project's of Ferry: other tools have files of this name too.
fn is_project_file(path: &Path) -> bool {
    let table = fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| table.contains_key("project") && table.contains_key("hub"))
}
