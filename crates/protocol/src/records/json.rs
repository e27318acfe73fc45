//! JSON text handled as text: keys in their one spelling, values without insignificant white space.

use std::borrow::Cow;

/// What a key or other text is inside the quotes of a JSON string, in the one spelling that Ferry writes: only
/// `"`, `\` and control characters are escaped.
#[must_use]
pub fn escape(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(needs_escape) {
        let mut out = Vec::with_capacity(text.len() + 8);
        write_escaped(&mut out, &text);
        Cow::Owned(String::from_utf8(out).expect("BUG: escaping keeps UTF-8"))
    } else {
        text
    }
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => out.push(byte),
        }
    }
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().any(needs_escape) {
        write_escaped(out, text);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

/// `text` as a JSON string.
#[must_use]
pub fn string(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).expect("BUG: quoting keeps UTF-8")
}

/// The text of a JSON string; `None` for other JSON.
#[must_use]
pub fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A JSON value without white space between its tokens; all else stays byte for byte.
#[must_use]
pub fn compact(raw: &str) -> Cow<'_, str> {
    // A lone scalar holds white space only inside its quotes.
    if !raw.starts_with(['{', '[']) {
        return Cow::Borrowed(raw);
    }
    let (mut in_string, mut escaped) = (false, false);
    let mut is_space = |byte: u8| {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            return false;
        }
        in_string = byte == b'"';
        matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
    };
    let Some(first) = raw.bytes().position(&mut is_space) else { return Cow::Borrowed(raw) };
    let mut out = raw[..first].to_owned();
    // White space is ASCII, so that what remains between two pieces of it is whole UTF-8.
    let mut start = first + 1;
    for (at, byte) in raw.bytes().enumerate().skip(first + 1) {
        if is_space(byte) {
            out.push_str(&raw[start..at]);
            start = at + 1;
        }
    }
    out.push_str(&raw[start..]);
    Cow::Owned(out)
}

/// `text` in compact form, if it is JSON.
#[must_use]
pub fn parsed_compact(text: &str) -> Option<String> {
    let raw: &serde_json::value::RawValue = serde_json::from_str(text).ok()?;
    Some(compact(raw.get()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn compacting_leaves_strings_alone() {
        let pretty = "{ \"a b\" : [ 1 , \"\\\" \\\\\" , { } ] ,\n\t\"é \\u0000\": 9007199254740993.10 }";
        assert_eq!(compact(pretty), r#"{"a b":[1,"\" \\",{}],"é \u0000":9007199254740993.10}"#);
        assert!(matches!(compact(r#"{"a b":[" "]}"#), Cow::Borrowed(_)));
        assert_eq!(compact("\" \""), "\" \"");
    }

    proptest! {
        #[test]
        fn a_text_has_one_spelling_that_reads_back(text in "\\PC*|[\\x00-\\x7f]*") {
            let quoted = string(&text);
            prop_assert_eq!(&format!("\"{}\"", escape(Cow::Borrowed(&text))), &quoted);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
            prop_assert_eq!(text_of(&quoted).unwrap(), text);
        }

        #[test]
        fn compacting_keeps_the_value(keys in proptest::collection::vec("[ \"\\\\a\n]{0,5}", 0..6)) {
            let value: Value = keys.iter().map(|key| (key.clone(), Value::from(keys.clone()))).collect();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), serde_json::to_string(&value).unwrap());
        }
    }
}
