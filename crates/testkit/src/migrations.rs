//! Apps whose schema changes at random: the files that page sync must carry from version to version.

use std::path::Path;

use rusqlite::Connection;

use crate::rng::Rng;

const PAGE_SIZES: [u32; 8] = [4096, 4096, 512, 1024, 2048, 8192, 32768, 65536];

/// An app with its database file; everything follows from the seed.
pub struct App {
    connection: Connection,
    rng: Rng,
    named: u32,
}

/// The columns that each ordinary table has; tables made by hand have an own schema.
const COLUMNS: &str = "id INTEGER PRIMARY KEY, a TEXT, b INTEGER";

impl App {
    /// A new file at `path` with one table.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn create(path: &Path, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let page_size = PAGE_SIZES[rng.below(PAGE_SIZES.len() as u64) as usize];
        Self::with_page_size(path, page_size, rng)
    }

    /// The same with pages of 4096 bytes, the only size of new files that EdgeReplica's client makes, and without
    /// `auto_vacuum` FULL, of which it knows nothing.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of_4096(path: &Path, seed: u64) -> Self {
        let mut app = Self::with_page_size(path, 4096, Rng::new(seed));
        app.run("PRAGMA auto_vacuum=0; VACUUM");
        app
    }

    fn with_page_size(path: &Path, page_size: u32, mut rng: Rng) -> Self {
        let connection = Connection::open(path).expect("the file can be made");
        let auto_vacuum = rng.below(3);
        let journal = ["DELETE", "WAL", "TRUNCATE"][rng.below(3) as usize];
        let encoding = if rng.below(5) == 0 { "UTF-16le" } else { "UTF-8" };
        connection
            .execute_batch(&format!(
                "PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}; PRAGMA encoding='{encoding}';
                 PRAGMA journal_mode={journal}; PRAGMA synchronous=OFF;"
            ))
            .expect("SQLite takes the shape");
        let mut app = Self { connection, rng, named: 0 };
        app.create_table();
        app
    }

    /// Changes schema or rows at random, one to four times; gives what was done, for messages.
    pub fn migrate(&mut self) -> Vec<String> {
        let count = 1 + self.rng.below(4);
        (0..count).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> String {
        let table = self.pick("table");
        let table = table.as_deref().unwrap_or("none");
        let name = self.name();
        let rows = 1 + self.rng.below(400);
        let rest = self.rng.below(100);
        match self.rng.below(30) {
            0..=2 => self.create_table(),
            3 | 4 => self.run(&format!("DROP TABLE {table}")),
            5 => self.run(&format!("CREATE INDEX {name} ON {table}(a, b)")),
            6 => self.run(&format!("CREATE INDEX {name} ON {table}(lower(a)) WHERE b > 10")),
            7 => self.drop_one("index"),
            8..=10 => self.run(&format!(
                "BEGIN; CREATE TABLE {name}({COLUMNS}, c DEFAULT 7); INSERT INTO {name}(id, a, b) SELECT id, a, b FROM {table};
                 DROP TABLE {table}; ALTER TABLE {name} RENAME TO {table}; COMMIT"
            )),
            11 => self.run(&format!("ALTER TABLE {table} RENAME TO {name}")),
            12 => self.run(&format!("ALTER TABLE {table} RENAME COLUMN b TO b{rows}; ALTER TABLE {table} RENAME COLUMN b{rows} TO b")),
            13 => self.run(&format!("ALTER TABLE {table} ADD COLUMN {name} DEFAULT 'x'")),
            14 => self.drop_column(table),
            15 | 16 => self.run(&format!(
                "CREATE VIRTUAL TABLE {name} USING fts5(a); INSERT INTO {name} SELECT a FROM {table} LIMIT {rows}"
            )),
            17 => self.run(&format!(
                "CREATE VIRTUAL TABLE {name} USING rtree(id, x0, x1); INSERT INTO {name} SELECT id, id, id + b % 9 FROM {table} LIMIT {rows}"
            )),
            18 => self.run(&format!("CREATE VIEW {name} AS SELECT * FROM {table}")),
            19 => self.drop_one("view"),
            20 => self.run(&format!("CREATE TRIGGER {name} AFTER DELETE ON {table} BEGIN SELECT 1; END")),
            21 => self.insert(table, rows * 4),
            22 => self.run(&format!("INSERT INTO {table}(a, b) VALUES (hex(randomblob({})), 1)", rows * 40)),
            23 => self.run(&format!("UPDATE {table} SET a = a || '{name}' WHERE id % 7 = {}", rest % 7)),
            24 => self.run(&format!("DELETE FROM {table} WHERE id % 100 < {rest}")),
            25 | 26 => self.run("VACUUM"),
            27 => self.run("PRAGMA incremental_vacuum(5); ANALYZE"),
            28 => self.run(&format!("PRAGMA auto_vacuum={}; VACUUM", rest % 3)),
            _ => self.drop_all(),
        }
    }

    fn create_table(&mut self) -> String {
        let name = self.name();
        let options = ["", "", " STRICT", " WITHOUT ROWID"][self.rng.below(4) as usize];
        let rows = self.rng.below(300);
        self.run(&format!("CREATE TABLE {name}({COLUMNS}){options}"));
        self.insert(&name, rows)
    }

    fn insert(&mut self, table: &str, rows: u64) -> String {
        let width = 1 + self.rng.below(200);
        // A table WITHOUT ROWID gives no numbers of its own.
        self.run(&format!(
            "INSERT INTO {table}(id, a, b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT i + (SELECT coalesce(max(id), 0) FROM {table}), hex(randomblob({width})), i FROM n"
        ))
    }

    /// Half of the tables, then all of the room they took.
    fn drop_all(&mut self) -> String {
        let count: u64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))
            .expect("the schema is readable");
        let half = (0..count / 2).map(|_| self.drop_one("table")).collect::<Vec<_>>().join("; ");
        self.run("VACUUM");
        half + "; VACUUM"
    }

    fn drop_one(&mut self, kind: &str) -> String {
        match self.pick(kind) {
            Some(name) => self.run(&format!("DROP {kind} {name}")),
            None => String::new(),
        }
    }

    fn drop_column(&mut self, table: &str) -> String {
        let column: Option<String> = self
            .connection
            .query_row("SELECT name FROM pragma_table_info(?1) WHERE cid > 2 ORDER BY cid", [table], |row| {
                row.get(0)
            })
            .ok();
        self.run(&format!("ALTER TABLE {table} DROP COLUMN {}", column.as_deref().unwrap_or("b")))
    }

    fn pick(&mut self, kind: &str) -> Option<String> {
        // Not the shadow tables: those are their owner's.
        let sql = "SELECT name FROM sqlite_schema WHERE type = ?1 AND name GLOB 'n[0-9]*' AND name NOT GLOB '*_*' ORDER BY name";
        let names: Vec<String> = self
            .connection
            .prepare(sql)
            .and_then(|mut names| names.query_map([kind], |row| row.get(0))?.collect())
            .expect("the schema is readable");
        (!names.is_empty()).then(|| names[self.rng.below(names.len() as u64) as usize].clone())
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("n{}", self.named)
    }

    /// What SQLite does not take, as a column that an index needs, is no change.
    fn run(&mut self, sql: &str) -> String {
        if self.connection.execute_batch(sql).is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").expect("a transaction can be taken back");
        }
        sql.to_owned()
    }
}
