//! Reads an update of yrs before yrs does (lib0 encoding, version 1; documented in y-protocols and in Yjs' `INTERNALS.md`):
//! its counts and lengths are those of its bytes, it holds nothing but parts of the root text `t`, and its clocks do not
//! run over. What passes can be decoded without reserving more memory than it has bytes. Answers what the update brings and
//! what it rests on, so that yrs is handed it when that is there: yrs 0.28 takes in what comes early, but a state with holes
//! does not survive being encoded.

use std::collections::BTreeMap;

/// Name of the one text of a document.
pub(super) const ROOT: &str = "t";
/// yrs counts clocks in 31 bits.
const CLOCK_MAX: u64 = i32::MAX as u64;
/// Ids of clients have 53 bits, as whole numbers of JavaScript do.
pub(super) const CLIENT_MAX: u64 = (1 << 53) - 1;

const GC: u8 = 0;
const DELETED: u8 = 1;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const SKIP: u8 = 10;
const CONTENT: u8 = 0x1f;
const HAS_PARENT_SUB: u8 = 0x20;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_ORIGIN: u8 = 0x80;

/// Why bytes are no update of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadUpdate {
    /// They end too early, or go on behind their end, or a number is out of bounds.
    Malformed,
    /// They hold something else than parts of the root text `t`.
    NotText,
    /// They were merged of updates between which others are missing.
    Holes,
}

/// What an update brings, and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UpdateShape {
    /// By client: from this clock to the one behind the last.
    pub(super) brings: Vec<(u64, u64, u64)>,
    /// By client: how many clocks of it must be there.
    pub(super) needs: Vec<(u64, u64)>,
    /// By client: clocks that it deletes, from this one to the one behind the last.
    deletes: Vec<(u64, u64, u64)>,
}

impl UpdateShape {
    /// Whether all that the update brings, or if it only deletes, all that it deletes, is in `other` too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let (own, all) = match &*self.brings {
            [] => (&self.deletes, &other.deletes),
            _ => (&self.brings, &other.brings),
        };
        own.iter().all(|(client, start, end)| {
            all.iter().any(|(of, from, until)| of == client && from <= start && end <= until)
        })
    }
}

/// Reads the shape of `bytes`, an update of a text.
pub(super) fn check(bytes: &[u8]) -> Result<UpdateShape, BadUpdate> {
    let mut reader = Reader { rest: bytes, needs: BTreeMap::new() };
    let mut brings = Vec::new();
    for _ in 0..reader.count(3)? {
        let blocks = reader.count(2)?;
        let client = reader.client()?;
        let start = reader.clock()?;
        let mut clock = start;
        for _ in 0..blocks {
            clock = reader
                .block()?
                .checked_add(clock)
                .filter(|clock| *clock <= CLOCK_MAX)
                .ok_or(BadUpdate::Malformed)?;
        }
        reader.need(client, start);
        brings.push((client, start, clock));
    }
    distinct(brings.iter().map(|(client, ..)| *client).collect())?;
    let (mut deleted, mut deletes) = (Vec::new(), Vec::new());
    for _ in 0..reader.count(2)? {
        let client = reader.client()?;
        for _ in 0..reader.count(2)? {
            let (clock, length) = (reader.clock()?, reader.clock()?);
            if clock + length > CLOCK_MAX || length == 0 {
                return Err(BadUpdate::Malformed);
            }
            reader.need(client, clock + length);
            deletes.push((client, clock, clock + length));
        }
        deleted.push(client);
    }
    distinct(deleted)?;
    if !reader.rest.is_empty() {
        return Err(BadUpdate::Malformed);
    }
    let needs = reader.needs.into_iter().filter(|(_, clocks)| *clocks > 0).collect();
    Ok(UpdateShape { brings, needs, deletes })
}

fn distinct(mut clients: Vec<u64>) -> Result<(), BadUpdate> {
    clients.sort_unstable();
    if clients.windows(2).any(|pair| pair[0] == pair[1]) { Err(BadUpdate::Malformed) } else { Ok(()) }
}

