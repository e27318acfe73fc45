//! Compression of the frames in bodies.

use ferry_protocol::pages::body::BodyViolation;

/// Window that a decoder must offer; a frame that wants more is refused.
const WINDOW_MAX_BYTES: u64 = 8 << 20;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// zstd (RFC 8878) with a raw prefix. A trait, since its library is written in C, and engines also run as WebAssembly.
pub trait Codec {
    /// One frame that holds `data`, level 3, without a dictionary id. It may refer to `prefix`.
    ///
    /// # Errors
    /// When the library refuses, for want of memory.
    fn compress(&mut self, data: &[u8], prefix: &[u8]) -> Result<Vec<u8>, CodecError>;

    /// What a frame holds, at most `max_bytes`.
    ///
    /// # Errors
    /// When it is damaged or holds more.
    fn decompress(&mut self, frame: &[u8], prefix: &[u8], max_bytes: usize) -> Result<Vec<u8>, CodecError>;
}

/// What a compression library said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zstd: {0}")]
pub struct CodecError(pub String);

/// Decompresses one frame of a body.
pub(super) fn decompress(
    codec: &mut impl Codec,
    frame: &[u8],
    prefix: &[u8],
    max_bytes: usize,
) -> Result<Vec<u8>, BodyViolation> {
    check(frame).map_err(BodyViolation::Frame)?;
    let content = codec.decompress(frame, prefix, max_bytes);
    content.map_err(|_| BodyViolation::Frame("is damaged, or holds more than it may"))
}

/// Whether the bytes are one zstd frame and nothing else, of a window that every decoder has and without a dictionary. The
/// content of its blocks is the library's to judge.
fn check(frame: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "is cut off";
    let rest = frame.strip_prefix(&MAGIC).ok_or("is not of zstd")?;
    let (&descriptor, mut rest) = rest.split_first().ok_or(CUT)?;
    if descriptor & 3 != 0 {
        return Err("names a dictionary");
    }
    if descriptor & 8 != 0 {
        return Err("has a reserved bit set");
    }
    let is_single_segment = descriptor & 0x20 != 0;
    let mut window = 0;
    if !is_single_segment {
        let (&byte, after) = rest.split_first().ok_or(CUT)?;
        let base = 1_u64 << (10 + (byte >> 3));
        window = base + base / 8 * u64::from(byte & 7);
        rest = after;
    }
    let size_bytes = match (descriptor >> 6, is_single_segment) {
        (0, false) => 0,
        (0, true) => 1,
        (flag, _) => 1_usize << flag,
    };
    let (size, mut rest) = rest.split_at_checked(size_bytes).ok_or(CUT)?;
    if is_single_segment {
        let mut bytes = [0; 8];
        bytes[..size_bytes].copy_from_slice(size);
        window = u64::from_le_bytes(bytes) + if size_bytes == 2 { 256 } else { 0 };
    }
    if window > WINDOW_MAX_BYTES {
        return Err("needs a larger window than 8 MiB");
    }
    loop {
        let (head, after) = rest.split_at_checked(3).ok_or(CUT)?;
        let head = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let bytes = match (head >> 1) & 3 {
            1 => 1,
            3 => return Err("has a block of a reserved type"),
            _ => head >> 3,
        };
        rest = after.get(bytes as usize..).ok_or(CUT)?;
        if head & 1 == 1 {
            break;
        }
    }
    let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
    if rest.len() == checksum { Ok(()) } else { Err("has another length than its blocks") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_frame_passes() {
        // One raw block of one byte; then what breaks a rule.
        let good = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 9, 0, 0, 7];
        assert_eq!(check(&good), Ok(()));
        for length in 0..good.len() {
            assert!(check(&good[..length]).is_err(), "{length}");
        }
        assert!(check(&[&good[..], &good[..]].concat()).is_err(), "two frames");
        for (at, byte) in [(0, 0x50), (4, 0x21), (4, 0x28), (6, 7), (4, 0x24)] {
            let mut bad = good;
            bad[at] = byte;
            assert!(check(&bad).is_err(), "byte {at} = {byte}");
        }
        let windowed = |byte| [0x28, 0xb5, 0x2f, 0xfd, 0, byte, 9, 0, 0, 7];
        assert_eq!(check(&windowed(13 << 3)), Ok(()), "8 MiB");
        assert_eq!(check(&windowed((13 << 3) + 1)), Err("needs a larger window than 8 MiB"));
    }
}
