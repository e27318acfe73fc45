//! Tables, indexes and views as `sqlite_schema` holds them: the text of the statement that made each, in which SQLite
//! itself has changed names.

use super::{
    expression::unqualified,
    lexer::{LexToken, TokenKind, tokens},
    model::{
        CheckConstraint, ColumnSchema, ColumnType, ForeignKey, ForeignKeyAction, GeneratedColumn,
        IndexSchema, TableSchema, ViewSchema,
    },
};

/// A table as a file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedTable {
    /// What a schema can say of it.
    pub schema: TableSchema,
    /// Columns of unique constraints that are part of the table, and no indexes of their own.
    pub inline_uniques: Vec<Vec<String>>,
    /// What a schema cannot say: `COLLATE nocase`, `STRICT`, …
    pub extras: Vec<String>,
}

/// The table that `sql` makes; `None`: it is virtual, or made otherwise than SQLite writes it down.
#[must_use]
pub(super) fn table(sql: &str) -> Option<ParsedTable> {
    let tokens = tokens(sql);
    let mut at = Cursor { sql, tokens: &tokens, next: 0 };
    at.word("create").then_some(())?;
    let _ = at.word("temp") || at.word("temporary");
    at.word("table").then_some(())?;
    at.skip_if_not_exists();
    let mut table = ParsedTable::default();
    table.schema.name = at.qualified_name()?;
    at.symbol("(").then_some(())?;
    let mut has_constraints = false;
    loop {
        if has_constraints || at.is_table_constraint() {
            has_constraints = true;
            at.table_constraint(&mut table)?;
        } else {
            at.column(&mut table)?;
        }
        if at.symbol(",") {
            continue;
        }
        if at.symbol(")") {
            break;
        }
        // SQLite takes constraints without commas between them.
        at.is_table_constraint().then_some(())?;
        has_constraints = true;
    }
    while let Some(token) = at.take() {
        if token.is_word("without") {
            at.take();
            table.extras.push("WITHOUT ROWID".to_owned());
        } else if token.is_word("strict") {
            table.extras.push("STRICT".to_owned());
        } else if !token.is_symbol(",") {
            return None;
        }
    }
    table.schema.settle();
    Some(table)
}

/// The index that `sql` makes.
#[must_use]
pub(super) fn index(sql: &str) -> Option<IndexSchema> {
    let tokens = tokens(sql);
    let mut at = Cursor { sql, tokens: &tokens, next: 0 };
    at.word("create").then_some(())?;
    let unique = at.word("unique");
    at.word("index").then_some(())?;
    at.skip_if_not_exists();
    let name = at.qualified_name()?;
    at.word("on").then_some(())?;
    let table = at.name()?;
    at.symbol("(").then_some(())?;
    let mut columns = Vec::new();
    loop {
        let column = at.until_comma_or_close()?;
        columns.push(unqualified(column, &table));
        if !at.symbol(",") {
            break;
        }
    }
    at.symbol(")").then_some(())?;
    let condition = at.word("where").then(|| unqualified(at.rest(), &table));
    Some(IndexSchema { name, table, columns, unique, condition })
}

/// The view that `sql` makes.
#[must_use]
pub(super) fn view(sql: &str) -> Option<ViewSchema> {
    let tokens = tokens(sql);
    let mut at = Cursor { sql, tokens: &tokens, next: 0 };
    at.word("create").then_some(())?;
    let _ = at.word("temp") || at.word("temporary");
    at.word("view").then_some(())?;
    at.skip_if_not_exists();
    let name = at.qualified_name()?;
    // Names of its columns are something that a schema does not have: the text then equals that of no other view.
    let from = at.peek()?;
    if !from.is_word("as") {
        return Some(ViewSchema { name, sql: sql[from.at..].to_owned() });
    }
    at.take();
    Some(ViewSchema { name, sql: at.rest().to_owned() })
}

struct Cursor<'t, 'a> {
    sql: &'a str,
    tokens: &'t [LexToken<'a>],
    next: usize,
}

