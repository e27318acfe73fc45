//! `migrations/`: files of SQL, each of which names the one before it (FUN-60).

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use ferry_client::{ClientError, functions::MigrationText};
use ferry_core::functions::deploy::{DeclaredNames, MigrationFile, sha256_hex};

use super::Project;
use crate::{decisions::Decisions, failure::Failure};

/// Their folder.
pub(crate) const FOLDER: &str = "migrations";
/// What lines of a file say that are not SQL.
const PARENT: &str = "-- parent: ";
const DECIDED: &str = "-- decided: ";
const DECLARES: &str = "-- declares: ";
const TITLE: &str =
    "-- Made by Ferry: the statements may be edited as long as no database has run them, these lines not.";
/// Stands for the parent of the first one.
const NO_PARENT: &str = "none";
/// Largest file.
const BYTES_MAX: u64 = 16 << 20;

/// A migration file.
#[derive(Clone, Debug)]
pub(crate) struct Migration {
    /// The name of the file, without `.sql`.
    pub(crate) id: String,
    /// The one before it; `None`: it is the first.
    pub(crate) parent: Option<String>,
    /// What the developer decided.
    pub(crate) decided: Decisions,
    /// The names that the schema behind it declares.
    pub(crate) declares: DeclaredNames,
    text: String,
}

/// The files of a project.
#[derive(Clone, Debug)]
pub(crate) struct Migrations {
    folder: PathBuf,
    pub(crate) all: Vec<Migration>,
}

impl Migration {
    fn read(id: &str, text: &str) -> Result<Self, String> {
        let value = |mark: &str| text.lines().find_map(|line| line.strip_prefix(mark)).map(str::trim);
        let parent = value(PARENT).ok_or_else(|| {
            format!("it names no migration before it: begin it with the line \"{PARENT}ID\", or \"{PARENT}{NO_PARENT}\"")
        })?;
        let json = |mark: &str| value(mark).unwrap_or("{}");
        let wrong =
            |mark: &str, error: &serde_json::Error| format!("its line \"{}\": {error}", mark.trim_end());
        Ok(Self {
            id: id.to_owned(),
            parent: Some(parent.to_owned()).filter(|parent| parent != NO_PARENT),
            decided: serde_json::from_str(json(DECIDED)).map_err(|error| wrong(DECIDED, &error))?,
            declares: serde_json::from_str(json(DECLARES)).map_err(|error| wrong(DECLARES, &error))?,
            text: text.to_owned(),
        })
    }

    /// A new one.
    pub(crate) fn new(
        id: String,
        parent: Option<String>,
        (decided, declares): (Decisions, DeclaredNames),
        statements: &[String],
    ) -> Self {
        let mut text = format!("{TITLE}\n{PARENT}{}\n", parent.as_deref().unwrap_or(NO_PARENT));
        let json = |value: serde_json::Result<String>| value.expect("BUG: names and values are JSON");
        let mut line =
            |mark: &str, json: &str| writeln!(text, "{mark}{json}").expect("BUG: a String takes all");
        if !decided.is_empty() {
            line(DECIDED, &json(serde_json::to_string(&decided)));
        }
        line(DECLARES, &json(serde_json::to_string(&declares)));
        for statement in statements {
            writeln!(text, "\n{statement};").expect("BUG: a String takes all");
        }
        Self { id, parent, decided, declares, text }
    }

    /// The same behind another one.
    pub(crate) fn behind(&self, parent: Option<&str>) -> Self {
        let line = |line: &str| match line.starts_with(PARENT) {
            true => format!("{PARENT}{}\n", parent.unwrap_or(NO_PARENT)),
            false => format!("{line}\n"),
        };
        let text = self.text.lines().map(line).collect();
        Self { parent: parent.map(str::to_owned), text, ..self.clone() }
    }

    /// What runs: lines of ours are empty ones, so that a file that only moves stays what it was.
    fn sql(&self) -> String {
        let is_ours =
            |line: &str| [TITLE, PARENT, DECIDED, DECLARES].iter().any(|mark| line.starts_with(mark));
        let line = |line: &str| if is_ours(line) { "\n".to_owned() } else { format!("{line}\n") };
        self.text.lines().map(line).collect()
    }

    /// What people call it.
    fn name(&self) -> &str {
        self.id.splitn(3, '_').nth(2).unwrap_or(&self.id)
    }
}

