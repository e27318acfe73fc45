//! What a deployment does to rows, in single steps.

use ferry_core::functions::deploy::{DeployRefusal, collections};
use ferry_sqlite::{
    NativeSql, backups,
    deploy::{DeployOutcome, deploy_on_copy, deploy_on_empty, plan_on_empty},
};
use serde_json::{Value as Json, json};

use super::database::{Deployed, column, rows, schema, told};

fn users(columns: Json) -> Json {
    let mut all = vec![column("id", "integer", json!({ "primaryKey": true, "autoincrement": true }))];
    all.extend(columns.as_array().unwrap().clone());
    json!({ "name": "users", "columns": all })
}

fn posts() -> Json {
    json!({ "name": "posts", "columns": [column("id", "integer", json!({ "primaryKey": true })), column("user_id", "integer", json!({}))],
        "foreignKeys": [{ "columns": ["user_id"], "foreignTable": "users", "foreignColumns": ["id"], "onDelete": "cascade" }] })
}

/// Users with posts, and a trigger and a view that no schema names.
fn filled() -> Deployed {
    let mut database = Deployed::new();
    let first = schema(json!([users(json!([column("name", "text", json!({}))])), posts()]));
    database.deploy_with(&first, json!({}), false).unwrap();
    database.run(
        "INSERT INTO users(id, name) VALUES (7, 'ada'), (1108, 'grace'); DELETE FROM users WHERE id = 1108;
         INSERT INTO users(id, name) VALUES (9, NULL); INSERT INTO posts VALUES (1, 7);",
    );
    database
}

// Verifies: FUN-62
#[test]
fn rebuilding_a_parent_keeps_its_children_and_its_numbers() {
    let mut database = filled();
    let named = column("name", "text", json!({ "notNull": true, "default": "'nobody'" }));
    let next = schema(json!([users(json!([named])), posts()]));
    let refused = database.deploy_with(&next, json!({}), false).unwrap_err();
    assert!(
        told(&refused).contains("users.name: 1 rows; give it a default, or --backfill users.name=<json>")
    );
    let hints = json!({ "backfills": { "users.name": "nobody" } });
    let made = database.deploy_with(&next, hints, false).unwrap();
    assert_eq!(database.one::<i64>("SELECT count(*) FROM posts"), 1);
    assert_eq!(database.one::<String>("SELECT name FROM users WHERE id = 9"), "nobody");
    // Numbers that were given are not given again.
    database.run("INSERT INTO users(name) VALUES ('new')");
    assert_eq!(database.one::<i64>("SELECT max(id) FROM users"), 1109);
    database.run("DELETE FROM users WHERE id = 7");
    assert_eq!(database.one::<i64>("SELECT count(*) FROM posts"), 0, "the foreign key acts");
    // A backup was made before, and is the database as it was.
    let folder = backups::folder_of(database.dir.path());
    let name = made.backup.unwrap();
    assert_eq!(backups::list(&folder).unwrap()[0].name, name);
    let copy = rusqlite::Connection::open(folder.join(name)).unwrap();
    assert_eq!(
        rows(&copy, "SELECT id, name FROM users"),
        "  Integer(7), Text([97, 100, 97])\n  Integer(9), Null\n"
    );
}

// Verifies: FUN-62
#[test]
fn triggers_views_and_indexes_that_no_schema_names_outlive_a_rebuild() {
    let mut database = filled();
    database.run(
        "CREATE TABLE log(text); CREATE TRIGGER noted AFTER INSERT ON users BEGIN INSERT INTO log VALUES (NEW.name); END;
         CREATE VIEW names AS SELECT name AS who FROM users; CREATE INDEX by_name ON users(name) WHERE name > 'a';
         CREATE TRIGGER through INSTEAD OF INSERT ON names BEGIN INSERT INTO users(name) VALUES (NEW.who); END;",
    );
    let mut new = database.asks(
        &schema(json!([users(json!([column("title", "text", json!({ "default": "'x'" }))])), posts()]))
            .to_string(),
    );
    new.wanted.accepts_drift = true;
    new.wanted.hints = serde_json::from_value(json!({ "renames": { "users.name": "users.title" } })).unwrap();
    database.deploy(&new).unwrap();
    database.run("INSERT INTO names(who) VALUES ('y')");
    assert_eq!(database.one::<String>("SELECT text FROM log"), "y");
    let index: String = database.one("SELECT sql FROM sqlite_schema WHERE name = 'by_name'");
    assert!(index.contains("\"title\") WHERE \"title\" > 'a'"), "{index}");
}