impl<'a> Cursor<'_, 'a> {
    fn peek(&self) -> Option<LexToken<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self) -> Option<LexToken<'a>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_symbol(symbol));
        self.next += usize::from(found);
        found
    }

    fn name(&mut self) -> Option<String> {
        Some(self.take()?.name()?.into_owned())
    }

    fn qualified_name(&mut self) -> Option<String> {
        let name = self.name()?;
        if self.symbol(".") { self.name() } else { Some(name) }
    }

    fn skip_if_not_exists(&mut self) {
        if self.word("if") {
            let _ = self.word("not") && self.word("exists");
        }
    }

    /// What is left.
    fn rest(&self) -> &'a str {
        self.peek().map_or("", |token| self.sql[token.at..].trim_end_matches([';', ' ', '\n', '\r', '\t']))
    }

    /// What stands between the parentheses that begin here.
    fn group(&mut self) -> Option<&'a str> {
        self.symbol("(").then_some(())?;
        let from = self.tokens.get(self.next - 1)?.end();
        let mut depth = 1_usize;
        loop {
            let token = self.take()?;
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth -= 1;
                if depth == 0 {
                    return Some(self.sql[from..token.at].trim());
                }
            }
        }
    }

    fn until_comma_or_close(&mut self) -> Option<&'a str> {
        let (from, mut end, mut depth) = (self.peek()?.at, self.peek()?.at, 0_usize);
        while let Some(token) = self.peek() {
            if depth == 0 && (token.is_symbol(",") || token.is_symbol(")")) {
                break;
            }
            depth += usize::from(token.is_symbol("("));
            depth -= usize::from(token.is_symbol(")"));
            end = token.end();
            self.next += 1;
        }
        Some(&self.sql[from..end])
    }

    /// Names between parentheses; what stands behind a name there is `extras`'.
    fn names(&mut self, extras: &mut Vec<String>) -> Option<Vec<String>> {
        self.symbol("(").then_some(())?;
        let mut all = Vec::new();
        loop {
            all.push(self.name()?);
            let behind = self.until_comma_or_close()?;
            if !behind.is_empty() && !behind.eq_ignore_ascii_case("asc") {
                extras.push(behind.to_owned());
            }
            if self.symbol(")") {
                return Some(all);
            }
            self.symbol(",").then_some(())?;
        }
    }

    fn is_table_constraint(&self) -> bool {
        ["constraint", "primary", "unique", "check", "foreign"].iter().any(|word| self.is_word(word))
    }

    fn constraint_name(&mut self) -> Option<Option<String>> {
        if self.word("constraint") { self.name().map(Some) } else { Some(None) }
    }

    fn conflict_clause(&mut self, extras: &mut Vec<String>) {
        if self.is_word("on") && self.tokens.get(self.next + 1).is_some_and(|token| token.is_word("conflict"))
        {
            self.next += 2;
            let what = self.take().map_or("", |token| token.text);
            extras.push(format!("ON CONFLICT {what}"));
        }
    }

    fn table_constraint(&mut self, table: &mut ParsedTable) -> Option<()> {
        let name = self.constraint_name()?;
        let extras = &mut table.extras;
        if self.word("primary") {
            self.word("key").then_some(())?;
            table.schema.primary_key = self.names(extras)?;
            table.schema.autoincrement |= self.word("autoincrement");
            self.conflict_clause(extras);
        } else if self.word("unique") {
            let columns = self.names(extras)?;
            table.inline_uniques.push(columns);
            self.conflict_clause(extras);
        } else if self.word("check") {
            let expression = unqualified(self.group()?, &table.schema.name);
            table.schema.checks.push(CheckConstraint { name, expression });
            self.conflict_clause(extras);
        } else {
            (self.word("foreign") && self.word("key")).then_some(())?;
            let columns = self.names(extras)?;
            let key = self.references(columns, extras)?;
            table.schema.foreign_keys.push(key);
        }
        Some(())
    }

    /// `REFERENCES` and what stands behind it.
    fn references(&mut self, columns: Vec<String>, extras: &mut Vec<String>) -> Option<ForeignKey> {
        self.word("references").then_some(())?;
        let mut key = ForeignKey {
            columns,
            table: self.name()?,
            foreign_columns: Vec::new(),
            on_delete: ForeignKeyAction::NoAction,
            on_update: ForeignKeyAction::NoAction,
        };
        if self.peek().is_some_and(|token| token.is_symbol("(")) {
            key.foreign_columns = self.names(extras)?;
        }
        loop {
            if self.word("on") {
                let event = self.take()?;
                let first = self.take()?.text.to_ascii_lowercase();
                let action = match &*first {
                    "no" | "set" => format!("{first} {}", self.take()?.text.to_ascii_lowercase()),
                    _ => first,
                };
                let action = ForeignKeyAction::of_sql(&action)?;
                if event.is_word("delete") {
                    key.on_delete = action;
                } else {
                    key.on_update = action;
                }
            } else if self.word("match") {
                self.take()?;
            } else if self.is_word("not")
                && self.tokens.get(self.next + 1).is_some_and(|token| token.is_word("deferrable"))
            {
                self.next += 2;
                self.initially();
            } else if self.word("deferrable") {
                extras
                    .push(format!("DEFERRABLE{}", if self.initially() { " INITIALLY DEFERRED" } else { "" }));
            } else {
                return Some(key);
            }
        }
    }

    /// `INITIALLY …`; true if it is `DEFERRED`.
    fn initially(&mut self) -> bool {
        self.word("initially") && self.take().is_some_and(|token| token.is_word("deferred"))
    }

    fn column(&mut self, table: &mut ParsedTable) -> Option<()> {
        let mut column = ColumnSchema {
            name: self.name()?,
            kind: ColumnType::Blob,
            not_null: false,
            default: None,
            generated: None,
        };
        column.kind = ColumnType::affinity_of(&self.declared_type());
        let is_next = |at: &Self| !at.peek().is_none_or(|token| token.is_symbol(",") || token.is_symbol(")"));
        while is_next(self) && self.column_constraint(&mut column, table)? {}
        table.schema.columns.push(column);
        Some(())
    }

    fn declared_type(&mut self) -> String {
        const CONSTRAINTS: [&str; 11] = [
            "constraint",
            "primary",
            "not",
            "null",
            "unique",
            "check",
            "default",
            "collate",
            "references",
            "generated",
            "as",
        ];
        let mut declared = String::new();
        while let Some(token) = self.peek() {
            let is_type = match token.kind {
                TokenKind::Word => !CONSTRAINTS.iter().any(|word| token.is_word(word)),
                TokenKind::Quoted | TokenKind::Text => true,
                _ => false,
            };
            if !is_type {
                break;
            }
            declared.push_str(token.text);
            declared.push(' ');
            self.next += 1;
        }
        if self.peek().is_some_and(|token| token.is_symbol("(")) {
            self.group();
        }
        declared.truncate(declared.trim_end().len());
        declared
    }

    /// One constraint of a column; false: the next one belongs to the table, written without a comma before it.
    fn column_constraint(&mut self, column: &mut ColumnSchema, table: &mut ParsedTable) -> Option<bool> {
        let extras = &mut table.extras;
        let name = self.constraint_name()?;
        let own = || vec![column.name.clone()];
        if self.word("primary") {
            self.word("key").then_some(())?;
            table.schema.primary_key = own();
            if self.word("desc") {
                extras.push("PRIMARY KEY DESC".to_owned());
            } else {
                self.word("asc");
            }
            self.conflict_clause(extras);
            table.schema.autoincrement |= self.word("autoincrement");
        } else if self.word("not") {
            self.word("null").then_some(())?;
            column.not_null = true;
            self.conflict_clause(extras);
        } else if self.word("null") {
            self.conflict_clause(extras);
        } else if self.word("unique") {
            table.inline_uniques.push(own());
            self.conflict_clause(extras);
        } else if self.word("check") {
            let expression = unqualified(self.group()?, &table.schema.name);
            table.schema.checks.push(CheckConstraint { name, expression });
        } else if self.word("default") {
            column.default = Some(self.default_value()?);
        } else if self.word("collate") {
            let collation = self.name()?;
            if !collation.eq_ignore_ascii_case("binary") {
                extras.push(format!("COLLATE {collation} of {}", column.name));
            }
        } else if self.is_word("references") {
            let key = self.references(own(), extras)?;
            table.schema.foreign_keys.push(key);
        } else if self.word("generated") || self.is_word("as") {
            self.word("always");
            self.word("as").then_some(())?;
            let expression = unqualified(self.group()?, &table.schema.name);
            let stored = self.word("stored");
            self.word("virtual");
            column.generated = Some(GeneratedColumn { expression, stored });
        } else if self.word("autoincrement") {
            table.schema.autoincrement = true;
        } else {
            return self.is_table_constraint().then_some(false);
        }
        Some(true)
    }

    fn default_value(&mut self) -> Option<String> {
        let first = self.peek()?;
        if first.is_symbol("(") {
            return self.group().map(|inner| format!("({inner})"));
        }
        self.take();
        if first.is_symbol("-") || first.is_symbol("+") {
            return Some(format!("{}{}", first.text, self.take()?.text));
        }
        Some(first.text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_table_as_drizzle_writes_it() {
        let parsed = table(
            "CREATE TABLE `posts` (\n\t`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,\n\t`title` text DEFAULT 'a,b)' NOT NULL,\n\t\
             `at` integer DEFAULT (unixepoch()),\n\t`n` numeric(10, 2) DEFAULT -1.5,\n\t\
             `up` text GENERATED ALWAYS AS (upper(\"posts\".\"title\")) VIRTUAL,\n\t`user_id` integer,\n\t\
             FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE cascade,\n\t\
             CONSTRAINT \"c1\" CHECK(\"posts\".\"n\" > 1 AND (1))\n)",
        )
        .unwrap();
        assert!(parsed.extras.is_empty() && parsed.inline_uniques.is_empty());
        let schema = parsed.schema;
        assert_eq!((&*schema.name, schema.autoincrement), ("posts", true));
        assert_eq!(schema.primary_key, ["id"]);
        let kinds: Vec<ColumnType> = schema.columns.iter().map(|column| column.kind).collect();
        use ColumnType::{Integer, Numeric, Text};
        assert_eq!(kinds, [Integer, Text, Integer, Numeric, Text, Integer]);
        let defaults: Vec<Option<&str>> =
            schema.columns.iter().map(|column| column.default.as_deref()).collect();
        assert_eq!(defaults, [None, Some("'a,b)'"), Some("(unixepoch())"), Some("-1.5"), None, None]);
        assert_eq!(schema.columns[4].generated.as_ref().unwrap().expression, "upper(\"title\")");
        assert_eq!(schema.foreign_keys[0].on_delete, ForeignKeyAction::Cascade);
        assert_eq!(schema.checks[0].expression, "\"n\" > 1 AND (1)");
    }

    #[test]
    fn what_a_schema_cannot_say_is_kept_beside() {
        let parsed = table(
            "CREATE TABLE t(a TEXT COLLATE NOCASE, b INT UNIQUE ON CONFLICT IGNORE, c, d REFERENCES u DEFERRABLE INITIALLY \
             DEFERRED, UNIQUE(a, b) CHECK (c) PRIMARY KEY (a, b DESC)) STRICT, WITHOUT ROWID",
        )
        .unwrap();
        assert_eq!(parsed.inline_uniques, [strings(&["b"]), strings(&["a", "b"])]);
        assert_eq!(parsed.schema.primary_key, ["a", "b"]);
        assert_eq!(parsed.schema.checks.len(), 1);
        let extras = [
            "COLLATE NOCASE of a",
            "ON CONFLICT IGNORE",
            "DEFERRABLE INITIALLY DEFERRED",
            "DESC",
            "STRICT",
            "WITHOUT ROWID",
        ];
        assert_eq!(parsed.extras, extras);
        assert!(table("CREATE VIRTUAL TABLE f USING fts5(a)").is_none());
    }

    #[test]
    fn indexes_and_views() {
        let found =
            index("CREATE UNIQUE INDEX \"i\" ON `t` (lower(\"t\".\"a\"), `b` desc) WHERE t.c = ')'").unwrap();
        assert_eq!(found.columns, ["lower(\"a\")", "`b` desc"]);
        assert_eq!((found.unique, found.condition.as_deref()), (true, Some("c = ')'")));
        assert_eq!(view("CREATE VIEW `v` AS select 1 ;").unwrap().sql, "select 1");
        assert_eq!(view("CREATE VIEW v(a) AS select 1").unwrap().sql, "(a) AS select 1");
    }
}
