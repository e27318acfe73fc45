//! Pieces of SQL that a schema brings: whether they are what they seem to be, and whether two of them are the same.

use std::fmt::Write as _;

use super::{
    lexer::{LexToken, TokenKind, tokens},
    model::same_name,
};
use crate::sql_text::identifier;

/// Why a piece of SQL cannot stand in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSql {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Longer than a piece may be.
    #[error("it is over {} bytes", super::SQL_MAX_BYTES)]
    TooLong,
    /// A quote or comment does not end.
    #[error("a quote or comment does not end")]
    Unterminated,
    /// It holds the character 0, at which SQLite ends a text.
    #[error("it holds a NUL character")]
    Nul,
    /// It holds `;`.
    #[error("it holds a semicolon")]
    Semicolon,
    /// Parentheses do not match.
    #[error("its parentheses do not match")]
    Parentheses,
    /// It holds `?`, `:name`, `@name` or `$name`.
    #[error("it holds a parameter; write its value")]
    Parameter,
}

/// Checks that `sql` is a piece of one statement, which cannot end it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(sql: &str) -> Result<(), BadSql> {
    if sql.len() > super::SQL_MAX_BYTES {
        return Err(BadSql::TooLong);
    }
    if sql.contains('\0') {
        return Err(BadSql::Nul);
    }
    let tokens = tokens(sql);
    if tokens.is_empty() {
        return Err(BadSql::Empty);
    }
    let mut depth = 0_usize;
    for token in &tokens {
        match token.kind {
            TokenKind::Unterminated => return Err(BadSql::Unterminated),
            TokenKind::Semicolon => return Err(BadSql::Semicolon),
            TokenKind::Symbol => match token.text {
                "(" => depth += 1,
                ")" => depth = depth.checked_sub(1).ok_or(BadSql::Parentheses)?,
                "?" | ":" | "@" | "#" => return Err(BadSql::Parameter),
                _ => {}
            },
            TokenKind::Word if token.text.starts_with('$') => return Err(BadSql::Parameter),
            TokenKind::Word | TokenKind::Quoted | TokenKind::Text | TokenKind::Number => {}
        }
    }
    if depth == 0 { Ok(()) } else { Err(BadSql::Parentheses) }
}

/// `sql` without comments, and without its own table's name before columns: while a table is rebuilt it has another one.
pub(super) fn unqualified(sql: &str, table: &str) -> String {
    let tokens = tokens(sql);
    let mut text = String::with_capacity(sql.len());
    let mut last_end = None;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_qualifier = tokens.get(at + 1).is_some_and(|next| next.is_symbol("."))
            && matches!(token.kind, TokenKind::Word | TokenKind::Quoted)
            && token.name().is_some_and(|name| same_name(&name, table));
        if last_end.is_some_and(|end| end != token.at) && !text.ends_with(' ') {
            text.push(' ');
        }
        if is_qualifier {
            last_end = tokens.get(at + 1).map(LexToken::end);
            at += 2;
            continue;
        }
        text.push_str(token.text);
        last_end = Some(token.end());
        at += 1;
    }
    text
}

/// `sql` with other names, wherever such a name stands that is no text.
pub(super) fn renamed(sql: &str, names: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut from = 0;
    for token in tokens(sql) {
        if !matches!(token.kind, TokenKind::Word | TokenKind::Quoted) {
            continue;
        }
        let Some(found) = token.name() else { continue };
        if let Some((_, to)) = names.iter().find(|(old, _)| same_name(old, &found)) {
            text.push_str(&sql[from..token.at]);
            text.push_str(&identifier(to));
            from = token.end();
        }
    }
    text.push_str(&sql[from..]);
    text
}

/// What two texts have in common that mean the same: no comments, space, quotes of names or parentheses around the whole,
/// and no case but in texts.
#[must_use]
pub(super) fn normal(sql: &str) -> String {
    let tokens = tokens(sql);
    let mut text = String::with_capacity(sql.len());
    for token in bare(&tokens) {
        if !text.is_empty() {
            text.push(' ');
        }
        match token.kind {
            TokenKind::Quoted => {
                let _ = write!(text, "{}", token.name().unwrap_or_default().to_ascii_lowercase());
            }
            TokenKind::Text => text.push_str(token.text),
            _ => text.push_str(&token.text.to_ascii_lowercase()),
        }
    }
    text
}

