//! Random schemas, and random statements on them. Every table and view has the columns `a` (a number) and `b` (words).

use crate::rng::Rng;

/// What a random database holds.
#[derive(Debug, Default)]
pub struct Schema {
    /// Statements that make it.
    pub statements: Vec<String>,
    tables: Vec<Table>,
    views: Vec<String>,
    /// Views that can be written.
    writable: Vec<String>,
    /// Full text tables, and the table whose content each shows.
    texts: Vec<(String, Option<usize>)>,
}

#[derive(Debug)]
struct Table {
    name: String,
    /// Whether it has a column `p` that refers to another table.
    refers: bool,
}

/// Random choices.
#[derive(Clone, Debug)]
pub struct Dice(Rng);

impl Dice {
    /// The choices of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// Whether one of so many cases is met.
    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn number(&mut self) -> usize {
        self.below(6)
    }

    /// A number, or what SQLite may take for one, as SQL.
    fn value(&mut self) -> String {
        const VALUES: &[&str] = &[
            "NULL",
            "2.5",
            "3.0",
            "'3'",
            "' 3'",
            "'x'",
            "9007199254740993",
            "9223372036854775807",
            "-9223372036854775808",
            "9.223372036854775807e18",
            "-9.223372036854775808e18",
            "x'33'",
            "1e3",
        ];
        if self.one_in(3) { (*self.pick(VALUES)).to_owned() } else { self.number().to_string() }
    }

    fn word(&mut self) -> &'static str {
        const WORDS: &[&str] = &["red", "green", "blue", "red green", "", "7", "RED", "red ", "7.0", "é"];
        WORDS[self.below(WORDS.len())]
    }
}

impl Schema {
    /// A random one.
    #[must_use]
    pub fn random(dice: &mut Dice) -> Self {
        let mut schema = Self::default();
        for _ in 0..2 + dice.below(4) {
            schema.add_table(dice);
        }
        for _ in 0..dice.below(3) {
            schema.add_text(dice);
        }
        for _ in 0..dice.below(5) {
            schema.add_view(dice);
        }
        for _ in 0..dice.below(5) {
            schema.add_trigger(dice);
        }
        schema
    }

    fn add_table(&mut self, dice: &mut Dice) {
        let name = format!("T{}", self.tables.len());
        let refers = !self.tables.is_empty() && dice.one_in(2);
        let (key, rest) = match dice.below(4) {
            0 => ("id INTEGER PRIMARY KEY AUTOINCREMENT", ""),
            1 => ("id INTEGER NOT NULL PRIMARY KEY DESC", " WITHOUT ROWID"),
            2 => ("id INTEGER PRIMARY KEY", " STRICT"),
            _ => ("id INTEGER PRIMARY KEY", ""),
        };
        // Values of any type may stand in each but those of STRICT.
        let is_strict = rest == " STRICT";
        let number = if is_strict {
            "INTEGER"
        } else {
            *dice.pick(&["INTEGER", "INTEGER", "INT", "REAL", "NUMERIC", ""])
        };
        let words = if is_strict {
            "TEXT"
        } else {
            *dice.pick(&["TEXT", "TEXT", "VARCHAR(9)", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "BLOB"])
        };
        let mut columns = format!("{key}, a {number}, b {words}");
        if dice.one_in(3) {
            columns += ", g INTEGER GENERATED ALWAYS AS (a * 2) ";
            columns += *dice.pick(&["VIRTUAL", "STORED"]);
        }
        if refers {
            let parent = dice.below(self.tables.len());
            let action =
                dice.pick(&["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"]);
            let update = dice.pick(&["", " ON UPDATE CASCADE", " ON UPDATE SET NULL"]);
            columns += &format!(", p INTEGER DEFAULT 1 REFERENCES T{parent}(id){update} ON DELETE {action}");
        }
        if dice.one_in(4) {
            columns += ", UNIQUE(a, b)";
        }
        self.statements.push(format!("CREATE TABLE {name}({columns}){rest}"));
        if dice.one_in(2) {
            let what = dice.pick(&[
                "a",
                "b",
                "a, b",
                "a DESC, b",
                "b COLLATE NOCASE",
                "b) WHERE (a > 2",
                "length(b)",
            ]);
            self.statements.push(format!("CREATE INDEX {name}_i ON {name}({what})"));
        }
        if !is_strict && dice.one_in(4) {
            // Rows of before hold a column that was added.
            let (also, null) = if refers { (", p", ", NULL") } else { ("", "") };
            self.statements.push(format!(
                "INSERT INTO {name}(id, a, b{also}) VALUES (1, 2, 'red'{null}), (3, NULL, NULL{null}), (5, 5, '7'{null})"
            ));
            self.statements.push(format!("ALTER TABLE {name} ADD COLUMN late INTEGER DEFAULT 3"));
        }
        self.tables.push(Table { name, refers });
    }

