//! The elements of the array `ops` in a body `{"ops":[…]}` that comes in pieces (section 2.1), in memory of one element.
//! Other keys are skipped wherever they stand. Each byte is judged as it comes (RFC 8259), so that what follows a mistake
//! is never read as something else.

use super::{tokens::decode, utf8::Utf8Pieces};

/// Longest spelling of a key that is remembered: `ops` with all its letters escaped.
const KEY_MAX_BYTES: usize = 20;

/// Why a body has no such array, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArray {
    /// The byte at this place cannot stand there.
    #[error("the body is not JSON: unexpected byte at {0}")]
    NotJson(u64),
    /// It ends within a value.
    #[error("the body is cut off: it ends before its JSON does")]
    Truncated,
    /// An object without the array.
    #[error("the body must be {{\"ops\":[…]}}: it has no array ops")]
    NoArray,
    /// Two arrays, of which neither is meant more than the other.
    #[error("the body has the key ops twice")]
    Repeated,
    /// An element above the limit.
    #[error("an op is longer than {0} bytes: leave it out, or split what it says")]
    TooLong(usize),
    /// A text in an element is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Value,
    FirstItem,
    FirstKey,
    Key,
    Colon,
    AfterValue,
    Text { is_key: bool, within: Within },
    Number(Digits),
    Word { rest: &'static [u8] },
    End,
}