/// Whether both mean the same.
#[must_use]
pub fn same_sql(a: &str, b: &str) -> bool {
    a == b || normal(a) == normal(b)
}

/// The same of what may be missing.
pub(super) fn same_option(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_sql(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Without the parentheses around the whole.
fn bare<'t, 'a>(mut tokens: &'t [LexToken<'a>]) -> &'t [LexToken<'a>] {
    while let [open, inner @ .., close] = tokens {
        let mut depth = 0_i32;
        let leaves = inner.iter().any(|token| {
            depth += i32::from(token.is_symbol("(")) - i32::from(token.is_symbol(")"));
            depth < 0
        });
        if !open.is_symbol("(") || !close.is_symbol(")") || leaves || inner.is_empty() {
            break;
        }
        tokens = inner;
    }
    tokens
}

/// Whether one of the names in `sql` is `name`: as a column, or as anything else.
#[must_use]
pub(super) fn mentions(sql: &str, name: &str) -> bool {
    tokens(sql).iter().any(|token| {
        matches!(token.kind, TokenKind::Word | TokenKind::Quoted)
            && token.name().is_some_and(|found| same_name(&found, name))
    })
}

/// Whether a default is a value, or a name that stands for one, so that it needs no parentheses.
pub(super) fn is_plain_value(sql: &str) -> bool {
    let tokens = tokens(sql);
    let words = ["null", "true", "false", "current_time", "current_date", "current_timestamp"];
    match &tokens[..] {
        [one] => {
            matches!(one.kind, TokenKind::Number | TokenKind::Text)
                || words.iter().any(|word| one.is_word(word))
        }
        [sign, number] => (sign.is_symbol("-") || sign.is_symbol("+")) && number.kind == TokenKind::Number,
        _ => false,
    }
}

/// Whether a default is a constant: with any other one SQLite adds no column to a table that has rows.
pub(super) fn is_constant(sql: &str) -> bool {
    let tokens = tokens(sql);
    let bare = bare(&tokens);
    let plain = |token: &LexToken<'_>| {
        matches!(token.kind, TokenKind::Number | TokenKind::Text)
            || ["null", "true", "false"].iter().any(|word| token.is_word(word))
    };
    match bare {
        [one] => plain(one),
        [sign, number] => (sign.is_symbol("-") || sign.is_symbol("+")) && number.kind == TokenKind::Number,
        _ => false,
    }
}

/// Whether a default is `NULL`.
pub(super) fn is_null(sql: &str) -> bool {
    normal(sql) == "null"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_inside_their_statement() {
        for (sql, expected) in [
            ("0", Ok(())),
            ("(a > 1) AND b = 'x;'", Ok(())),
            ("", Err(BadSql::Empty)),
            ("-- c", Err(BadSql::Empty)),
            ("0; DROP TABLE x", Err(BadSql::Semicolon)),
            ("0) ; (", Err(BadSql::Parentheses)),
            ("0) + (1", Err(BadSql::Parentheses)),
            ("(1", Err(BadSql::Parentheses)),
            ("'a", Err(BadSql::Unterminated)),
            ("1 /* ", Err(BadSql::Unterminated)),
            ("a = ?", Err(BadSql::Parameter)),
            ("a = $1", Err(BadSql::Parameter)),
        ] {
            assert_eq!(check(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_own_tables_name_is_taken_off() {
        assert_eq!(
            unqualified("\"Users\".\"age\" > 21 /* x */ AND users . b=1", "users"),
            "\"age\" > 21 AND b=1"
        );
        assert_eq!(unqualified("other.age > users", "users"), "other.age > users");
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        assert!(same_sql("((unixepoch( )))", "UNIXEPOCH()"));
        assert!(same_sql("\"Age\">21", "age > 21 -- years"));
        assert!(!same_sql("'Age'", "'age'"));
        assert!(!same_sql("(a) + (b)", "a + b"));
        assert!(same_sql("( (a) + (b) )", "(a)+(b)"));
    }

    #[test]
    fn constants_and_values() {
        assert!(is_plain_value("-1.5") && is_plain_value("CURRENT_TIMESTAMP") && !is_plain_value("(1)"));
        assert!(is_constant("('x')") && is_constant("- 1") && !is_constant("CURRENT_TIMESTAMP"));
        assert!(!is_constant("unixepoch()") && is_null(" ( NULL ) "));
    }
}
