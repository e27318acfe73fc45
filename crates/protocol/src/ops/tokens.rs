//! JSON text as tokens (RFC 8259), without a tree: where a value ends, and what a string says.

use std::borrow::Cow;

/// Deepest nesting of a value; a scalar has none.
pub const VALUE_DEPTH_MAX: usize = 128;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonFault {
    NotJson,
    TooDeep,
}

/// A reader of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

/// Name, decoded, and value of a member, in order of the text.
pub(super) type JsonMember<'a> = (Cow<'a, [u8]>, &'a str);

impl<'a> Tokens<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes `byte` if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonFault> {
        if self.take(byte) { Ok(()) } else { Err(JsonFault::NotJson) }
    }

    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Nothing may follow but blanks.
    pub(super) fn end(&mut self) -> Result<(), JsonFault> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(JsonFault::NotJson) }
    }

    /// The next value as it stands in the text, which may hold `depth` levels of containers.
    pub(super) fn value(&mut self, depth: usize) -> Result<&'a str, JsonFault> {
        self.blanks();
        let start = self.at;
        self.skip(depth)?;
        Ok(&self.text[start..self.at])
    }

    fn skip(&mut self, depth: usize) -> Result<(), JsonFault> {
        self.blanks();
        match self.peek() {
            Some(b'{') => {
                let depth = depth.checked_sub(1).ok_or(JsonFault::TooDeep)?;
                self.at += 1;
                self.each(b'}', |scan| {
                    scan.string()?;
                    scan.colon()?;
                    scan.skip(depth)
                })
            }
            Some(b'[') => {
                let depth = depth.checked_sub(1).ok_or(JsonFault::TooDeep)?;
                self.at += 1;
                self.each(b']', |scan| scan.skip(depth))
            }
            _ => self.scalar().map(drop),
        }
    }

    /// A string, number or word as it stands.
    pub(super) fn scalar(&mut self) -> Result<&'a str, JsonFault> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let rest = &self.text[self.at..];
                let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
                let word = word.ok_or(JsonFault::NotJson)?;
                self.at += word.len();
                Ok(word)
            }
        }
    }

    /// Reads items by `item` until `close`; the opening bracket was taken.
    pub(super) fn each(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.blanks();
        if self.take(close) {
            return Ok(());
        }
        loop {
            self.blanks();
            item(self)?;
            self.blanks();
            if self.take(close) {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    pub(super) fn colon(&mut self) -> Result<(), JsonFault> {
        self.blanks();
        self.expect(b':')
    }

    /// A string with its quotes.
    pub(super) fn string(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at;
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => match bytes.get(self.at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                    Some(b'u') => {
                        let digits = bytes.get(self.at + 2..self.at + 6).ok_or(JsonFault::NotJson)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return Err(JsonFault::NotJson);
                        }
                        self.at += 6;
                    }
                    _ => return Err(JsonFault::NotJson),
                },
                Some(0x20..) => self.at += 1,
                _ => return Err(JsonFault::NotJson),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at])
    }

    fn number(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(JsonFault::NotJson) }
    }
}

/// The members of the object that `text` is; their values may hold `depth` levels each.
pub(super) fn members(text: &str, depth: usize) -> Result<Vec<JsonMember<'_>>, JsonFault> {
    let mut scan = Tokens::new(text);
    let mut members = Vec::with_capacity(12);
    scan.blanks();
    scan.expect(b'{')?;
    scan.each(b'}', |scan| {
        let name = decode(scan.string()?);
        scan.colon()?;
        members.push((name, scan.value(depth)?));
        Ok(())
    })?;
    scan.end()?;
    Ok(members)
}

/// What the JSON string `quoted` says, as UTF-8; unpaired surrogates as WTF-8 has them (<https://simonsapin.github.io/wtf-8/>).
pub(super) fn decode(quoted: &str) -> Cow<'_, [u8]> {
    let inner = &quoted.as_bytes()[1..quoted.len() - 1];
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let escape = inner.get(at + 1).copied().unwrap_or(b'\\');
        at += 2;
        match escape {
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'u' => {
                let high = unit(inner, at);
                at += 4;
                let low = (inner.get(at..at + 2) == Some(b"\\u")).then(|| unit(inner, at + 2));
                match low {
                    Some(low @ 0xdc00..0xe000) if (0xd800..0xdc00).contains(&high) => {
                        at += 6;
                        push_code_point(&mut out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                    }
                    _ => push_code_point(&mut out, high),
                }
            }
            plain => out.push(plain),
        }
    }
    Cow::Owned(out)
}

fn unit(bytes: &[u8], at: usize) -> u32 {
    let digits = bytes.get(at..at + 4).unwrap_or_default();
    digits.iter().fold(0, |unit, digit| unit << 4 | (*digit as char).to_digit(16).unwrap_or(0))
}

fn push_code_point(out: &mut Vec<u8>, code_point: u32) {
    match char::from_u32(code_point) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend([12_u32, 6, 0].map(|shift| {
            let bits = code_point >> shift & if shift == 12 { 0x0f } else { 0x3f };
            let mark = if shift == 12 { 0xe0 } else { 0x80 };
            u8::try_from(mark | bits).expect("BUG: six bits and a mark")
        })),
    }
}

/// The text of the JSON string `raw`; `None` for other JSON and for text with unpaired surrogates.
#[must_use]
pub fn json_text(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.starts_with('"') {
        return None;
    }
    match decode(raw) {
        Cow::Borrowed(_) => Some(Cow::Borrowed(&raw[1..raw.len() - 1])),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}
