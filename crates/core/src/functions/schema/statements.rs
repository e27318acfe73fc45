//! A file of SQL, statement by statement.

use super::lexer::{LexToken, TokenKind, tokens};

/// One statement of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlStatement<'a> {
    /// Its text, without the `;` that ends it and without the comments before it.
    pub text: &'a str,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// The statements of `sql`. Those of a trigger's body are part of the trigger.
#[must_use]
pub fn statements(sql: &str) -> Vec<SqlStatement<'_>> {
    let tokens = tokens(sql);
    let (mut all, mut begin) = (Vec::new(), 0);
    while begin < tokens.len() {
        let length = length(&tokens[begin..]);
        let of_it = &tokens[begin..begin + length];
        let last = of_it.iter().rposition(|token| token.kind != TokenKind::Semicolon);
        if let (Some(last), Some(first)) = (last, of_it.first()) {
            let text = &sql[first.at..of_it[last].end()];
            all.push(SqlStatement { text, line: 1 + sql[..first.at].matches('\n').count() });
        }
        begin += length;
    }
    all
}

/// Tokens of the first statement, its `;` included. That of a trigger ends only behind `; END`, where no statement of its
/// body does (SQLite's `sqlite3_complete` goes by the same).
fn length(tokens: &[LexToken<'_>]) -> usize {
    let is_trigger = is_trigger(tokens);
    let ends = |at: usize| {
        tokens[at].kind == TokenKind::Semicolon
            && (!is_trigger
                || (at >= 2 && tokens[at - 1].is_word("end") && tokens[at - 2].kind == TokenKind::Semicolon))
    };
    (0..tokens.len()).find(|at| ends(*at)).map_or(tokens.len(), |at| at + 1)
}

fn is_trigger(tokens: &[LexToken<'_>]) -> bool {
    let mut words =
        tokens.iter().skip_while(|token| ["explain", "query", "plan"].iter().any(|word| token.is_word(word)));
    words.next().is_some_and(|token| token.is_word("create"))
        && words
            .find(|token| !token.is_word("temp") && !token.is_word("temporary"))
            .is_some_and(|token| token.is_word("trigger"))
}

/// What fires a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerEvent {
    /// A row goes.
    Delete,
    /// A row comes.
    Insert,
    /// A row changes.
    Update,
}

impl TriggerEvent {
    /// Of the trigger that `sql` makes.
    #[must_use]
    pub fn of(sql: &str) -> Option<Self> {
        let tokens = tokens(sql);
        // Behind its name, which may be one of these words.
        let trigger = tokens.iter().position(|token| token.is_word("trigger"))?;
        let event = |token: &LexToken<'_>| {
            [("delete", Self::Delete), ("insert", Self::Insert), ("update", Self::Update)]
                .into_iter()
                .find_map(|(word, event)| token.is_word(word).then_some(event))
        };
        tokens[trigger..].iter().skip(2).find_map(event)
    }
}

/// What a statement does to the names of tables and columns, where that can be told from its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaWords {
    /// `ALTER TABLE table RENAME TO to`.
    RenameTable {
        /// The table.
        table: String,
        /// Its new name.
        to: String,
    },
    /// `ALTER TABLE table RENAME COLUMN column TO to`.
    RenameColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its new name.
        to: String,
    },
    /// `DROP TABLE table`.
    DropTable {
        /// The table.
        table: String,
    },
    /// `PRAGMA name`.
    Pragma {
        /// Which, in lower case.
        name: String,
    },
    /// It makes something new, or adds rows or columns: nothing that was there changes.
    Adds,
    /// Anything else.
    Other,
}

impl SqlStatement<'_> {
    /// What it does, by its words.
    #[must_use]
    pub fn words(&self) -> SchemaWords {
        let tokens = tokens(self.text);
        schema_words(&tokens).unwrap_or(SchemaWords::Other)
    }
}

