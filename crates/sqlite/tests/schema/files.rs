//! Migration files.

use ferry_core::functions::{deploy::DeployRefusal, schema::statements};
use rusqlite::fallible_iterator::FallibleIterator as _;
use serde_json::json;

use super::database::{Deployed, column, file, schema, told};

const REBUILT: &str = "PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_users` (`id` integer PRIMARY KEY NOT NULL, `name` text DEFAULT 'x' NOT NULL);
--> statement-breakpoint
INSERT INTO `__new_users`(\"id\", \"name\") SELECT \"id\", \"name\" FROM `users`;--> statement-breakpoint
DROP TABLE `users`;--> statement-breakpoint
ALTER TABLE `__new_users` RENAME TO `users`;--> statement-breakpoint
PRAGMA foreign_keys=ON;";

fn declared(default: Option<&str>) -> String {
    let name = column("name", "text", json!({ "notNull": true, "default": default }));
    schema(json!([{ "name": "users", "columns": [column("id", "integer", json!({ "primaryKey": true })), name] }])).to_string()
}

fn begun() -> Deployed {
    let mut database = Deployed::new();
    let mut new = database.asks(&declared(None));
    new.files = vec![file(
        "1",
        None,
        "CREATE TABLE users(id integer PRIMARY KEY, name text NOT NULL); CREATE TABLE notes(x REFERENCES users ON DELETE CASCADE)",
    )];
    assert_eq!(database.deploy(&new).unwrap().deployed.applied, ["1"]);
    database.run("INSERT INTO users VALUES (1, 'a'), (2, 'b'); INSERT INTO notes VALUES (1)");
    database
}

// Verifies: FUN-60, FUN-62, FUN-68
#[test]
fn a_file_of_drizzle_rebuilds_a_parent() {
    let mut database = begun();
    let first = file(
        "1",
        None,
        "CREATE TABLE users(id integer PRIMARY KEY, name text NOT NULL); CREATE TABLE notes(x REFERENCES users ON DELETE CASCADE)",
    );
    let mut new = database.asks(&declared(Some("'x'")));
    new.files = vec![first, file("2", Some("1"), REBUILT)];
    let made = database.deploy(&new).unwrap();
    assert_eq!(made.deployed.applied, ["2"]);
    assert!(made.backup.is_some());
    assert_eq!(database.one::<i64>("SELECT count(*) FROM notes"), 1);
    let history: String = database.one("SELECT group_concat(id || kind) FROM _ferry_migrations");
    assert_eq!(history, "1file,2file");
}

// Verifies: FUN-63, FUN-68
#[test]
fn what_a_file_may_not_do_is_told_with_its_statement() {
    let mut database = begun();
    let first = file(
        "1",
        None,
        "CREATE TABLE users(id integer PRIMARY KEY, name text NOT NULL); CREATE TABLE notes(x REFERENCES users ON DELETE CASCADE)",
    );
    let before = database.dump();
    let mut refused = |sql: &str| {
        let mut new = database.asks(&declared(None));
        new.files = vec![first.clone(), file("2", Some("1"), sql)];
        let refused = database.deploy(&new).unwrap_err();
        assert_eq!(database.dump(), before, "{sql}");
        refused
    };
    let failed = refused("ALTER TABLE users ADD x;\n\nUPDATE users SET missing = 1;");
    assert_eq!(told(&failed), "422 2: statement 2, line 3: no such column: missing");
    let DeployRefusal::Failed(failure) = failed else { panic!("a failure") };
    assert_eq!((failure.migration.as_deref(), failure.statement), (Some("2"), Some(2)));
    assert_eq!(failure.sql.as_deref(), Some("UPDATE users SET missing = 1"));
    let unique = refused("UPDATE users SET name = 'a'; CREATE UNIQUE INDEX u ON users(name)");
    let DeployRefusal::Failed(failure) = unique else { panic!("a failure") };
    assert_eq!(failure.rows, [json!({ "id": 1, "name": "a" }), json!({ "id": 2, "name": "a" })]);
    assert!(told(&refused("DROP TABLE notes")).contains("table notes: 1 row"));
    let orphan = refused("DELETE FROM users WHERE id = 1");
    assert!(told(&orphan).contains("FOREIGN KEY constraint failed"));
    assert!(
        told(&refused(&REBUILT.replace("FROM `users`", "FROM `users` WHERE id = 1")))
            .contains("users had 2 rows and would have 1")
    );
    assert!(
        told(&refused("ALTER TABLE users ADD x"))
            .contains("do not lead to the schema that is deployed; left to do:\n  drop_column users.x")
    );
    let events = refused("CREATE TABLE events(x)");
    let taken = "422 2: statement 1, line 1: CREATE TABLE events: this is the view of the database's events";
    assert!(told(&events).starts_with(taken), "{}", told(&events));
    assert!(
        told(&refused("CREATE TRIGGER t AFTER INSERT ON users BEGIN INSERT INTO gone VALUES (1); END"))
            .contains("trigger t does not work: no such table: main.gone")
    );
}

// Verifies: FUN-60
#[test]
fn differences_of_development_become_one_file() {
    let mut database = Deployed::new();
    let new = database.asks(&declared(None));
    assert_eq!(database.deploy(&new).unwrap().deployed.applied, ["dev_dep_1"]);
    let mut new = database.asks(&declared(None));
    new.files = vec![file("1", None, "CREATE TABLE users(id integer PRIMARY KEY, name text NOT NULL)")];
    assert_eq!(database.deploy(&new).unwrap().deployed.applied, ["1"]);
    let history: String = database.one("SELECT group_concat(id || kind) FROM _ferry_migrations");
    assert_eq!(history, "dev_dep_1dev,1file");
    // From now on files are asked for.
    let mut new = database.asks(&declared(Some("'x'")));
    new.files = vec![file("1", None, "CREATE TABLE users(id integer PRIMARY KEY, name text NOT NULL)")];
    let refused = database.deploy(&new).unwrap_err();
    assert!(told(&refused).contains("run `ferry migrations`:\n  rebuild_table users"), "{refused:?}");
}

#[test]
fn what_drizzle_applied_is_the_baseline() {
    let mut database = Deployed::new();
    database.run(
        "CREATE TABLE users(id integer PRIMARY KEY, name text NOT NULL); INSERT INTO users VALUES (1, 'a');
         CREATE TABLE __drizzle_migrations(id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric);
         INSERT INTO __drizzle_migrations VALUES (1, 'h1', 1), (2, 'h2', 2);",
    );
    let mut new = database.asks(&declared(None));
    new.files = vec![file("2", Some("baseline"), "CREATE TABLE more(x)")];
    assert_eq!(database.deploy(&new).unwrap().deployed.applied, ["2"]);
    let history: String = database
        .one("SELECT group_concat(id || kind || sha256) FROM _ferry_migrations WHERE id = 'baseline'");
    assert_eq!(history, "baselinebaselineh2");
    assert_eq!(database.one::<i64>("SELECT count(*) FROM users"), 1);
}

#[test]
fn files_are_split_where_sqlite_splits_them() {
    for sql in [
        REBUILT,
        "CREATE TABLE a(x); CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; UPDATE a SET x = ';'; END; SELECT 1",
        "-- c ; \nSELECT ';' /* ; */; SELECT \";\"; ;; SELECT `;`, [;] FROM (SELECT 1 AS \";\")",
        "CREATE TEMP TABLE \"create trigger\"(x); CREATE TEMPORARY TRIGGER e AFTER DELETE ON \"create trigger\" BEGIN SELECT 1; SELECT 2; END;",
    ] {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE users(id, name)").unwrap();
        let ours = statements(sql);
        let mut theirs = Vec::new();
        let mut batch = rusqlite::Batch::new(&connection, sql);
        while let Some(mut statement) = batch.next().unwrap() {
            theirs.push(statement.expanded_sql().unwrap_or_default());
            let mut rows = statement.raw_query();
            while rows.next().is_ok_and(|row| row.is_some()) {}
        }
        assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(theirs.contains(ours.text), "{} | {theirs}", ours.text);
        }
    }
}
