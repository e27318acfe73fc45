//! The text of a statement, as far as it must be known before SQLite reads it (SQLite documentation, "SQL As Understood By
//! SQLite": tokens).

use super::StatementFailure;

/// What names of the engines' tables begin with.
pub(super) const ENGINE: &str = "_ferry_";

/// The PRAGMA of the number that changes with each commit of others.
pub(super) const DATA_VERSION: &str = "data_version";

/// A piece of SQL that may name something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlToken<'a> {
    /// A keyword or a name without quotes.
    Word(&'a str),
    /// What stands between quotes of any kind, in which a doubled quote stands for one.
    Quoted(&'a str),
    /// The end of a statement.
    Semicolon,
    /// Anything else.
    Other,
}

/// The tokens of a text, without white space and comments.
pub(super) struct SqlTokens<'a>(&'a str);

impl<'a> SqlTokens<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self(text)
    }

    /// Cuts off the first `bytes`, which end between two characters.
    fn cut(&mut self, bytes: usize) -> &'a str {
        let (cut, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        cut
    }

    /// Cuts off what stands between quotes, of which the opening one is the first character.
    fn cut_quoted(&mut self, closing: u8) -> &'a str {
        let bytes = self.0.as_bytes();
        let mut end = 1;
        while end < bytes.len() {
            if bytes[end] != closing {
                end += 1;
            } else if closing != b']' && bytes.get(end + 1) == Some(&closing) {
                end += 2;
            } else {
                break;
            }
        }
        let quoted = self.cut(end + 1);
        quoted.get(1..end).unwrap_or_default()
    }
}

impl<'a> Iterator for SqlTokens<'a> {
    type Item = SqlToken<'a>;

    fn next(&mut self) -> Option<SqlToken<'a>> {
        loop {
            let bytes = self.0.as_bytes();
            match *bytes.first()? {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => drop(self.cut(1)),
                b'-' if bytes.get(1) == Some(&b'-') => {
                    let end = self.0.find('\n').unwrap_or(self.0.len());
                    self.cut(end);
                }
                b'/' if bytes.get(1) == Some(&b'*') => {
                    let end = self.0[2..].find("*/").map_or(self.0.len(), |end| end + 4);
                    self.cut(end);
                }
                quote @ (b'\'' | b'"' | b'`') => return Some(SqlToken::Quoted(self.cut_quoted(quote))),
                b'[' => return Some(SqlToken::Quoted(self.cut_quoted(b']'))),
                b';' => {
                    self.cut(1);
                    return Some(SqlToken::Semicolon);
                }
                first if is_name(first) => {
                    let end = bytes.iter().position(|byte| !is_name(*byte)).unwrap_or(bytes.len());
                    let word = self.cut(end);
                    let is_number = first.is_ascii_digit() || first == b'$';
                    return Some(if is_number { SqlToken::Other } else { SqlToken::Word(word) });
                }
                _ => {
                    self.cut(1);
                    return Some(SqlToken::Other);
                }
            }
        }
    }
}

/// Whether a byte may be part of a name without quotes.
const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The first name of an engine's table, or what looks like it, anywhere in the text. In strings too, which SQLite takes for
/// names where it expects one.
pub(super) fn engine_name(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let begins = |at: usize| at == 0 || !is_name(bytes[at - 1]);
    let at = (0..bytes.len().saturating_sub(ENGINE.len() - 1))
        .find(|at| bytes[*at] == b'_' && is_engine(&bytes[*at..]) && begins(*at))?;
    let end = bytes[at..].iter().position(|byte| !is_name(*byte)).map_or(bytes.len(), |length| at + length);
    text.get(at..end)
}

/// Whether this is the name of an engine's table.
pub(super) fn is_engine(name: &[u8]) -> bool {
    name.get(..ENGINE.len()).is_some_and(|start| start.eq_ignore_ascii_case(ENGINE.as_bytes()))
}

/// Whether a text may ask for the number that changes with each commit of others. Full text search asks for it by itself, too.
pub(super) fn asks_for_version(text: &str) -> bool {
    text.to_ascii_lowercase().contains(DATA_VERSION)
}

/// Statements that nobody but the hub runs.
const OF_THE_HUB: [&str; 9] =
    ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM"];
/// Statements of migrations.
const OF_MIGRATIONS: [&str; 5] = ["CREATE", "ALTER", "DROP", "REINDEX", "ANALYZE"];

