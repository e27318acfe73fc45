//! Text from outside, made fit for a terminal or a log. What a client called itself may hold sequences that move a
//! terminal's cursor, change its title, or turn the direction of what follows.

use std::borrow::Cow;

/// `text` on one line, with every control character and every character that changes the direction of text escaped as
/// JSON does it: what stands inside a JSON string keeps its meaning.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            hidden if is_hidden(hidden) => out.push_str(&format!("\\u{:04x}", u32::from(hidden))),
            shown => out.push(shown),
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the marks, overrides and isolates of bidirectional
/// text (Unicode Standard Annex 9).
const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert!(matches!(printable("häßlich 漢字 🎈 \\"), Cow::Borrowed(_)));
        assert_eq!(printable("a\x1b]0;x\x07\u{9b}2J\x7f"), "a\\u001b]0;x\\u0007\\u009b2J\\u007f");
        assert_eq!(printable("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(printable("\u{202e}exe.\u{2066}\u{200f}\u{2029}"), "\\u202eexe.\\u2066\\u200f\\u2029");
    }
}