    fn add_text(&mut self, dice: &mut Dice) {
        let name = format!("F{}", self.texts.len());
        let of = dice.below(self.tables.len());
        let table = &self.tables[of].name;
        let (options, shows) = match dice.below(3) {
            0 => (String::new(), None),
            1 => (format!(", content='{table}', content_rowid='id'"), Some(of)),
            _ => (", columnsize=0".to_owned(), None),
        };
        self.statements.push(format!("CREATE VIRTUAL TABLE {name} USING fts5(a UNINDEXED, b{options})"));
        if shows.is_some() || dice.one_in(2) {
            let insert = format!("INSERT INTO {name}(rowid, a, b) VALUES (NEW.id, NEW.a, NEW.b)");
            let delete = if shows.is_some() {
                format!("INSERT INTO {name}({name}, rowid, a, b) VALUES ('delete', OLD.id, OLD.a, OLD.b)")
            } else {
                format!("DELETE FROM {name} WHERE rowid = OLD.id")
            };
            self.statements
                .push(format!("CREATE TRIGGER {name}_i AFTER INSERT ON {table} BEGIN {insert}; END"));
            self.statements
                .push(format!("CREATE TRIGGER {name}_d AFTER DELETE ON {table} BEGIN {delete}; END"));
            self.statements.push(format!(
                "CREATE TRIGGER {name}_u AFTER UPDATE ON {table} BEGIN {delete}; {insert}; END"
            ));
        }
        self.texts.push((name, shows));
    }

    fn add_view(&mut self, dice: &mut Dice) {
        let name = format!("V{}", self.views.len());
        let (one, two) = (self.source(dice), self.source(dice));
        let select = match dice.below(7) {
            0 => format!("SELECT a, b FROM {one} WHERE a > 1"),
            1 => format!("SELECT x.a, y.b FROM {one} x JOIN {two} y ON x.a = y.a"),
            2 => format!("SELECT a, b FROM {one} UNION SELECT a, b FROM {two}"),
            3 => format!("SELECT count(*) AS a, b FROM {one} GROUP BY b"),
            // A name that hides another one, but never itself, which would be a circle.
            4 if !one.eq_ignore_ascii_case(&two) => {
                format!("WITH {two} AS (SELECT a, b FROM {one}) SELECT a, b FROM {two}")
            }
            5 => format!("SELECT a, b FROM {one} WHERE a IN (SELECT a FROM {two})"),
            _ => format!("SELECT (SELECT count(*) FROM {two}) AS a, b FROM {one}"),
        };
        self.statements.push(format!("CREATE VIEW {name}(a, b) AS {select}"));
        if dice.one_in(3) {
            let table = &dice.pick(&self.tables).name;
            for (event, body) in [
                ("INSERT", format!("INSERT INTO {table}(a, b) VALUES (NEW.a, NEW.b)")),
                ("UPDATE", format!("UPDATE {table} SET b = NEW.b WHERE a = OLD.a")),
                ("DELETE", format!("DELETE FROM {table} WHERE a = OLD.a")),
            ] {
                self.statements.push(format!(
                    "CREATE TRIGGER {name}_{event} INSTEAD OF {event} ON {name} BEGIN {body}; END"
                ));
            }
            self.writable.push(name.clone());
        }
        self.views.push(name);
    }

