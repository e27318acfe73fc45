//! Chunks stand in packs in the order in which they are read, so whoever reads one behind the other is given more than was
//! asked for: each exchange costs as long as the way is, whatever it brings.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::{Error, Result};

/// Most bytes that are read at once.
const MOST_BYTES: usize = 8 << 20;
/// How often more is read behind the other.
const GROWTH: usize = 4;

/// What was read last.
#[derive(Default)]
pub(super) struct ReadAhead(Mutex<Option<Window>>);

struct Window {
    path: String,
    offset: u64,
    bytes: Bytes,
}

impl ReadAhead {
    /// Bytes of an object; `fetch` reads them, and fewer where the object ends.
    pub(super) fn read(
        &self,
        path: &str,
        offset: u64,
        length: usize,
        fetch: impl FnOnce(u64, usize) -> Result<Bytes>,
    ) -> Result<Vec<u8>> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ahead = length;
        if let Some(last) = window.as_ref().filter(|last| last.path == path && offset >= last.offset) {
            let start = usize::try_from(offset - last.offset).unwrap_or(usize::MAX);
            if let Some(bytes) = start.checked_add(length).and_then(|end| last.bytes.get(start..end)) {
                return Ok(bytes.to_vec());
            }
            // What begins in what was read, or right behind it, goes on.
            if start <= last.bytes.len() {
                ahead = last.bytes.len().saturating_mul(GROWTH).clamp(length, MOST_BYTES.max(length));
            }
        }
        let bytes = fetch(offset, ahead)?;
        let Some(wanted) = bytes.get(..length).map(<[u8]>::to_vec) else {
            return Err(Error::damaged(path, "it is cut off"));
        };
        *window = Some(Window { path: path.to_owned(), offset, bytes });
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_is_read_one_behind_the_other_takes_few_exchanges() {
        let object: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let fetched = RefCell::new(Vec::new());
        let fetch = |offset: u64, length: usize| {
            fetched.borrow_mut().push((offset, length));
            let start = usize::try_from(offset).unwrap().min(object.len());
            Ok(Bytes::copy_from_slice(&object[start..(start + length).min(object.len())]))
        };
        let ahead = ReadAhead::default();
        for start in (0..100_000).step_by(1000) {
            let read = ahead.read("p", start as u64, 1000, fetch).unwrap();
            assert_eq!(read, object[start..start + 1000], "{start}");
        }
        let sizes: Vec<_> = fetched.borrow().clone();
        assert_eq!(sizes, [(0, 1000), (1000, 4000), (5000, 16_000), (21_000, 64_000), (85_000, 256_000)]);
        fetched.borrow_mut().clear();
        // Here and there, and another object: no more than what is asked for.
        for (path, start) in [("p", 50_000), ("p", 10_000), ("q", 11_000), ("q", 40_000)] {
            assert_eq!(ahead.read(path, start as u64, 10, fetch).unwrap(), object[start..start + 10]);
        }
        assert!(fetched.borrow().iter().all(|(_, length)| *length == 10), "{fetched:?}");
        let cut = ahead.read("p", 99_995, 10, fetch).unwrap_err();
        assert!(matches!(cut, Error::Damaged { .. }), "{cut}");
    }
}
