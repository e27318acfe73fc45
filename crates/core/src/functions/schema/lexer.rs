//! SQL as tokens (SQLite documentation, "SQLite Syntax"; tokenize.c): as far as one must know where names, strings and
//! statements begin and end.

use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword or a bare name.
    Word,
    /// A name between `"`, backquotes or brackets.
    Quoted,
    /// A text between `'`, or a blob `x'…'`.
    Text,
    /// A number.
    Number,
    /// `;`
    Semicolon,
    /// Anything else: one character, or an operator of several.
    Symbol,
    /// A quote or comment that nobody ends.
    Unterminated,
}

/// A token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LexToken<'a> {
    pub(super) kind: TokenKind,
    /// As it stands there.
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

impl<'a> LexToken<'a> {
    /// Whether it is this keyword.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// The name that it stands for, without its quotes. SQLite takes a text for a name where only a name may stand.
    pub(super) fn name(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            TokenKind::Word => Some(Cow::Borrowed(self.text)),
            TokenKind::Quoted | TokenKind::Text => {
                let open = self.text.chars().next()?;
                let inner = self.text.get(1..self.text.len() - 1)?;
                Some(match open {
                    '[' => Cow::Borrowed(inner),
                    '"' | '`' | '\'' => {
                        let twice: String = [open, open].iter().collect();
                        if inner.contains(&twice) {
                            Cow::Owned(inner.replace(&twice, &open.to_string()))
                        } else {
                            Cow::Borrowed(inner)
                        }
                    }
                    _ => return None,
                })
            }
            TokenKind::Number | TokenKind::Semicolon | TokenKind::Symbol | TokenKind::Unterminated => None,
        }
    }

    /// Where it ends.
    pub(super) const fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// The tokens of a text, without comments and space.
pub(super) fn tokens(sql: &str) -> Vec<LexToken<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(token) = next(sql, at) {
        at = token.end();
        all.push(token);
    }
    all
}

fn next(sql: &str, from: usize) -> Option<LexToken<'_>> {
    let bytes = sql.as_bytes();
    let mut at = from;
    loop {
        let rest = &sql[at..];
        let first = *bytes.get(at)?;
        if first.is_ascii_whitespace() || first == 0x0b || rest.starts_with('\u{feff}') {
            at += rest.chars().next().map_or(1, char::len_utf8);
        } else if rest.starts_with("--") {
            at = rest.find('\n').map_or(sql.len(), |end| at + end + 1);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            match comment.find("*/") {
                Some(end) => at += end + 4,
                // SQLite ends such a comment with the text.
                None => return Some(LexToken { kind: TokenKind::Unterminated, text: rest, at }),
            }
        } else {
            break;
        }
    }
    let rest = &sql[at..];
    let (kind, length) = measure(rest);
    Some(LexToken { kind, text: &rest[..length], at })
}

/// Kind and length of the token at the beginning of `rest`, which is no space and no comment.
fn measure(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    match bytes[0] {
        b';' => (TokenKind::Semicolon, 1),
        quote @ (b'\'' | b'"' | b'`') => {
            let kind = if quote == b'\'' { TokenKind::Text } else { TokenKind::Quoted };
            quoted(bytes, 0, quote).map_or((TokenKind::Unterminated, rest.len()), |end| (kind, end))
        }
        b'[' => {
            rest.find(']').map_or((TokenKind::Unterminated, rest.len()), |end| (TokenKind::Quoted, end + 1))
        }
        b'x' | b'X' if bytes.get(1) == Some(&b'\'') => quoted(bytes, 1, b'\'')
            .map_or((TokenKind::Unterminated, rest.len()), |end| (TokenKind::Text, end)),
        b'0'..=b'9' => (TokenKind::Number, number(bytes)),
        b'.' if bytes.get(1).is_some_and(u8::is_ascii_digit) => (TokenKind::Number, number(bytes)),
        first if is_word(first) => {
            let length = bytes.iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len());
            (TokenKind::Word, length)
        }
        _ => {
            let operators = ["->>", "->", "||", "<<", ">>", "<=", ">=", "<>", "!=", "=="];
            let operator = operators.iter().find(|operator| rest.starts_with(**operator));
            let one = rest.chars().next().map_or(1, char::len_utf8);
            (TokenKind::Symbol, operator.map_or(one, |operator| operator.len()))
        }
    }
}

/// Characters of names; all that is not ASCII is one.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Where the quoted thing ends whose opening quote stands at `open`.
fn quoted(bytes: &[u8], open: usize, quote: u8) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let found = at + bytes.get(at..)?.iter().position(|byte| *byte == quote)?;
        if bytes.get(found + 1) == Some(&quote) {
            at = found + 2;
        } else {
            return Some(found + 1);
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let is_sign = matches!(byte, b'+' | b'-')
            && at > 0
            && matches!(bytes[at - 1], b'e' | b'E')
            && !bytes.starts_with(b"0x")
            && !bytes.starts_with(b"0X");
        if !(byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'_' || is_sign) {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_or_a_comment_holds_no_tokens() {
        let sql = "a -- ; 'b\n/* ; ' */ 'it''s;' \"x\"\"y\" `z;` [w;] X'00' 1.5e-3 .5 ->> ; é";
        let found: Vec<(TokenKind, &str)> =
            tokens(sql).iter().map(|token| (token.kind, token.text)).collect();
        use TokenKind::{Number, Quoted, Semicolon, Symbol, Text, Word};
        let expected = [
            (Word, "a"),
            (Text, "'it''s;'"),
            (Quoted, "\"x\"\"y\""),
            (Quoted, "`z;`"),
            (Quoted, "[w;]"),
            (Text, "X'00'"),
            (Number, "1.5e-3"),
            (Number, ".5"),
            (Symbol, "->>"),
            (Semicolon, ";"),
            (Word, "é"),
        ];
        assert_eq!(found, expected);
        assert_eq!(tokens(sql)[2].name().unwrap(), "x\"y");
        for open in ["'a", "\"a", "/* a", "[a", "x'0"] {
            assert_eq!(tokens(open)[0].kind, TokenKind::Unterminated, "{open}");
        }
    }
}