    fn add_trigger(&mut self, dice: &mut Dice) {
        let number = self.statements.len();
        let table = &dice.pick(&self.tables).name;
        let event = dice.pick(&[
            "AFTER INSERT",
            "BEFORE INSERT",
            "AFTER UPDATE OF b",
            "AFTER DELETE",
            "BEFORE DELETE",
        ]);
        let row = if event.ends_with("DELETE") { "OLD" } else { "NEW" };
        let other = &dice.pick(&self.tables).name;
        let source = self.source(dice);
        let body = match dice.below(5) {
            0 => format!("INSERT INTO {other}(a, b) VALUES ({row}.a, 'red')"),
            1 => format!("UPDATE {other} SET b = {row}.b WHERE a = {row}.a"),
            2 => format!("DELETE FROM {other} WHERE a = {row}.a"),
            3 => format!("INSERT OR REPLACE INTO {other}(id, a, b) SELECT 1, a, b FROM {source} LIMIT 1"),
            _ => format!(
                "UPDATE {other} SET a = a + 1 WHERE EXISTS (SELECT 1 FROM {source} WHERE a = {row}.a)"
            ),
        };
        let when = if dice.one_in(2) { format!(" WHEN {row}.a > 2") } else { String::new() };
        self.statements.push(format!("CREATE TRIGGER r{number} {event} ON {table}{when} BEGIN {body}; END"));
    }

    /// The name of something that can be read, in any spelling.
    fn source(&self, dice: &mut Dice) -> String {
        let of = dice.below(self.tables.len() + self.views.len() + self.texts.len());
        let name = if let Some(table) = self.tables.get(of) {
            &table.name
        } else if let Some(view) = self.views.get(of - self.tables.len()) {
            view
        } else {
            &self.texts[of - self.tables.len() - self.views.len()].0
        };
        if dice.one_in(3) { name.to_lowercase() } else { name.clone() }
    }

    /// The name of a table.
    #[must_use]
    pub fn table(&self, dice: &mut Dice) -> String {
        dice.pick(&self.tables).name.clone()
    }

