//! The migration files of a project against those that a database went through: one chain, of which the database knows the
//! beginning.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::history::{AppliedMigration, MigrationKind};

/// A migration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationFile {
    /// Its id: the name of the file.
    pub id: String,
    /// The one before it; `None`: it is the first.
    pub parent: Option<String>,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its text, hex.
    pub sha256: String,
    /// Its text.
    pub sql: String,
}

/// SHA-256 of a text, in lower-case hex.
#[must_use]
pub fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why files cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadFiles {
    /// They contradict themselves.
    Invalid(String),
    /// They do not fit what was applied.
    Conflict(String),
}

/// The files that are still to be applied, in their order.
pub(super) fn pending<'f>(
    files: &'f [MigrationFile],
    applied: &[AppliedMigration],
) -> Result<Vec<&'f MigrationFile>, BadFiles> {
    check(files)?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let chain = chain(files, applied)?;
    let known = |id: &str| applied.iter().find(|migration| migration.id == id);
    for migration in applied.iter().filter(|migration| migration.kind == MigrationKind::File) {
        let Some(file) = files.iter().find(|file| file.id == migration.id) else {
            return Err(BadFiles::Conflict(format!(
                "migration {} is applied here and is not among your files: fetch it from the branch that deployed it",
                migration.id
            )));
        };
        if !file.sha256.eq_ignore_ascii_case(&migration.sha256) {
            return Err(BadFiles::Conflict(format!(
                "migration {} was applied with another content: put the file back as it was, and write what is new into \
                 another one",
                migration.id
            )));
        }
    }
    let first = chain.iter().position(|file| known(&file.id).is_none()).unwrap_or(chain.len());
    if let Some(late) = chain[first..].iter().find(|file| known(&file.id).is_some()) {
        return Err(BadFiles::Conflict(format!(
            "migration {} comes before {}, which is applied here already: run `ferry migrations merge`",
            chain[first].id, late.id
        )));
    }
    Ok(chain[first..].to_vec())
}

fn check(files: &[MigrationFile]) -> Result<(), BadFiles> {
    let mut ids = BTreeSet::new();
    for file in files {
        if file.id.is_empty() || !ids.insert(&*file.id) {
            return Err(BadFiles::Invalid(format!(
                "migrations: two files have the id {:?}, or it is empty",
                file.id
            )));
        }
        if !file.sha256.eq_ignore_ascii_case(&sha256_hex(&file.sql)) {
            return Err(BadFiles::Invalid(format!("migrations: {}: sha256 is not that of its sql", file.id)));
        }
    }
    Ok(())
}

/// The files from the first to the last.
fn chain<'f>(
    files: &'f [MigrationFile],
    applied: &[AppliedMigration],
) -> Result<Vec<&'f MigrationFile>, BadFiles> {
    let is_file = |id: &str| files.iter().any(|file| file.id == id);
    let is_base = |id: &str| applied.iter().any(|migration| migration.id == id && !is_file(id));
    // What begins behind the baseline, or behind nothing, are the first.
    let parent = |file: &MigrationFile| file.parent.clone().filter(|parent| !is_base(parent));
    if let Some(lost) = files.iter().find(|file| parent(file).is_some_and(|parent| !is_file(&parent))) {
        return Err(BadFiles::Conflict(format!(
            "migration {} follows {}, which is not among your files",
            lost.id,
            lost.parent.as_deref().unwrap_or_default()
        )));
    }
    let mut chain: Vec<&MigrationFile> = Vec::new();
    loop {
        let last = chain.last().map(|file| file.id.clone());
        let mut children = files.iter().filter(|file| parent(file) == last);
        match (children.next(), children.next()) {
            (None, _) => break,
            (Some(next), None) => chain.push(next),
            (Some(one), Some(other)) => {
                return Err(BadFiles::Conflict(format!(
                    "migrations {} and {} both follow {}: run `ferry migrations merge`",
                    one.id,
                    other.id,
                    last.as_deref().unwrap_or("nothing")
                )));
            }
        }
        if chain.len() > files.len() {
            break;
        }
    }
    if chain.len() == files.len() {
        Ok(chain)
    } else {
        Err(BadFiles::Conflict("migrations: files follow each other in a circle".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: &str, parent: Option<&str>) -> MigrationFile {
        MigrationFile {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            name: id.to_owned(),
            sha256: sha256_hex(id),
            sql: id.to_owned(),
        }
    }

    fn applied(file: &MigrationFile, kind: MigrationKind) -> AppliedMigration {
        let MigrationFile { id, parent, name, sha256, .. } = file.clone();
        AppliedMigration { id, parent, name, sha256, kind }
    }

    fn told(files: &[MigrationFile], applied: &[AppliedMigration]) -> String {
        match pending(files, applied) {
            Ok(files) => files.iter().map(|file| &*file.id).collect::<Vec<_>>().join(" "),
            Err(BadFiles::Invalid(message)) => format!("invalid {message}"),
            Err(BadFiles::Conflict(message)) => format!("conflict {message}"),
        }
    }

    // Verifies: FUN-60, FUN-68
    #[test]
    fn files_are_one_chain_that_goes_on_where_the_database_stands() {
        let (a, b, c) = (file("a", None), file("b", Some("a")), file("c", Some("b")));
        let all = [c.clone(), a.clone(), b.clone()];
        assert_eq!(told(&all, &[]), "a b c");
        assert_eq!(told(&all, &[applied(&a, MigrationKind::File)]), "b c");
        assert_eq!(told(&[], &[applied(&a, MigrationKind::File)]), "");
        let fork = [a.clone(), b.clone(), file("x", Some("a"))];
        assert!(told(&fork, &[]).contains("b and x both follow a: run `ferry migrations merge`"));
        let missing = [a.clone()];
        let both = [applied(&a, MigrationKind::File), applied(&b, MigrationKind::File)];
        assert!(told(&missing, &both).contains("migration b is applied here"));
        assert!(told(&all, &[applied(&c, MigrationKind::File)]).contains("a comes before c"));
        let edited = AppliedMigration { sha256: "0".into(), ..applied(&a, MigrationKind::File) };
        assert!(told(&all, &[edited]).contains("with another content"));
        let forged = MigrationFile { sql: "other".into(), ..a.clone() };
        assert!(told(&[forged], &[]).starts_with("invalid"));
        let baseline = AppliedMigration { id: "baseline".into(), ..applied(&a, MigrationKind::Baseline) };
        assert_eq!(told(&[file("b", Some("baseline"))], &[baseline]), "b");
        assert!(told(&[b, c], &[]).contains("follows a"));
        assert!(told(&[file("a", Some("b")), file("b", Some("a"))], &[]).contains("circle"));
    }
}