/// Refuses what neither a function nor a migration may say.
pub(super) fn check(text: &str) -> Result<(), StatementFailure> {
    if text.contains('\0') {
        return Err(StatementFailure::Sql("a statement cannot contain the character U+0000".into()));
    }
    if let Some(name) = engine_name(text) {
        return Err(StatementFailure::prohibited(name));
    }
    for (number, token) in SqlTokens::of(text).enumerate() {
        let SqlToken::Word(word) = token else { continue };
        let first = (number == 0).then(|| OF_THE_HUB.iter().find(|name| word.eq_ignore_ascii_case(name)));
        if let Some(Some(name)) = first {
            return Err(StatementFailure::prohibited(name));
        }
        // A conflict that is resolved so would undo the other calls of a group.
        if word.eq_ignore_ascii_case("ROLLBACK") {
            return Err(StatementFailure::prohibited("ROLLBACK"));
        }
    }
    Ok(())
}

/// Refuses what a function may not say: all of [`check`], changes of the schema, and several statements at once.
pub(super) fn check_function(text: &str) -> Result<(), StatementFailure> {
    check(text)?;
    let mut tokens = SqlTokens::of(text);
    match tokens.next() {
        None => return Err(StatementFailure::Sql("the statement is empty".into())),
        Some(SqlToken::Word(word)) => {
            if let Some(name) = OF_MIGRATIONS.iter().find(|name| word.eq_ignore_ascii_case(name)) {
                return Err(StatementFailure::schema_change(name));
            }
        }
        Some(_) => {}
    }
    let mut ended = tokens.skip_while(|token| *token != SqlToken::Semicolon);
    if ended.any(|token| token != SqlToken::Semicolon) {
        let message = "several statements at once: run them one by one";
        return Err(StatementFailure::Sql(message.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_sqlite() {
        use SqlToken::{Other, Quoted, Semicolon, Word};
        let found = |text| SqlTokens::of(text).collect::<Vec<_>>();
        assert_eq!(found("a'b''c'"), [Word("a"), Quoted("b''c")]);
        assert_eq!(found("--x;\n/* ; */ é;"), [Word("é"), Semicolon]);
        assert_eq!(found("[a]]b"), [Quoted("a"), Other, Word("b")]);
        assert_eq!(found("`x\"` 12 ?1"), [Quoted("x\""), Other, Other, Other]);
        assert_eq!(found("'open"), [Quoted("open")]);
        assert_eq!(found("/* open"), []);
        assert_eq!(found("'"), [Quoted("")]);
    }

    #[test]
    fn names_of_engines_are_found_however_they_are_written() {
        for (text, name) in [
            ("SELECT * FROM _ferry_meta", Some("_ferry_meta")),
            ("SELECT * FROM \"_Ferry_Meta\"", Some("_Ferry_Meta")),
            ("SELECT * FROM main._FERRY_x;", Some("_FERRY_x")),
            ("SELECT '_ferry_'", Some("_ferry_")),
            ("SELECT * FROM __ferry_new_users", None),
            ("SELECT my_ferry_boat, _ferr", None),
            ("", None),
        ] {
            assert_eq!(engine_name(text), name, "{text}");
        }
    }

    #[test]
    fn one_statement_that_a_function_may_run() {
        for text in ["SELECT 1", "select ';' ;; -- x", "/* a */ WITH x AS (SELECT 1) SELECT * FROM x;", "x"] {
            assert_eq!(check_function(text), Ok(()), "{text}");
        }
        for (text, failure) in [
            ("begin", "access to BEGIN is prohibited"),
            (" /**/ Vacuum INTO 'x'", "access to VACUUM is prohibited"),
            ("INSERT OR ROLLBACK INTO t VALUES (1)", "access to ROLLBACK is prohibited"),
            ("DELETE FROM _ferry_meta", "access to _ferry_meta is prohibited"),
            ("create table x(a)", "schema changes belong in a migration: a function cannot run CREATE"),
            ("SELECT 1; SELECT 2", "several statements at once: run them one by one"),
            ("SELECT 1;x", "several statements at once: run them one by one"),
            ("  -- nothing", "the statement is empty"),
            ("SELECT 1\0", "a statement cannot contain the character U+0000"),
        ] {
            assert_eq!(check_function(text).unwrap_err().to_string(), failure, "{text}");
        }
        assert_eq!(check("CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END"), Ok(()));
    }
}