/// Where in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Plain,
    Escape,
    Hex(u8),
}

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Digits {
    /// What `byte` makes of it; `None`: it belongs to no number that began so.
    const fn and(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Exponent, b'+' | b'-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    const fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// Open containers, a bit each: set for objects.
#[derive(Debug, Default)]
struct Nesting {
    bits: Vec<u64>,
    depth: usize,
}

impl Nesting {
    fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
    }

    fn is_object(&self) -> bool {
        let at = self.depth - 1;
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

/// The machine that takes the pieces of one body.
#[derive(Debug)]
pub struct ArrayScanner {
    element_max_bytes: usize,
    next: Next,
    nesting: Nesting,
    /// Bytes before the piece at hand.
    offset: u64,
    /// The key of the body at hand, quotes included, as far as it may be `ops`.
    key: Vec<u8>,
    /// Whether the value at hand, or what lies within it, is that of `ops`.
    in_ops: bool,
    has_ops: bool,
    /// Texts outside of elements, which are judged whole.
    skipped: Utf8Pieces,
    /// The element at hand, as far as earlier pieces had it; `None`: between elements.
    element: Option<Vec<u8>>,
    /// How long the last element was.
    usual_bytes: usize,
}

impl ArrayScanner {
    /// A machine at the beginning of a body, whose elements may have so many bytes.
    #[must_use]
    pub fn new(element_max_bytes: usize) -> Self {
        Self {
            element_max_bytes,
            next: Next::Value,
            nesting: Nesting::default(),
            offset: 0,
            key: Vec::new(),
            in_ops: false,
            has_ops: false,
            skipped: Utf8Pieces::default(),
            element: None,
            usual_bytes: 0,
        }
    }

    /// Takes the next piece of the body; gives the elements that it ends, byte for byte.
    ///
    /// # Errors
    /// What is wrong with the body. Elements that this piece ends before the mistake are lost; the machine is of no more
    /// use.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Vec<String>, BadArray> {
        let mut elements = Vec::new();
        // Where the element at hand goes on in this piece.
        let mut start = 0;
        let mut at = 0;
        while at < piece.len() {
            let was_outside = self.element.is_none();
            at = self.step(piece, at)?;
            if was_outside && self.element.is_some() {
                start = at - 1;
            }
            // A number ends before the byte that shows it.
            if self.element.is_some() && self.next == Next::AfterValue && self.nesting.depth == 2 {
                let element = self.grown(&piece[start..at])?;
                self.usual_bytes = element.len();
                elements.push(String::from_utf8(element).map_err(|_| BadArray::NotUtf8)?);
            }
        }
        if self.element.is_some() {
            self.element = Some(self.grown(&piece[start..])?);
        }
        self.offset += piece.len() as u64;
        Ok(elements)
    }

    /// The element at hand with these bytes.
    fn grown(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BadArray> {
        let mut element = self.element.take().unwrap_or_default();
        let len = element.len() + bytes.len();
        if len > self.element_max_bytes {
            return Err(BadArray::TooLong(self.element_max_bytes));
        }
        if len > element.capacity() {
            // Doubling, but never beyond what it may come to.
            let most = (element.capacity() * 2).max(len).min(self.element_max_bytes);
            element.reserve_exact(most - element.len());
        }
        element.extend_from_slice(bytes);
        Ok(element)
    }

    /// Bytes of the element at hand.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.element.as_ref().map_or(0, Vec::len)
    }

    /// The body is over.
    ///
    /// # Errors
    /// When it ends too early, or had no array.
    pub fn finish(self) -> Result<(), BadArray> {
        match self.next {
            Next::End if self.has_ops => Ok(()),
            Next::End => Err(BadArray::NoArray),
            _ => Err(BadArray::Truncated),
        }
    }

    /// Takes the byte at `at`, or the run of plain ones in a string; returns where to go on.
    fn step(&mut self, piece: &[u8], at: usize) -> Result<usize, BadArray> {
        let byte = piece[at];
        match self.next {
            Next::Text { is_key, within } => return self.text(piece, at, is_key, within),
            Next::Number(digits) => {
                if let Some(digits) = digits.and(byte) {
                    self.next = Next::Number(digits);
                    return Ok(at + 1);
                }
                if !digits.is_whole() {
                    return Err(self.mistake(at));
                }
                self.ended();
                return Ok(at);
            }
            Next::Word { rest } => {
                if rest[0] != byte {
                    return Err(self.mistake(at));
                }
                if rest.len() == 1 {
                    self.ended();
                } else {
                    self.next = Next::Word { rest: &rest[1..] };
                }
                return Ok(at + 1);
            }
            _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => return Ok(at + 1),
            Next::Value => self.value(byte, at)?,
            Next::FirstItem if byte == b']' => self.closed(),
            Next::FirstItem => self.value(byte, at)?,
            Next::FirstKey if byte == b'}' => self.closed(),
            Next::FirstKey | Next::Key if byte == b'"' => {
                self.key.clear();
                self.next = Next::Text { is_key: true, within: Within::Plain };
            }
            Next::Colon if byte == b':' => self.next = Next::Value,
            Next::AfterValue => match (byte, self.nesting.is_object()) {
                (b',', true) => self.next = Next::Key,
                (b',', false) => self.next = Next::Value,
                (b'}', true) | (b']', false) => self.closed(),
                _ => return Err(self.mistake(at)),
            },
            Next::FirstKey | Next::Key | Next::Colon | Next::End => return Err(self.mistake(at)),
        }
        Ok(at + 1)
    }

    fn value(&mut self, byte: u8, at: usize) -> Result<(), BadArray> {
        if self.nesting.depth == 0 && byte != b'{' {
            return Err(if b"[\"-0123456789tfn".contains(&byte) {
                BadArray::NoArray
            } else {
                self.mistake(at)
            });
        }
        if self.nesting.depth == 1 && self.in_ops && byte != b'[' {
            return Err(BadArray::NoArray);
        }
        let is_element = self.nesting.depth == 2 && self.in_ops;
        self.next = match byte {
            b'{' | b'[' => {
                // As deep as the longest element could be.
                if self.nesting.depth > self.element_max_bytes {
                    return Err(BadArray::TooLong(self.element_max_bytes));
                }
                self.nesting.push(byte == b'{');
                if byte == b'{' { Next::FirstKey } else { Next::FirstItem }
            }
            b'"' => Next::Text { is_key: false, within: Within::Plain },
            b'-' => Next::Number(Digits::Minus),
            b'0' => Next::Number(Digits::Zero),
            b'1'..=b'9' => Next::Number(Digits::Whole),
            b't' => Next::Word { rest: b"rue" },
            b'f' => Next::Word { rest: b"alse" },
            b'n' => Next::Word { rest: b"ull" },
            _ => return Err(self.mistake(at)),
        };
        if is_element {
            self.element = Some(Vec::with_capacity(self.usual_bytes));
        }
        Ok(())
    }

    fn text(&mut self, piece: &[u8], at: usize, is_key: bool, within: Within) -> Result<usize, BadArray> {
        let is_own_key = is_key && self.nesting.depth == 1;
        let rest = &piece[at..];
        let plain = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let (within, taken) = match within {
            Within::Plain => match rest.iter().position(plain) {
                None => (Some(Within::Plain), rest.len()),
                Some(run) => match rest[run] {
                    b'"' => (None, run + 1),
                    b'\\' => (Some(Within::Escape), run + 1),
                    _ => return Err(self.mistake(at + run)),
                },
            },
            Within::Escape => match rest[0] {
                b'u' => (Some(Within::Hex(4)), 1),
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => (Some(Within::Plain), 1),
                _ => return Err(self.mistake(at)),
            },
            Within::Hex(left) if rest[0].is_ascii_hexdigit() => {
                (Some(if left == 1 { Within::Plain } else { Within::Hex(left - 1) }), 1)
            }
            Within::Hex(_) => return Err(self.mistake(at)),
        };
        if self.element.is_none() && !self.skipped.take(&rest[..taken]) {
            return Err(BadArray::NotUtf8);
        }
        if is_own_key && self.key.len() <= KEY_MAX_BYTES {
            self.key.extend(rest[..taken].iter().take(KEY_MAX_BYTES + 1));
        }
        match within {
            Some(within) => self.next = Next::Text { is_key, within },
            None if is_key => {
                self.next = Next::Colon;
                if is_own_key {
                    self.own_key()?;
                }
            }
            None => self.ended(),
        }
        Ok(at + taken)
    }

    /// A key of the body was read, without its first quote.
    fn own_key(&mut self) -> Result<(), BadArray> {
        let quoted = [b"\"".as_slice(), &self.key].concat();
        self.in_ops = self.key.len() <= KEY_MAX_BYTES
            && std::str::from_utf8(&quoted).is_ok_and(|quoted| decode(quoted).as_ref() == b"ops");
        if self.in_ops && self.has_ops {
            return Err(BadArray::Repeated);
        }
        self.has_ops |= self.in_ops;
        Ok(())
    }

    fn closed(&mut self) {
        self.nesting.depth -= 1;
        self.ended();
    }

    fn ended(&mut self) {
        self.next = if self.nesting.depth == 0 { Next::End } else { Next::AfterValue };
    }

    fn mistake(&self, at: usize) -> BadArray {
        BadArray::NotJson(self.offset + at as u64)
    }
}
