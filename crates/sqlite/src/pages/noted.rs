//! The hashes that a running push announced for pages that differ: 32 bytes per page in a file without a name,
//! so that a session's memory does not grow with the database.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use ferry_types::{Leaf, PageNo};

use crate::Result;

const LEAF_BYTES: usize = 32;
/// What is gathered before it is written, and what is read at once.
const WINDOW_BYTES: usize = 64 << 10;

/// Hashes by page number.
pub struct NotedHashes {
    file: File,
    /// Not yet written: a run that begins at this offset.
    pending: (u64, Vec<u8>),
    /// Last read: a run that begins at this offset.
    window: (u64, Vec<u8>),
}

impl NotedHashes {
    /// An empty list in `dir`; it is gone when dropped, or when the process dies.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(dir: &Path) -> Result<Self> {
        let file = super::scratch::unnamed_file(dir)?;
        Ok(Self { file, pending: (0, Vec::new()), window: (0, Vec::new()) })
    }

    /// Sets the hash of a page.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set(&mut self, page: PageNo, hash: &Leaf) -> Result<()> {
        let at = offset(page);
        let follows = self.pending.0 + self.pending.1.len() as u64 == at;
        if !follows || self.pending.1.len() >= WINDOW_BYTES {
            self.flush()?;
            self.pending.0 = at;
        }
        self.pending.1.extend_from_slice(&hash.0);
        Ok(())
    }

    /// The hash that was set for the page.
    ///
    /// # Errors
    /// When it cannot be read, or none was set.
    pub fn get(&mut self, page: PageNo) -> Result<Leaf> {
        let at = offset(page);
        if let Some(leaf) = find(&self.pending, at) {
            return Ok(leaf);
        }
        if let Some(leaf) = find(&self.window, at) {
            return Ok(leaf);
        }
        self.window.0 = at;
        self.window.1.resize(WINDOW_BYTES, 0);
        let read = read_up_to(&self.file, &mut self.window.1, at)?;
        self.window.1.truncate(read);
        find(&self.window, at).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no hash noted for page {page}")).into()
        })
    }

    fn flush(&mut self) -> Result<()> {
        let (at, bytes) = &mut self.pending;
        if !bytes.is_empty() {
            self.file.write_all_at(bytes, *at)?;
            bytes.clear();
            self.window.1.clear();
        }
        Ok(())
    }
}

fn offset(page: PageNo) -> u64 {
    page.index() as u64 * LEAF_BYTES as u64
}

fn find((start, bytes): &(u64, Vec<u8>), at: u64) -> Option<Leaf> {
    let from = usize::try_from(at.checked_sub(*start)?).ok()?;
    let leaf = bytes.get(from..from.checked_add(LEAF_BYTES)?)?;
    Some(Leaf(leaf.try_into().ok()?))
}

fn read_up_to(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_back_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut noted = NotedHashes::create(dir.path()).unwrap();
        let leaf = |n: u32| {
            let mut bytes = [7; 32];
            bytes[..4].copy_from_slice(&n.to_le_bytes());
            Leaf(bytes)
        };
        let page = |n: u32| PageNo::new(n).unwrap();
        for n in (1..6000).chain(20_000..20_010).chain(6000..7000) {
            noted.set(page(n), &leaf(n)).unwrap();
            if n % 97 == 0 {
                assert_eq!(noted.get(page(n / 2 + 1)).unwrap(), leaf(n / 2 + 1));
            }
        }
        for n in [1, 6999, 20_009, 2500, 20_000, 6000] {
            assert_eq!(noted.get(page(n)).unwrap(), leaf(n), "{n}");
        }
        assert!(noted.get(page(30_000)).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }
}