// Verifies: FUN-63
#[test]
fn what_is_filled_is_dropped_only_when_that_is_allowed() {
    let mut database = filled();
    let next = schema(json!([users(json!([]))]));
    let before = database.dump();
    let refused = database.deploy_with(&next, json!({}), false).unwrap_err();
    let expected = "409 This would lose data; allow it with --allow-destructive:\n  column users.name: 1 value\n  table posts: 1 row";
    assert_eq!(told(&refused), expected);
    assert_eq!(database.dump(), before);
    let made = database.deploy_with(&next, json!({}), true).unwrap();
    assert!(made.backup.is_some());
    assert_eq!(database.one::<i64>("SELECT count(*) FROM users"), 2);
    let names = "SELECT group_concat(name) FROM pragma_table_info('users')";
    assert_eq!(database.one::<String>(names), "id");
}

// Verifies: FUN-64
#[test]
fn a_required_column_needs_a_value_for_the_rows_that_are_there() {
    let mut database = filled();
    let name = column("name", "text", json!({}));
    let next =
        schema(json!([users(json!([name, column("age", "integer", json!({ "notNull": true }))])), posts()]));
    let refused = database.deploy_with(&next, json!({}), false).unwrap_err();
    assert!(
        told(&refused).contains("  users.age: 2 rows; give it a default, or --backfill users.age=<json>")
    );
    database.deploy_with(&next, json!({ "backfills": { "users.age": 0 } }), false).unwrap();
    assert_eq!(database.one::<i64>("SELECT sum(age = 0) FROM users"), 2);
    // Of an empty table nothing is asked.
    database.run("DELETE FROM users");
    let next = schema(json!([
        users(json!([
            column("name", "text", json!({})),
            column("age", "integer", json!({ "notNull": true })),
            column("zip", "text", json!({ "notNull": true }))
        ])),
        posts()
    ]));
    database.deploy_with(&next, json!({}), false).unwrap();
}

// Verifies: FUN-65
#[test]
fn a_rename_is_asked_and_keeps_the_values() {
    let mut database = filled();
    let next = schema(json!([users(json!([column("full_name", "text", json!({}))])), posts()]));
    let refused = database.deploy_with(&next, json!({}), true).unwrap_err();
    assert!(told(&refused).contains("users.name: --rename users.name=users.full_name or --drop users.name"));
    database.deploy_with(&next, json!({ "renames": { "users.name": "users.full_name" } }), false).unwrap();
    assert_eq!(database.one::<String>("SELECT full_name FROM users WHERE id = 7"), "ada");
    // Tables too, with what refers to them.
    let mut people = users(json!([column("full_name", "text", json!({}))]));
    people["name"] = json!("people");
    let mut of_people = posts();
    of_people["foreignKeys"][0]["foreignTable"] = json!("people");
    let next = schema(json!([people, of_people]));
    let refused = database.deploy_with(&next, json!({}), true).unwrap_err();
    assert!(told(&refused).contains("users: --rename users=people or --drop users"));
    let made = database.deploy_with(&next, json!({ "renames": { "users": "people" } }), false).unwrap();
    assert_eq!(made.backup, None, "nothing is copied and nothing goes");
    database.run("DELETE FROM people WHERE id = 7");
    assert_eq!(database.one::<i64>("SELECT count(*) FROM posts"), 0);
}

