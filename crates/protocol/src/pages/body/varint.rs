//! Unsigned LEB128 of at most 64 bits, and zigzag.

use super::error::BodyViolation;

/// Bytes of the longest varint.
const MAX_BYTES: usize = 10;

pub(super) fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    into.push(low_bits(value));
}

pub(super) fn put_zigzag(into: &mut Vec<u8>, value: i64) {
    put(into, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn low_bits(value: u64) -> u8 {
    u8::try_from(value & 0x7f).expect("BUG: seven bits fit into a byte")
}

/// Why a read did not give a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The input must have at least this many bytes first.
    Short(usize),
    /// This is wrong, at this place of the input.
    Fault(usize, BodyViolation),
}

/// Reads fields from the front of bytes of which more may come.
#[derive(Clone, Debug)]
pub(super) struct FieldReader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> FieldReader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], Stop> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Short(end))?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("BUG: N bytes were taken"))
    }

    /// One number has one spelling: needless zero groups are refused.
    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        let from = self.at;
        let mut value = 0_u64;
        for n in 0..MAX_BYTES {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            let is_last = byte & 0x80 == 0;
            if (n == MAX_BYTES - 1 && byte > 1) || (is_last && n > 0 && bits == 0) {
                break;
            }
            value |= bits << (7 * n);
            if is_last {
                return Ok(value);
            }
        }
        Err(Stop::Fault(from, BodyViolation::Varint))
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, Stop> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_their_bytes(unsigned: u64, signed: i64, small in 0..300_u64) {
            let mut bytes = Vec::new();
            put(&mut bytes, unsigned);
            put(&mut bytes, small);
            put_zigzag(&mut bytes, signed);
            let mut reader = FieldReader::new(&bytes);
            prop_assert_eq!(reader.varint().unwrap(), unsigned);
            prop_assert_eq!(reader.varint().unwrap(), small);
            prop_assert_eq!(reader.zigzag().unwrap(), signed);
            prop_assert!(reader.is_at_end());
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        let fault = Err(Stop::Fault(0, BodyViolation::Varint));
        assert_eq!(FieldReader::new(&[0x81, 0x00]).varint(), fault);
        assert_eq!(FieldReader::new(&[0xff; 11]).varint(), fault);
        let mut over = [0xff; 10];
        over[9] = 2;
        assert_eq!(FieldReader::new(&over).varint(), fault);
        over[9] = 1;
        assert_eq!(FieldReader::new(&over).varint(), Ok(u64::MAX));
        assert_eq!(FieldReader::new(&[0x80]).varint(), Err(Stop::Short(2)));
    }
}