struct Reader<'a> {
    rest: &'a [u8],
    needs: BTreeMap<u64, u64>,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, BadUpdate> {
        let (first, rest) = self.rest.split_first().ok_or(BadUpdate::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    /// A number of variable length: seven bits a byte, the least significant first.
    fn number(&mut self) -> Result<u64, BadUpdate> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BadUpdate::Malformed)
    }

    /// A number of things that take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize, BadUpdate> {
        let count = usize::try_from(self.number()?).map_err(|_| BadUpdate::Malformed)?;
        if count.checked_mul(least).is_some_and(|bytes| bytes <= self.rest.len()) {
            Ok(count)
        } else {
            Err(BadUpdate::Malformed)
        }
    }

    fn clock(&mut self) -> Result<u64, BadUpdate> {
        self.number().and_then(|clock| if clock <= CLOCK_MAX { Ok(clock) } else { Err(BadUpdate::Malformed) })
    }

    fn client(&mut self) -> Result<u64, BadUpdate> {
        self.number()
            .and_then(|client| if client <= CLIENT_MAX { Ok(client) } else { Err(BadUpdate::Malformed) })
    }

    fn text(&mut self) -> Result<&'a str, BadUpdate> {
        let length = self.count(1)?;
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| BadUpdate::Malformed)
    }

    /// Text that is JSON.
    fn json(&mut self) -> Result<(), BadUpdate> {
        let text = self.text()?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map(drop).map_err(|_| BadUpdate::Malformed)
    }

    fn need(&mut self, client: u64, clocks: u64) {
        let needed = self.needs.entry(client).or_default();
        *needed = (*needed).max(clocks);
    }

    /// Names a clock that must be there.
    fn id(&mut self) -> Result<(), BadUpdate> {
        let (client, clock) = (self.client()?, self.clock()?);
        self.need(client, clock + 1);
        Ok(())
    }

    /// A block; answers how many clocks it takes.
    fn block(&mut self) -> Result<u64, BadUpdate> {
        let info = self.byte()?;
        if info == GC {
            return self.length();
        }
        if info == SKIP {
            return Err(BadUpdate::Holes);
        }
        if info & HAS_PARENT_SUB != 0 {
            return Err(BadUpdate::NotText);
        }
        for origin in [HAS_ORIGIN, HAS_RIGHT_ORIGIN] {
            if info & origin != 0 {
                self.id()?;
            }
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 && (self.number()? != 1 || self.text()? != ROOT) {
            return Err(BadUpdate::NotText);
        }
        match info & CONTENT {
            DELETED => self.length(),
            // Clocks count UTF-16 units.
            STRING => Ok(self.text()?.encode_utf16().count() as u64),
            EMBED => self.json().map(|()| 1),
            FORMAT => {
                self.text()?;
                self.json().map(|()| 1)
            }
            _ => Err(BadUpdate::NotText),
        }
    }

    fn length(&mut self) -> Result<u64, BadUpdate> {
        self.clock().and_then(|length| if length > 0 { Ok(length) } else { Err(BadUpdate::Malformed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_within_what_brings_or_deletes_as_much() {
        let shape = |brings: &[(u64, u64, u64)], deletes: &[(u64, u64, u64)]| UpdateShape {
            brings: brings.to_vec(),
            needs: Vec::new(),
            deletes: deletes.to_vec(),
        };
        let whole = shape(&[(1, 0, 9), (2, 0, 4)], &[(1, 2, 6)]);
        for (edit, is_within) in [
            (shape(&[(1, 3, 9)], &[]), true),
            (shape(&[(1, 3, 10)], &[]), false),
            (shape(&[(3, 0, 1)], &[(1, 2, 3)]), false),
            (shape(&[], &[(1, 3, 6)]), true),
            (shape(&[], &[(1, 0, 3)]), false),
        ] {
            assert_eq!(edit.is_within(&whole), is_within, "{edit:?}");
        }
    }

    #[test]
    fn updates_of_the_specification_pass_and_what_is_cut_or_goes_on_does_not() {
        let update = b"\x01\x01\x01\x00\x04\x01\x01t\x08Buy milk\x00";
        assert_eq!(check(update), Ok(UpdateShape { brings: vec![(1, 0, 8)], ..UpdateShape::default() }));
        let on_it = b"\x01\x01\x02\x00\x84\x01\x07\x08 and tea\x01\x01\x01\x00\x01";
        assert_eq!(
            check(on_it),
            Ok(UpdateShape { brings: vec![(2, 0, 8)], needs: vec![(1, 8)], deletes: vec![(1, 0, 1)] })
        );
        for end in 0..update.len() {
            assert_eq!(check(&update[..end]), Err(BadUpdate::Malformed), "{end}");
        }
        assert_eq!(check(&[&update[..], b"\x00"].concat()), Err(BadUpdate::Malformed));
    }

    #[test]
    fn counts_beyond_the_bytes_and_other_contents_are_refused() {
        assert_eq!(check(b"\xff\xff\xff\xff\x0f\x00"), Err(BadUpdate::Malformed));
        assert_eq!(check(b"\x01\xff\xff\xff\xff\x0f\x01\x00\x00\x01\x00"), Err(BadUpdate::Malformed));
        assert_eq!(check(b"\x01\x01\x01\x00\x04\x01\x01u\x01x\x00"), Err(BadUpdate::NotText));
        // A map: content 7.
        assert_eq!(check(b"\x01\x01\x01\x00\x07\x01\x01t\x01\x00"), Err(BadUpdate::NotText));
        // The same client twice.
        let twice = b"\x02\x01\x01\x00\x04\x01\x01t\x01a\x01\x01\x01\x04\x01\x01t\x01b\x00";
        assert_eq!(check(twice), Err(BadUpdate::Malformed));
    }
}
