//! Canonical JSON of ops (section 2.5): keys sorted by their UTF-8 bytes, no blanks, number tokens as they came, strings
//! minimally escaped. Made in one pass. Equal keys stay in their order, unpaired surrogates stay escapes.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::tokens::{JsonFault, Tokens, VALUE_DEPTH_MAX, decode};

/// The canonical form of a JSON text. What is no JSON, or nests deeper than an op may, stays as it is.
#[must_use]
pub fn canonical(json: &str) -> Cow<'_, str> {
    let mut scan = Tokens::new(json);
    let mut out = Vec::with_capacity(json.len());
    // An op is one level above its values.
    let written = write(&mut scan, &mut out, VALUE_DEPTH_MAX + 1).and_then(|()| scan.end());
    match written {
        Ok(()) => Cow::Owned(String::from_utf8(out).expect("BUG: the canonical form is UTF-8")),
        Err(_) => Cow::Borrowed(json),
    }
}

/// SHA-256 of the canonical form of a JSON text.
#[must_use]
pub fn canonical_digest(json: &str) -> [u8; 32] {
    Sha256::digest(canonical(json).as_bytes()).into()
}

fn write(scan: &mut Tokens<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonFault> {
    scan.blanks();
    match scan.peek() {
        Some(b'{') => object(scan, out, depth.checked_sub(1).ok_or(JsonFault::TooDeep)?),
        Some(b'[') => {
            let depth = depth.checked_sub(1).ok_or(JsonFault::TooDeep)?;
            scan.take(b'[');
            out.push(b'[');
            let start = out.len();
            scan.each(b']', |scan| {
                write(scan, out, depth)?;
                out.push(b',');
                Ok(())
            })?;
            close(out, start, b']');
            Ok(())
        }
        Some(b'"') => {
            string(scan.string()?, out);
            Ok(())
        }
        _ => {
            out.extend_from_slice(scan.scalar()?.as_bytes());
            Ok(())
        }
    }
}

/// Replaces the comma behind the last item.
fn close(out: &mut Vec<u8>, start: usize, bracket: u8) {
    if out.len() > start {
        out.pop();
    }
    out.push(bracket);
}

fn object(scan: &mut Tokens<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonFault> {
    scan.take(b'{');
    out.push(b'{');
    let start = out.len();
    let mut members = Vec::new();
    scan.each(b'}', |scan| {
        let begin = out.len();
        let name = scan.string()?;
        string(name, out);
        out.push(b':');
        scan.colon()?;
        write(scan, out, depth)?;
        out.push(b',');
        members.push((decode(name), begin..out.len()));
        Ok(())
    })?;
    if !members.is_sorted_by(|(one, _), (other, _)| one <= other) {
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        let sorted: Vec<&[u8]> = members.iter().map(|(_, range)| &out[range.clone()]).collect();
        let sorted = sorted.concat();
        out.truncate(start);
        out.extend_from_slice(&sorted);
    }
    close(out, start, b'}');
    Ok(())
}

fn string(quoted: &str, out: &mut Vec<u8>) {
    match decode(quoted) {
        // Without a backslash nothing was escaped, and nothing needs to be.
        Cow::Borrowed(_) => out.extend_from_slice(quoted.as_bytes()),
        Cow::Owned(bytes) => write_bytes(out, &bytes),
    }
}

/// Appends `text` as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    write_bytes(out, text.as_bytes());
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    out.push(b'"');
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            // An unpaired surrogate: U+D800 to U+DFFF in WTF-8.
            0xed if bytes.get(at + 1).is_some_and(|next| *next >= 0xa0) => {
                let (middle, last) = (bytes[at + 1], bytes.get(at + 2).copied().unwrap_or(0x80));
                let digits = [
                    0xd,
                    usize::from(middle >> 2 & 15),
                    usize::from((middle & 3) << 2 | last >> 4 & 3),
                    usize::from(last & 15),
                ];
                out.extend_from_slice(b"\\u");
                out.extend(digits.map(|digit| HEX[digit]));
                at += 2;
            }
            _ => out.push(byte),
        }
        at += 1;
    }
    out.push(b'"');
}