// Verifies: FUN-66
#[test]
fn a_type_changes_by_decision_and_without_loss() {
    let mut database = Deployed::new();
    let with = |kind: &str| schema(json!([users(json!([column("zip", kind, json!({}))]))]));
    database.deploy_with(&with("text"), json!({}), false).unwrap();
    database.run("INSERT INTO users(zip) VALUES ('123'), ('-7'), (NULL)");
    let refused = database.deploy_with(&with("integer"), json!({}), false).unwrap_err();
    assert_eq!(told(&refused), "409 Column type changes need a decision:\n  users.zip: text → integer");
    let cast = json!({ "casts": { "users.zip": "integer" } });
    database.run("INSERT INTO users(zip) VALUES ('007')");
    let refused = database.deploy_with(&with("integer"), cast.clone(), false).unwrap_err();
    assert!(told(&refused).contains("users.zip: text → integer (1 rows would lose something)"));
    let DeployRefusal::Conflict { rows: sample, .. } = refused else { panic!("a conflict") };
    assert_eq!(sample, [json!({ "id": 4, "zip": "007" })]);
    database.run("DELETE FROM users WHERE zip = '007'");
    database.deploy_with(&with("integer"), cast, false).unwrap();
    assert_eq!(database.one::<String>("SELECT group_concat(typeof(zip)) FROM users"), "integer,integer,null");
    assert_eq!(database.one::<i64>("SELECT sum(zip) FROM users"), 116);
}

// Verifies: FUN-68
#[test]
fn a_failed_deployment_changes_nothing_and_shows_rows() {
    let mut database = filled();
    database.run("INSERT INTO users(name) VALUES ('ada')");
    let before = database.dump();
    let mut next = schema(json!([
        users(json!([column("name", "text", json!({ "unique": "users_name_unique" }))])),
        posts()
    ]));
    next["views"] = json!([{ "name": "v", "sql": "select name from users" }]);
    let refused = database.deploy_with(&next, json!({}), false).unwrap_err();
    let DeployRefusal::Failed(failure) = &refused else { panic!("{refused:?}") };
    assert_eq!(failure.message, "UNIQUE constraint failed: users.name");
    assert_eq!(failure.rows.len(), 2, "{failure:?}");
    assert!(failure.sql.as_ref().unwrap().starts_with("CREATE UNIQUE INDEX"));
    assert_eq!(database.dump(), before);
    let broken = json!({ "version": 1, "tables": next["tables"], "views": [{ "name": "v", "sql": "select x from users" }] });
    database.run("DELETE FROM users WHERE name = 'ada' AND id > 7");
    let refused = database.deploy_with(&broken, json!({}), false).unwrap_err();
    assert!(told(&refused).contains("422 view v does not work: no such column: x"), "{refused:?}");
}

// Verifies: FUN-68
#[test]
fn a_schema_that_somebody_else_changed_stops_deployments() {
    let mut database = filled();
    database.run("ALTER TABLE users ADD COLUMN x");
    let next = schema(json!([
        users(json!([column("name", "text", json!({})), column("y", "text", json!({}))])),
        posts()
    ]));
    let refused = database.deploy_with(&next, json!({}), false).unwrap_err();
    assert!(told(&refused).contains("is not the one that the last deployment left"), "{refused:?}");
    assert!(told(&refused).contains("drop_column users.x"));
    let mut new = database.asks(&next.to_string());
    (new.wanted.accepts_drift, new.wanted.base) = (true, Some("dep_0".into()));
    assert!(
        told(&database.deploy(&new).unwrap_err()).contains("you started from dep_0, and dep_1 is active")
    );
}

