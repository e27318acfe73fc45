//! The notes of `recorder.c`, one by one.

use std::path::PathBuf;

/// What the process did. Inodes are the kernel's numbers, which come back once a file is gone.
#[derive(Debug)]
pub(super) enum Note {
    Create { inode: u64, path: PathBuf },
    Write { inode: u64, at: usize, data: Vec<u8> },
    Truncate { inode: u64, length: usize },
    Sync { inode: u64 },
    SyncFolder { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    Link { from: PathBuf, to: PathBuf },
    MakeFolder { path: PathBuf },
    RemoveFolder { path: PathBuf },
}

/// The whole notes in `bytes`. The last one is left out if the process died while it wrote it.
pub(super) fn read(bytes: &[u8]) -> impl Iterator<Item = Note> {
    let mut rest = bytes;
    std::iter::from_fn(move || note(&mut rest))
}

fn note(rest: &mut &[u8]) -> Option<Note> {
    let kind = take(rest, 1)?[0];
    Some(match kind {
        1 => Note::Create { inode: number(rest)?, path: path(rest)? },
        2 => {
            let (inode, at) = (number(rest)?, size(rest)?);
            let length = size(rest)?;
            Note::Write { inode, at, data: take(rest, length)?.to_vec() }
        }
        3 => Note::Truncate { inode: number(rest)?, length: size(rest)? },
        4 => {
            let inode = number(rest)?;
            number(rest)?;
            Note::Sync { inode }
        }
        5 => Note::SyncFolder { path: path(rest)? },
        6 => Note::Rename { from: path(rest)?, to: path(rest)? },
        7 => Note::Unlink { path: path(rest)? },
        8 => Note::Link { from: path(rest)?, to: path(rest)? },
        9 => Note::MakeFolder { path: path(rest)? },
        10 => Note::RemoveFolder { path: path(rest)? },
        other => panic!("the recorder wrote a note of kind {other}"),
    })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(rest, 8)?.try_into().expect("BUG: eight bytes were taken")))
}

fn size(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(number(rest)?).ok()
}

fn path(rest: &mut &[u8]) -> Option<PathBuf> {
    let length = size(rest)?;
    let text = std::str::from_utf8(take(rest, length)?).expect("the hub's file names are text");
    // `a/./b` and `a//b` are `a/b`.
    Some(PathBuf::from(text).components().collect())
}
