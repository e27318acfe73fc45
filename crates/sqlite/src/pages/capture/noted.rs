//! What the index notes of main.db at each version of a hub database, and what that says of the files found later (PAG-47).

use std::path::Path;

use rusqlite::Connection;

use super::wal::{Salts, Wal, WalPosition};
use crate::{
    Result,
    pages::{identity, index},
};

const KEY: &str = "captured";

/// How main.db was at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotedFile {
    /// Device, inode, size and times of the file.
    file: String,
    /// `None`: the WAL was empty.
    position: Option<WalPosition>,
    /// Whether all of the WAL had been moved into the file, so that it may have been started over since.
    is_moved: bool,
}

/// What of the WAL has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Nothing: there is no WAL, and nothing is missing.
    Nothing,
    /// The frames after so many.
    FramesAfter(u64),
    /// Everything: nobody knows what happened to the file.
    All,
}

impl NotedFile {
    /// main.db as it is now; its WAL is known up to `position`.
    pub(super) fn now(main: &Path, position: Option<WalPosition>, is_moved: bool) -> Result<Self> {
        let file = identity::file(main)?.unwrap_or_default();
        Ok(Self { file, position, is_moved: is_moved || position.is_none() })
    }

    pub(super) fn write(&self, index: &Connection) -> Result<()> {
        let Self { file, position, is_moved } = self;
        let wal = position.map_or_else(
            || "- 0".to_owned(),
            |WalPosition { salts, frames }| format!("{:016x} {frames}", u64::from_be_bytes(salts)),
        );
        index::set_meta(index, KEY, &format!("{file} / {wal} {}", u8::from(*is_moved)))
    }

    pub(super) fn read(index: &Connection) -> Result<Option<Self>> {
        Ok(index::meta(index, KEY)?.as_deref().and_then(parse))
    }

    /// What may have happened since to `main`.
    pub(super) fn unknown_of(&self, main: &Path, wal: Option<&Wal>) -> Result<Unknown> {
        if identity::file(main)?.unwrap_or_default() != self.file {
            return Ok(Unknown::All);
        }
        Ok(match (wal.map(Wal::salts), self.position) {
            (Some(found), Some(WalPosition { salts, frames })) if found == salts => {
                Unknown::FramesAfter(frames)
            }
            (Some(_), _) if self.is_moved => Unknown::FramesAfter(0),
            (None, _) if self.is_moved => Unknown::Nothing,
            _ => Unknown::All,
        })
    }
}

fn parse(text: &str) -> Option<NotedFile> {
    let (file, wal) = text.split_once(" / ")?;
    let mut words = wal.split(' ');
    let (salts, frames, is_moved) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let position = match salts {
        "-" => None,
        hex => {
            let salts: Salts = u64::from_str_radix(hex, 16).ok()?.to_be_bytes();
            Some(WalPosition { salts, frames })
        }
    };
    Some(NotedFile { file: file.to_owned(), position, is_moved: is_moved == "1" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back() {
        for position in [None, Some(WalPosition { salts: [0, 1, 2, 3, 4, 5, 6, 255], frames: 77 })] {
            for is_moved in [true, false] {
                let noted = NotedFile { file: "1:2 3 4.5 6.7".into(), position, is_moved };
                let index = Connection::open_in_memory().unwrap();
                index.execute_batch("CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY)").unwrap();
                noted.write(&index).unwrap();
                assert_eq!(NotedFile::read(&index).unwrap(), Some(noted));
            }
        }
    }
}