fn schema_words(tokens: &[LexToken<'_>]) -> Option<SchemaWords> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let name = |at: usize| Some(tokens.get(at)?.name()?.into_owned());
    if is(0, "pragma") {
        return Some(SchemaWords::Pragma { name: name(1)?.to_ascii_lowercase() });
    }
    if is(0, "drop") && is(1, "table") {
        let at = if is(2, "if") { 4 } else { 2 };
        return Some(SchemaWords::DropTable { table: name(unqualified(tokens, at))? });
    }
    if is(0, "create") || (is(0, "insert") && !is(1, "or")) {
        return Some(SchemaWords::Adds);
    }
    if !is(0, "alter") || !is(1, "table") {
        return None;
    }
    let at = unqualified(tokens, 2);
    let table = name(at)?;
    if is(at + 1, "add") {
        return Some(SchemaWords::Adds);
    }
    if !is(at + 1, "rename") {
        return None;
    }
    if is(at + 2, "to") && tokens.len() == at + 4 {
        return Some(SchemaWords::RenameTable { table, to: name(at + 3)? });
    }
    let from = if is(at + 2, "column") && !is(at + 3, "to") { at + 3 } else { at + 2 };
    Some(SchemaWords::RenameColumn { table, column: name(from)?, to: name(from + 2)? })
}

/// Where the name stands behind `main.`.
fn unqualified(tokens: &[LexToken<'_>], at: usize) -> usize {
    if tokens.get(at + 1).is_some_and(|token| token.is_symbol(".")) { at + 2 } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_sqlite_ends_them() {
        let sql = "-- first\nCREATE TABLE a(x TEXT DEFAULT ';');--> statement-breakpoint\n;;\n\
                   CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN\n UPDATE a SET x = CASE 1 WHEN 1 THEN 2 END;\n\
                   INSERT INTO b VALUES (';');\nEND;\nCREATE INDEX \"trigger;\" ON a(x) /* ; */";
        let found: Vec<(usize, &str)> =
            statements(sql).iter().map(|statement| (statement.line, statement.text)).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], (2, "CREATE TABLE a(x TEXT DEFAULT ';')"));
        assert_eq!(found[1].0, 4);
        assert!(found[1].1.starts_with("CREATE TEMP TRIGGER") && found[1].1.ends_with(";\nEND"));
        assert_eq!(found[2], (8, "CREATE INDEX \"trigger;\" ON a(x)"));
        assert!(statements(" ; -- nothing\n;").is_empty());
    }

    #[test]
    fn triggers_tell_what_fires_them() {
        let of = |sql: &str| TriggerEvent::of(sql).unwrap();
        assert_eq!(
            of("CREATE TRIGGER \"t\" INSTEAD OF UPDATE OF a ON v BEGIN DELETE FROM x; END"),
            TriggerEvent::Update
        );
        assert_eq!(
            of("CREATE TRIGGER \"insert\" AFTER DELETE ON v BEGIN SELECT 1; END"),
            TriggerEvent::Delete
        );
        assert_eq!(of("CREATE TRIGGER t INSERT ON v BEGIN SELECT 1; END"), TriggerEvent::Insert);
    }

    #[test]
    fn words_tell_what_a_statement_does_to_names() {
        let words = |sql: &str| statements(sql)[0].words();
        let table = "A b".to_owned();
        assert_eq!(
            words("alter table main.\"A b\" rename to c"),
            SchemaWords::RenameTable { table: table.clone(), to: "c".into() }
        );
        for text in ["ALTER TABLE [A b] RENAME COLUMN x TO y", "ALTER TABLE `A b` RENAME x TO y"] {
            let expected =
                SchemaWords::RenameColumn { table: table.clone(), column: "x".into(), to: "y".into() };
            assert_eq!(words(text), expected);
        }
        assert_eq!(words("DROP TABLE IF EXISTS 'A b';"), SchemaWords::DropTable { table });
        assert_eq!(words("PRAGMA Foreign_Keys=OFF"), SchemaWords::Pragma { name: "foreign_keys".into() });
        assert_eq!(words("INSERT INTO a SELECT 1"), SchemaWords::Adds);
        assert_eq!(words("INSERT OR REPLACE INTO a SELECT 1"), SchemaWords::Other);
        assert_eq!(words("ALTER TABLE a DROP COLUMN x"), SchemaWords::Other);
    }
}