    /// A random query. Its rows are in an order that follows from the data.
    #[must_use]
    pub fn query(&self, dice: &mut Dice) -> String {
        let (one, two, three) = (self.source(dice), self.source(dice), self.source(dice));
        let (number, word) = (dice.number(), dice.word());
        match dice.below(32) {
            20.. => self.plain_query(dice),
            0 => format!("SELECT a, b FROM {one} ORDER BY a, b LIMIT {}", 1 + number),
            1 => format!("SELECT count(*) FROM {one}"),
            2 => format!("SELECT x.a, y.b FROM {one} x JOIN {two} y ON x.a = y.a ORDER BY 1, 2"),
            3 => format!("SELECT x.b, y.a FROM {one} x LEFT JOIN {two} y USING (b) ORDER BY 1, 2"),
            4 => {
                format!("SELECT a FROM {one} WHERE a IN (SELECT a FROM {two} WHERE b <> '{word}') ORDER BY a")
            }
            5 => format!("SELECT sum(a) FROM {one} x WHERE EXISTS (SELECT 1 FROM {two} y WHERE y.a = x.a)"),
            6 => format!("SELECT (SELECT max(a) FROM {one}), (SELECT count(*) FROM {two})"),
            7 => format!(
                "WITH q(a, b) AS (SELECT a, b FROM {one}), {three} AS (SELECT a FROM {two})
                SELECT count(*), max(q.b) FROM q, {three} AS r WHERE q.a = r.a"
            ),
            8 => format!(
                "WITH RECURSIVE n(x) AS (SELECT min(a) FROM {one} UNION SELECT x + 1 FROM n, {two} AS s
                WHERE s.a > x) SELECT x FROM n ORDER BY x"
            ),
            9 => format!(
                "SELECT a, row_number() OVER (ORDER BY a, b), sum(a) OVER (PARTITION BY b) FROM {one} ORDER BY 1, 2"
            ),
            10 => format!(
                "SELECT a, b FROM {one} {} SELECT a, b FROM {two} ORDER BY 1, 2",
                dice.pick(&["UNION", "EXCEPT", "INTERSECT", "UNION ALL"])
            ),
            11 => format!("SELECT j.value FROM {one} s, json_each(json_array(s.a, s.b)) j ORDER BY 1"),
            12 => format!(
                "SELECT b, count(*), group_concat(a, ',') FROM (SELECT a, b FROM {one} ORDER BY a) GROUP BY b ORDER BY b"
            ),
            13 => format!("SELECT 1 FROM {one}, {two} LIMIT 3"),
            14 | 15 => {
                let table = &dice.pick(&self.tables).name;
                format!("SELECT id, a FROM {table} WHERE id = {number} OR b = '{word}' ORDER BY id")
            }
            16 => format!(
                "SELECT DISTINCT b FROM {one} WHERE b NOT IN (SELECT b FROM {two} WHERE b IS NOT NULL) ORDER BY b"
            ),
            17 => format!(
                "SELECT CASE WHEN EXISTS (SELECT 1 FROM {one} WHERE a = {number}) THEN (SELECT count(*) FROM {two}) END"
            ),
            _ => match self.texts.as_slice() {
                [] => format!("SELECT max(a), min(b) FROM {one}"),
                texts => {
                    let text = &dice.pick(texts).0;
                    match dice.below(4) {
                        0 => format!("SELECT rowid, b FROM {text} WHERE {text} MATCH 'red' ORDER BY rowid"),
                        1 => format!("SELECT count(*) FROM {text}('green OR blue')"),
                        2 => format!("SELECT f.rowid, s.a FROM {text} f JOIN {one} s ON s.a = f.a WHERE f MATCH 'red' ORDER BY 1, 2")
                            .replace("f MATCH", &format!("{text} MATCH")),
                        _ => format!("SELECT a, snippet({text}, 1, '[', ']', '', 4) FROM {text}('red') ORDER BY 1, 2"),
                    }
                }
            },
        }
    }

    /// A query of which it may be told on which rows it depends.
    fn plain_query(&self, dice: &mut Dice) -> String {
        let (table, other) = (&dice.pick(&self.tables).name, &dice.pick(&self.tables).name);
        let alone = self.comparison(dice, "");
        match dice.below(9) {
            0 | 1 => format!("SELECT * FROM {table} WHERE {alone}"),
            2 => format!(
                "SELECT count(*), max(a), min(b) FROM {table} WHERE {alone} AND {}",
                self.comparison(dice, "")
            ),
            3 => format!(
                "SELECT id FROM {table} x WHERE ({alone} AND {}) ORDER BY b, id LIMIT 2",
                self.comparison(dice, "x.")
            ),
            4 => format!(
                "SELECT b, count(*) FROM {table} WHERE {alone} GROUP BY b HAVING count(*) < 5 ORDER BY a, b"
            ),
            5 => format!(
                "SELECT x.id, y.b FROM {table} x JOIN {other} y ON x.a = y.a WHERE {}",
                self.comparison(dice, "x.")
            ),
            6 => format!(
                "SELECT x.id, y.id FROM {table} AS x {} JOIN {other} y ON x.b = y.b WHERE {} AND {}",
                dice.pick(&["LEFT", "RIGHT", "FULL OUTER", "CROSS", "INNER"]),
                self.comparison(dice, "x."),
                self.comparison(dice, "y.")
            ),
            7 => format!("SELECT {table}.a FROM {table}, {other} z WHERE {}", self.comparison(dice, "z.")),
            _ => format!(
                "SELECT a, sum(a) OVER (ORDER BY id) FROM {table} WHERE {alone} OR a = 1 OR {}",
                self.comparison(dice, "")
            ),
        }
    }

    /// A comparison of a column with a value that is written out.
    fn comparison(&self, dice: &mut Dice, of: &str) -> String {
        let word = |dice: &mut Dice| format!("'{}'", dice.word());
        let (column, one, two) = match dice.below(5) {
            0 | 1 => ("id", dice.number().to_string(), dice.value()),
            2 => ("a", dice.value(), dice.number().to_string()),
            3 => ("B", word(dice), word(dice)),
            _ => (
                *dice.pick(&["a", "b"]),
                if dice.one_in(2) { word(dice) } else { dice.value() },
                dice.value(),
            ),
        };
        match dice.below(8) {
            0..=2 => format!("{of}{column} = {one}"),
            3 => format!("{of}{column} {} {one}", dice.pick(&["<", "<=", ">", ">=", "<>"])),
            4 => format!("{of}{column} BETWEEN {one} AND {two}"),
            5 => format!("({of}{column} IN ({one}, {two}))"),
            6 => format!("{of}\"{column}\" == {one} COLLATE {}", dice.pick(&["NOCASE", "BINARY"])),
            _ => format!("NOT {of}{column} = {one}"),
        }
    }

    /// A random statement that writes.
    #[must_use]
    pub fn write(&self, dice: &mut Dice) -> String {
        let table = dice.pick(&self.tables);
        let name = if dice.one_in(4) { table.name.to_lowercase() } else { table.name.clone() };
        let other = &dice.pick(&self.tables).name;
        let source = self.source(dice);
        let (id, a, b) = (1 + dice.number(), dice.value(), dice.word());
        match dice.below(24) {
            19 => format!("UPDATE {name} SET a = {a} WHERE id = {id}"),
            20 => format!("UPDATE {name} SET b = {a} WHERE id = {id}"),
            21 => format!("UPDATE {name} SET b = '{b}' WHERE id = {id}"),
            22 => format!("UPDATE {name} SET id = id + 1 WHERE id = {id}"),
            23 => format!("UPDATE {name} SET a = id WHERE id > {id}"),
            0..=3 => format!("INSERT INTO {name}(id, a, b) VALUES ({id}, {a}, '{b}')"),
            4 => format!(
                "INSERT OR REPLACE INTO {name}(id, a, b) VALUES ({id}, {a}, '{b}'), ({}, 1, 'red')",
                id + 1
            ),
            5 => format!("INSERT OR IGNORE INTO {name}(id, a, b) SELECT a + 1, a, b FROM {source}"),
            6 => format!(
                "INSERT INTO {name}(id, a, b) VALUES ({id}, {a}, '{b}')
                ON CONFLICT(id) DO {}",
                dice.pick(&["NOTHING", "UPDATE SET b = excluded.b", "UPDATE SET a = a + 1 WHERE a < 3"])
            ),
            7 => format!("UPDATE {name} SET a = {a} WHERE b = '{b}'"),
            8 => format!("UPDATE {name} SET b = '{b}'"),
            9 => format!("UPDATE OR REPLACE {name} SET id = {id} WHERE a = {a}"),
            10 => format!(
                "UPDATE {name} SET b = s.b FROM (SELECT a, b FROM {source}) AS s WHERE s.a = {name}.a"
            ),
            11 => format!("DELETE FROM {name} WHERE id = {id}"),
            12 => format!("DELETE FROM {name}"),
            13 => format!("INSERT OR IGNORE INTO {name} SELECT * FROM {other}"),
            14 => format!("DELETE FROM {name} WHERE a IN (SELECT a FROM {source}) RETURNING id"),
            15 if table.refers => format!("UPDATE {name} SET p = {id}"),
            16 if !self.writable.is_empty() => {
                let view = dice.pick(&self.writable);
                match dice.below(3) {
                    0 => format!("INSERT INTO {view}(a, b) VALUES ({a}, '{b}')"),
                    1 => format!("UPDATE {view} SET b = '{b}' WHERE a = {a}"),
                    _ => format!("DELETE FROM {view} WHERE a = {a}"),
                }
            }
            17 | 18 if !self.texts.is_empty() => {
                let (text, shows) = dice.pick(&self.texts);
                match (dice.below(4), shows) {
                    (0, Some(_)) => format!("INSERT INTO {text}({text}) VALUES ('rebuild')"),
                    (_, Some(_)) => format!("INSERT INTO {text}({text}) VALUES ('optimize')"),
                    (0, None) => format!("DELETE FROM {text}"),
                    (1, None) => format!("UPDATE {text} SET b = '{b}' WHERE rowid = {id}"),
                    (2, None) => format!("DELETE FROM {text} WHERE rowid = {id}"),
                    (_, None) => format!("INSERT INTO {text}(a, b) VALUES ({a}, '{b}')"),
                }
            }
            _ => format!("INSERT INTO {name}(a, b) VALUES ({a}, '{b}')"),
        }
    }
}
