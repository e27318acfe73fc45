//! What is said where file and hub each hold something that the other lacks: both ways out at once, what each loses, and
//! where that is kept (PAG-63, PAG-65).

use std::path::Path;

use ferry_types::DatabaseKind;

use super::{Target, http::Current, shown};
use crate::{ClientError, pages::file::Synced};

/// Versions are counted; where a hub knows nothing of earlier ones, as behind a backup, it begins with the time in milliseconds.
const BEGUN_ANEW: u64 = 1_000_000;

/// A file and what the hub has instead.
pub(super) struct ConflictAdvice<'a> {
    pub(super) target: &'a Target,
    pub(super) file: &'a Path,
    /// The tag of what the hub has now.
    pub(super) theirs: String,
}

impl ConflictAdvice<'_> {
    /// The hub has moved on from what the file was last synced with.
    pub(super) fn moved_on(
        &self,
        reason: &str,
        base: &Synced,
        untouched: bool,
        current: Current,
    ) -> ClientError {
        let (name, file, theirs) = (&self.target.name, self.file.display(), &self.theirs);
        let went_back = base.tag().is_some_and(|tag| {
            tag.version >= current.tag.version && tag != current.tag
                || current.tag.version.saturating_sub(tag.version) > BEGUN_ANEW
        });
        let base = shown(base);
        let word = word(self.file);
        let message = if self.target.kind == Some(DatabaseKind::Hub) {
            format!(
                "{name} is at {theirs}, and {file} was changed since {base}. {name} is written at the hub and takes no push. To \
                 have the hub's: ferry pull {word} --force ({})",
                self.saved()
            )
        } else if went_back {
            format!(
                "{name} was put back, perhaps from a backup: it is at {theirs}, and no longer has {base}, which {file} was \
                 synced with. To have the hub's: ferry pull {word} --force ({}). To bring the hub back to yours: ferry push \
                 {word} --force ({})",
                self.saved(),
                self.replaced()
            )
        } else if untouched {
            format!(
                "{name} has moved on to {theirs}; {file} is still {base}. To have the hub's: ferry pull {word} (nothing is \
                 lost). To put the hub back to yours: ferry push {word} --force ({})",
                self.replaced()
            )
        } else {
            format!(
                "{name} has moved on to {theirs}, and {file} was changed since {base}. To have the hub's: ferry pull {word} \
                 --force ({}). To have yours: ferry push {word} --force ({})",
                self.saved(),
                self.replaced()
            )
        };
        ClientError::conflict(reason, message)
    }

    /// Nobody knows how the file came from what the hub has.
    pub(super) fn unrelated(&self, reason: &str) -> ClientError {
        let (name, file, theirs, word) =
            (&self.target.name, self.file.display(), &self.theirs, word(self.file));
        ClientError::conflict(
            reason,
            format!(
                "{name} holds {theirs}, and {file} is not known to stem from it. To have the hub's: ferry pull {name} {word} \
                 --force ({}), or ferry clone {name} OTHER-FILE, which leaves {file} alone. To have yours: ferry push {word} \
                 {name} --force ({})",
                self.saved(),
                self.replaced()
            ),
        )
    }

    /// The hub is where it was, and the file is not: a pull would lose the difference, a push loses nothing.
    pub(super) fn unpushed(&self, base: &Synced) -> ClientError {
        let (name, file, word) = (&self.target.name, self.file.display(), word(self.file));
        if self.target.kind == Some(DatabaseKind::Hub) {
            let message = format!(
                "{file} was changed since {}. {name} is written at the hub and takes no push. To drop the changes: ferry pull \
                 {word} --force ({})",
                shown(base),
                self.saved()
            );
            return ClientError::conflict("UNSYNCED_CHANGES", message);
        }
        ClientError::conflict(
            "UNSYNCED_CHANGES",
            format!(
                "{file} was changed since {}, and {name} was not. To keep the changes: ferry push {word} (nothing is lost). \
                 To drop them: ferry pull {word} --force ({})",
                shown(base),
                self.saved()
            ),
        )
    }

    /// The hub has nothing: neither a pull, forced or not, nor a clone would get anything.
    pub(super) fn nothing_there(&self) -> ClientError {
        let (name, file) = (&self.target.name, self.file.display());
        let message = format!(
            "{name} is empty: nothing was pushed to it yet, and {file} is left as it is. To fill {name} with it: ferry push \
             {} {name}",
            word(self.file)
        );
        ClientError::conflict("DATABASE_EMPTY", message)
    }

    /// What becomes of the file when the hub's image takes its place.
    fn saved(&self) -> String {
        format!("what is only in the file is kept beside it, as {}.ferry-TIME.bak", self.file.display())
    }

    /// What becomes of the hub's image when the file takes its place.
    fn replaced(&self) -> String {
        format!(
            "what is only on the hub is replaced there, for every device; to keep it, first: ferry clone {} OTHER-FILE",
            self.target.name
        )
    }
}

/// The path as a word of a command line.
fn word(file: &Path) -> String {
    let shown = file.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-/+:@%,=".contains(letter);
    if shown.chars().all(is_plain) { shown } else { format!("'{}'", shown.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_as_one_word() {
        for (path, expected) in [
            ("notes.db", "notes.db"),
            ("/tmp/a b.db", "'/tmp/a b.db'"),
            ("it's.db", r"'it'\''s.db'"),
            ("$(x).db", "'$(x).db'"),
        ] {
            assert_eq!(word(Path::new(path)), expected);
        }
    }
}
