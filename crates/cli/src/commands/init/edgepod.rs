//! `ferry init --from edgepod`: schema, functions, journal and API key of an EdgePod project, taken over (FUN-70). What is
//! in `edgepod/` stays as it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ferry_core::functions::{deploy::DeclaredNames, schema::DatabaseSchema};
use serde::Deserialize;

use crate::{
    failure::Failure,
    output,
    project::{
        Project,
        bundle::Bundle,
        migrations::{self, Migration},
        sources,
    },
    system,
};

/// Where an EdgePod project has its schema and functions.
const FOLDER: &str = "edgepod";
/// What EdgePod calls its journal of migrations, drizzle's.
const JOURNAL: &str = "meta/_journal.json";
/// What drizzle puts between statements.
const BREAKPOINT: &str = "--> statement-breakpoint";
/// The id that the hub gives to what was in a database before its first deployment.
const BASELINE: &str = "baseline";
/// What is made anew, or is of other tools.
const LEFT_OUT: [&str; 5] = ["client.ts", "client.js", "package.json", "tsconfig.json", "drizzle.config.ts"];
const EXTENSIONS: [&str; 5] = ["ts", "mts", "js", "mjs", "json"];
/// What a publishable key of EdgePod begins with, and how many characters follow: a UUID.
const KEY_PREFIX: &str = "ep_pk_";
const KEY_CHARS: usize = 36;
/// Largest file that is looked through for a key.
const KEY_FILE_MAX_BYTES: u64 = 256 << 10;
/// How deep folders are looked through.
const DEPTH_MAX: usize = 6;

/// An EdgePod project.
pub(super) struct EdgePodProject {
    folder: PathBuf,
    /// The folder of its journal, if it has one.
    journal: Option<PathBuf>,
    /// Its API key, if it stands in one of its files.
    pub(super) key: Option<String>,
}

#[derive(Deserialize)]
struct Journal {
    entries: Vec<JournalEntry>,
}

#[derive(Deserialize)]
struct JournalEntry {
    idx: u64,
    tag: String,
}

impl EdgePodProject {
    /// The one in `root`.
    pub(super) fn find(root: &Path) -> Result<Self, Failure> {
        let folder = root.join(FOLDER);
        let has = |name: &str| folder.join(name).exists();
        if !has("schema.ts") && !has("functions") {
            return Err(Failure::Usage(format!(
                "--from edgepod: {} has no schema.ts and no functions: name the folder that has {FOLDER}/ in it",
                folder.display()
            )));
        }
        let all = files(&folder);
        let journal = all.iter().find(|path| path.ends_with(JOURNAL));
        let journal = journal.and_then(|path| path.parent()?.parent()).map(Path::to_owned);
        let of_root = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        let of_root = of_root
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".env")));
        let key = all.iter().cloned().chain(of_root).find_map(|path| key_in(&path));
        Ok(Self { folder, journal, key })
    }

    /// The files that are taken over: where each goes below the functions' folder, and where it is.
    pub(super) fn sources(&self) -> Vec<(String, PathBuf)> {
        let of_journal = |path: &Path| self.journal.as_ref().is_some_and(|folder| path.starts_with(folder));
        let is_source = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let has_extension =
                path.extension().is_some_and(|end| EXTENSIONS.iter().any(|extension| end == *extension));
            (has_extension || name == ".env") && !LEFT_OUT.contains(&&*name) && !of_journal(path)
        };
        let below = |path: PathBuf| {
            let name = path.strip_prefix(&self.folder).expect("BUG: the walk stays below the folder");
            (name.to_string_lossy().replace('\\', "/"), path)
        };
        files(&self.folder).into_iter().filter(is_source).map(below).collect()
    }

    /// The migration that stands for what its journal did: a hub that has those tables takes it as done, another one
    /// runs it.
    pub(super) fn baseline(&self, project: &Project) -> Result<Option<Migration>, Failure> {
        let Some(folder) = &self.journal else { return Ok(None) };
        let path = folder.join(JOURNAL);
        let wrong = |error: &dyn std::fmt::Display| Failure::other(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        let mut journal: Journal = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        journal.entries.sort_by_key(|entry| entry.idx);
        let mut statements = Vec::new();
        for entry in &journal.entries {
            let file = folder.join(format!("{}.sql", entry.tag));
            let text = fs::read_to_string(&file)
                .map_err(|error| Failure::other(format!("{}: {error}", file.display())))?;
            let pieces = text.split(BREAKPOINT).map(|piece| piece.trim().trim_end_matches(';').to_owned());
            statements.extend(pieces.filter(|piece| !piece.is_empty()));
        }
        let declares = declared(project);
        Ok(Some(Migration::new(BASELINE.to_owned(), None, (Default::default(), declares), &statements)))
    }
}

/// Names that the schema declares; none, if it cannot be told yet.
fn declared(project: &Project) -> DeclaredNames {
    let bundle = sources::read(project)
        .ok()
        .and_then(|files| Bundle::make(project, &files, system::unix_millis()).ok());
    let Some(bundle) = bundle else {
        output::note("the functions do not compile as they are: ferry dev shows why");
        return DeclaredNames::default();
    };
    let schema = bundle.schema.and_then(|schema| DatabaseSchema::from_json(&schema.to_string()).ok());
    schema.map(|schema| DeclaredNames::of(&schema)).unwrap_or_default()
}

/// The folder of migrations of a project; for messages.
pub(super) fn baseline_name(dir: &str) -> String {
    format!("{dir}/{}/{BASELINE}.sql", migrations::FOLDER)
}

/// All files below a folder, but those of packages and hidden folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_folder = path.is_dir();
            if is_folder && (name.starts_with('.') || name == "node_modules") {
                continue;
            }
            if is_folder && depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if !is_folder {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn key_in(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|found| found.len() <= KEY_FILE_MAX_BYTES);
    let text = is_small.then(|| fs::read(path)).and_then(io::Result::ok)?;
    let text = String::from_utf8_lossy(&text);
    text.match_indices(KEY_PREFIX).find_map(|(at, _)| {
        let key = text.get(at..at + KEY_PREFIX.len() + KEY_CHARS)?;
        let is_uuid = key[KEY_PREFIX.len()..].chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        is_uuid.then(|| key.to_owned())
    })
}
