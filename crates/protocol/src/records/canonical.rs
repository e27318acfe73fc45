//! The canonical form of a value (RFC 8785, JSON Canonicalization Scheme), of which digests are made. It is computed
//! in ties only. Numbers are IEEE 754 doubles as ECMAScript writes them, one that overflows is `null`; unpaired
//! surrogates stay escapes.

use std::fmt::Write as _;

use serde_json::value::RawValue;

/// Deepest nesting that is canonicalized; deeper values stay as they are.
const DEPTH_MAX: usize = 100;

/// The canonical form of a JSON text.
#[must_use]
pub fn canonical(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    if write(&mut out, raw, 0).is_none() {
        raw.clone_into(&mut out);
    }
    out
}

fn write(out: &mut String, raw: &str, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let raw = raw.trim_matches([' ', '\n', '\r', '\t']);
    match raw.as_bytes().first()? {
        b'{' => object(out, raw, depth)?,
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item.get(), depth + 1)?;
            }
            out.push(']');
        }
        b'"' => string(out, &units(raw)?),
        b't' | b'f' | b'n' => out.push_str(raw),
        _ => number(out, raw.parse().ok()?),
    }
    Some(())
}

fn object(out: &mut String, raw: &str, depth: usize) -> Option<()> {
    let mut members: Vec<(Vec<u16>, &str)> = Vec::new();
    for (name, value) in members_of(raw)? {
        let name = units(name)?;
        match members.iter_mut().find(|(known, _)| *known == name) {
            // Of equal names the last one counts.
            Some((_, held)) => *held = value,
            None => members.push((name, value)),
        }
    }
    members.sort();
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        write(out, value, depth + 1)?;
    }
    out.push('}');
    Some(())
}

/// Names, with their quotes, and values of an object's members. serde reads no names with unpaired surrogates, so
/// they are cut out here and the values are left to it.
fn members_of(raw: &str) -> Option<Vec<(&str, &str)>> {
    let mut members = Vec::new();
    let mut rest = raw.strip_prefix('{')?.trim_start_matches([' ', '\n', '\r', '\t']);
    while rest.starts_with('"') {
        let name_end = string_end(rest)?;
        let (name, behind) = rest.split_at(name_end);
        let behind = behind.trim_start_matches([' ', '\n', '\r', '\t']).strip_prefix(':')?;
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<&RawValue>();
        let value = values.next()?.ok()?;
        let behind = behind.get(values.byte_offset()..)?;
        members.push((name, value.get()));
        rest = behind.trim_start_matches([' ', '\n', '\r', '\t', ',']);
    }
    Some(members)
}

/// Length of the JSON string at the beginning of `text`.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The UTF-16 code units of a JSON string.
fn units(raw: &str) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(raw.len());
    let mut rest = raw.strip_prefix('"')?.strip_suffix('"')?.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match rest.next()? {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let digits = rest.as_str().get(..4)?;
                rest = rest.as_str()[4..].chars();
                u16::from_str_radix(digits, 16).ok()?
            }
            plain => u16::try_from(u32::from(plain)).ok()?,
        });
    }
    Some(units)
}

fn string(out: &mut String, units: &[u16]) {
    out.push('"');
    for read in char::decode_utf16(units.iter().copied()) {
        match read {
            Ok('"') => out.push_str("\\\""),
            Ok('\\') => out.push_str("\\\\"),
            Ok('\u{8}') => out.push_str("\\b"),
            Ok('\t') => out.push_str("\\t"),
            Ok('\n') => out.push_str("\\n"),
            Ok('\u{c}') => out.push_str("\\f"),
            Ok('\r') => out.push_str("\\r"),
            Ok(c) if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            Ok(c) => out.push(c),
            Err(unpaired) => {
                let _ = write!(out, "\\u{:04x}", unpaired.unpaired_surrogate());
            }
        }
    }
    out.push('"');
}

/// A double as ECMAScript writes it (ECMA-262, Number::toString).
fn number(out: &mut String, value: f64) {
    if !value.is_finite() {
        return out.push_str("null");
    }
    if value == 0.0 {
        return out.push('0');
    }
    if value < 0.0 {
        out.push('-');
    }
    // Rust gives the shortest digits that read back: d.ddde±x.
    let shortest = format!("{:e}", value.abs());
    let (mantissa, exponent) = shortest.split_once('e').expect("BUG: {:e} writes an exponent");
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let count = i32::try_from(digits.len()).expect("BUG: a double has few digits");
    // The decimal point stands behind this many digits.
    let point = exponent.parse::<i32>().expect("BUG: an exponent is a number") + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let at = |position: i32| digits.split_at(usize::try_from(position).unwrap_or(0));
    if count <= point && point <= 21 {
        out.push_str(&digits);
        out.push_str(&zeros(point - count));
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = at(point);
        let _ = write!(out, "{whole}.{fraction}");
    } else if -6 < point && point <= 0 {
        let _ = write!(out, "0.{}{digits}", zeros(-point));
    } else {
        let (first, rest) = at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let sign = if point > 0 { '+' } else { '-' };
        let _ = write!(out, "{first}{dot}{rest}e{sign}{}", (point - 1).abs());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The examples of docs/records-wire.md, which the client's tests have too.
    #[test]
    fn the_documented_values_have_their_canonical_form() {
        for (raw, expected) in [
            ("null", "null"),
            (r#""a""#, r#""a""#),
            ("1.0", "1"),
            ("9007199254740993", "9007199254740992"),
            (r#"{"b":[true,"é\/"],"a":1E21}"#, r#"{"a":1e+21,"b":[true,"é/"]}"#),
            (r#""\u0000\ud800""#, r#""\u0000\ud800""#),
            ("[1e400,-0,0.0000001]", "[null,0,1e-7]"),
            (
                "[123456789012345680000, 0.000001, 1.5e-9, -12.25, 1e20]",
                "[123456789012345680000,0.000001,1.5e-9,-12.25,100000000000000000000]",
            ),
            (r#" { "b" : 1 , "a" : { } , "b" : 2 } "#, r#"{"a":{},"b":2}"#),
            (r#"{"\ud83d\ude00":1,"\ufb33":2,"\ud800":3}"#, "{\"\\ud800\":3,\"😀\":1,\"\u{fb33}\":2}"),
        ] {
            assert_eq!(canonical(raw), expected, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(raw in "\\PC{0,40}|[\\[\\]{}\":,0-9eE.+\\\\u-]{0,40}") {
            let _ = canonical(&raw);
        }

        #[test]
        fn the_canonical_form_is_idempotent(number: f64, text in "\\PC{0,10}") {
            let value = serde_json::json!({"n": number, "t": text, "list": [number, {"x": text}]}).to_string();
            let once = canonical(&value);
            prop_assert_eq!(canonical(&once), once.clone());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok());
        }
    }
}