// Verifies: FUN-80
#[test]
fn a_collection_is_a_view_over_records() {
    let mut database = Deployed::new();
    let fields = json!([{ "name": "title", "type": "text", "index": true }, { "name": "done", "type": "boolean" },
        { "name": "tags", "type": "json" }]);
    let first =
        json!({ "version": 1, "collections": [{ "name": "tasks", "app": "todo", "fields": fields }] });
    let made = database.deploy_with(&first, json!({}), false).unwrap();
    assert!(made.deployed.applied.is_empty(), "views of collections are made anew, and are no migration");
    let found = collections(&NativeSql(database.writer.connection())).unwrap();
    assert_eq!((&*found[0].view, &*found[0].app), ("tasks", "todo"));
    database.run("INSERT INTO tasks(id, title, done, tags) VALUES ('a', 'x', 1, '[1]')");
    let intent = "SELECT owner || '|' || app || '|' || coll || '|' || fields FROM _ferry_record_intents";
    assert_eq!(database.one::<String>(intent), r#"|todo|tasks|{"title":"x","done":true,"tags":[1]}"#);
    database.run(
        r#"DELETE FROM _ferry_record_intents;
           INSERT INTO _ferry_records(owner, app, coll, id, data, meta, updated, created, cts, state)
           VALUES ('ada', 'todo', 'tasks', 'a', '{"title":"x","done":true,"more":[2]}', x'', 5000000, 0, 8, 0)"#,
    );
    let shown = "SELECT id || title || done || _owner || _updated_at || _extra FROM tasks WHERE title = 'x'";
    assert_eq!(database.one::<String>(shown), r#"ax1ada5{"more":[2]}"#);
    let plan: String = {
        let connection = database.writer.connection();
        let explain = format!("EXPLAIN QUERY PLAN {shown}");
        connection.query_row(&explain, [], |row| row.get(3)).unwrap()
    };
    assert!(plan.contains("_ferry_fn_index_tasks_title"), "{plan}");
    // The same again has nothing to do; another one is made anew; none is gone.
    assert!(database.deploy_with(&first, json!({}), false).unwrap().deployed.applied.is_empty());
    let other = json!({ "version": 1, "collections": [{ "name": "tasks", "app": "todo", "fields": [] }] });
    database.deploy_with(&other, json!({}), false).unwrap();
    assert_eq!(
        database.one::<i64>("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%ferry_fn_index%'"),
        0
    );
    database.deploy_with(&schema(json!([])), json!({}), false).unwrap();
    assert_eq!(database.one::<i64>("SELECT count(*) FROM sqlite_schema WHERE name = 'tasks'"), 0);
}

// Verifies: FUN-67
#[test]
fn a_backup_is_put_back_whole_and_seq_goes_on_rising() {
    let mut database = filled();
    let next = schema(json!([users(json!([])), posts()]));
    let made = database.deploy_with(&next, json!({}), true).unwrap();
    let (name, seq) = (made.backup.unwrap(), made.seq);
    let again = |lose_writes| {
        let restoring = backups::Restoring { name: &name, lose_writes };
        backups::restore(database.dir.path(), &restoring, |sql, _| {
            sql.0.execute_batch("CREATE TABLE prepared(x)")?;
            Ok(())
        })
    };
    let restored = again(false).unwrap();
    assert_eq!((restored.seq, restored.lost), (seq.next(), 0));
    let refused = again(false).unwrap_err().into_refusal();
    assert!(refused.message.starts_with("1 commits were made after the deployment"), "{refused}");
    assert_eq!(again(true).unwrap().lost, 1);
    let path = database.dir.path().join("main.db");
    let reader = ferry_sqlite::connection::open_reader(&path).unwrap();
    assert_eq!(rows(&reader, "SELECT name FROM users WHERE id = 7"), "  Text([97, 100, 97])\n");
    assert_eq!(
        rows(&reader, "SELECT value FROM _ferry_meta WHERE key = 'seq'"),
        format!("  Integer({})\n", seq.0 + 2)
    );
    assert_eq!(rows(&reader, "PRAGMA integrity_check"), "  Text([111, 107])\n");
    assert_eq!(rows(&reader, "SELECT count(*) FROM prepared"), "  Integer(0)\n");
    let left = std::fs::read_dir(database.dir.path().join("backups")).unwrap().count();
    assert_eq!(left, 1);
}

// Verifies: FUN-61
#[test]
fn a_dry_run_tells_what_would_happen_and_changes_nothing() {
    let mut database = filled();
    let before = database.dump();
    let folder = database.dir.path().join("backups");
    let mut new = database.asks(&schema(json!([users(json!([]))])).to_string());
    new.allow_destructive = true;
    let tried =
        deploy_on_copy(NativeSql(database.writer.connection()), &new, &folder, &mut || Ok(())).unwrap();
    let DeployOutcome::Made(made) = tried else { panic!("{tried:?}") };
    let shown: Vec<(&str, &str, u64)> =
        made.decision.steps.iter().map(|step| (step.op.as_str(), &*step.table, step.rows)).collect();
    assert_eq!(shown, [("drop_table", "posts", 1), ("drop_column", "users", 2)]);
    assert_eq!(database.dump(), before);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    new.wanted.base = None;
    assert!(matches!(deploy_on_empty(&new, &mut || Ok(())).unwrap(), DeployOutcome::Made(_)));
    assert!(plan_on_empty(&new.wanted).unwrap().unwrap().steps.len() == 1);
}
