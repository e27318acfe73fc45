//! Text that comes in pieces, which may cut a character in two.

/// Longest character in UTF-8, in bytes.
const CHARACTER_MAX_BYTES: usize = 4;

/// What is left of a character that the last piece did not end.
#[derive(Debug, Default)]
pub(super) struct Utf8Pieces {
    cut: Vec<u8>,
}

impl Utf8Pieces {
    /// Whether the next piece goes on as UTF-8 may.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> bool {
        while let (false, Some((first, rest))) = (self.cut.is_empty(), piece.split_first()) {
            self.cut.push(*first);
            piece = rest;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_some() || self.cut.len() == CHARACTER_MAX_BYTES => {
                    return false;
                }
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.cut.extend_from_slice(&piece[error.valid_up_to()..]);
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_text(bytes: &[u8], size: usize) -> bool {
        let mut pieces = Utf8Pieces::default();
        bytes.chunks(size).all(|piece| pieces.take(piece)) && pieces.cut.is_empty()
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        for size in 1..8 {
            assert!(is_text("a é 漢 😀\"".as_bytes(), size), "{size}");
            for bad in [&b"a\xff\""[..], b"\xc3\"", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\x80"] {
                assert!(!is_text(bad, size), "{bad:?} {size}");
            }
        }
    }
}