impl Migrations {
    pub(crate) fn read(project: &Project) -> Result<Self, Failure> {
        let folder = project.dir.join(FOLDER);
        let mut all = Vec::new();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::other(format!("{}: {error}", project.shown(&folder)))),
        };
        for path in entries.iter().filter(|path| path.extension().is_some_and(|end| end == "sql")) {
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = read_text(path);
            let read = text.and_then(|text| Migration::read(&id, &text));
            all.push(read.map_err(|why| {
                Failure::from(ClientError::argument(format!("{}: {why}", project.shown(path))))
            })?);
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { folder, all })
    }

    /// Two that follow the same one, if there are.
    pub(crate) fn fork(&self) -> Option<(&Migration, &Migration)> {
        let mut pairs = self
            .all
            .iter()
            .enumerate()
            .flat_map(|(at, one)| self.all[at + 1..].iter().map(move |other| (one, other)));
        pairs.find(|(one, other)| one.parent == other.parent)
    }

    /// Refuses two that follow the same one.
    pub(crate) fn check_line(&self) -> Result<(), Failure> {
        let Some((one, other)) = self.fork() else { return Ok(()) };
        let parent =
            one.parent.as_deref().map_or_else(|| "are the first".to_owned(), |id| format!("follow {id}"));
        let message =
            format!("migrations {} and {} both {parent}: run ferry migrations merge", one.id, other.id);
        Err(ClientError::conflict("MIGRATIONS_FORK", message).into())
    }

    /// Those from `first` on that follow each other.
    pub(crate) fn from(&self, first: &Migration) -> Vec<Migration> {
        let mut line = vec![first.clone()];
        while let Some(next) = line.last().and_then(|last| self.children(Some(&last.id)).next()) {
            if line.len() > self.all.len() {
                break;
            }
            line.push(next.clone());
        }
        line
    }

    /// Those that follow `parent`.
    pub(crate) fn children<'m>(&'m self, parent: Option<&'m str>) -> impl Iterator<Item = &'m Migration> {
        self.all.iter().filter(move |migration| migration.parent.as_deref() == parent)
    }

    /// The last one of all, where they are one line.
    pub(crate) fn last(&self) -> Option<&Migration> {
        self.all.iter().find(|migration| self.children(Some(&migration.id)).next().is_none())
    }

    /// The names that the schema behind them declares; without a word about it, all that any file declares.
    pub(crate) fn declared(&self) -> DeclaredNames {
        let mut names = DeclaredNames::default();
        match self.last().filter(|last| last.declares != DeclaredNames::default()) {
            Some(last) => last.declares.clone(),
            None => {
                self.all.iter().for_each(|migration| names.extend(migration.declares.clone()));
                names
            }
        }
    }

    /// As the storage library takes them.
    pub(crate) fn files(&self) -> Vec<MigrationFile> {
        let file = |migration: &Migration| {
            let sql = migration.sql();
            MigrationFile {
                id: migration.id.clone(),
                parent: migration.parent.clone(),
                name: migration.name().to_owned(),
                sha256: sha256_hex(&sql),
                sql,
            }
        };
        self.all.iter().map(file).collect()
    }

    /// As a deployment brings them.
    pub(crate) fn texts(&self) -> Vec<MigrationText> {
        let text =
            |MigrationFile { id, parent, name, sha256, sql }| MigrationText { id, parent, name, sha256, sql };
        self.files().into_iter().map(text).collect()
    }

    /// The same with one more, which is not written yet.
    pub(crate) fn with(&self, new: Migration) -> Self {
        let mut all = self.clone();
        all.all.push(new);
        all
    }

    /// Writes a file, whole or not at all; an older one of its name is replaced.
    pub(crate) fn write(&self, migration: &Migration) -> Result<PathBuf, Failure> {
        let path = self.folder.join(format!("{}.sql", migration.id));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let new = self.folder.join(format!(".{}.sql.tmp", migration.id));
            fs::write(&new, &migration.text)?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| Failure::other(format!("writing {}: {error}", path.display())))?;
        Ok(path)
    }

    /// Removes a file.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Failure> {
        let path = self.folder.join(format!("{id}.sql"));
        fs::remove_file(&path)
            .map_err(|error| Failure::other(format!("removing {}: {error}", path.display())))
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes: split it"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-60
    #[test]
    fn a_file_that_moves_behind_another_one_runs_the_same() {
        let declares = DeclaredNames { tables: vec!["t".into()], ..DeclaredNames::default() };
        let decided = Decisions { drops: ["t.a".to_owned()].into(), ..Decisions::default() };
        let statements = ["CREATE TABLE t(a)".to_owned(), "CREATE TABLE u(\n  a)".to_owned()];
        let new = Migration::new("1_ab_x".into(), None, (decided, declares), &statements);
        let read = Migration::read("1_ab_x", &new.text).unwrap();
        assert_eq!((&read.parent, &read.declares, &read.decided), (&None, &new.declares, &new.decided));
        let moved = read.behind(Some("0_cd_y"));
        assert_eq!(Migration::read("1_ab_x", &moved.text).unwrap().parent.as_deref(), Some("0_cd_y"));
        assert_eq!(moved.sql(), new.sql());
        assert!(new.sql().ends_with("CREATE TABLE u(\n  a);\n") && !new.sql().contains("--"));
        assert!(Migration::read("x", "CREATE TABLE t(a);").unwrap_err().contains("-- parent: none"));
    }
}
