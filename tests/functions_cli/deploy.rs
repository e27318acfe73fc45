//! `ferry deploy` to a real second hub (acceptance scenario 13), and what looks at it afterwards.

use std::fs;

use ferry_testkit::{command::Ferry, dev::DevProject, http};
use serde_json::{Value, json};

use super::{SCHEMA, written};
use crate::support::{FERRY, Place};

/// A project, and a hub with a database for it.
pub(super) struct Deployed {
    pub(super) project: DevProject,
    pub(super) place: Place,
    ferry: Ferry,
}

impl Deployed {
    pub(super) fn new() -> Self {
        let (project, place) = (written(), Place::new());
        let ferry = Ferry::new(FERRY, &format!("http://{}", place.hub.address()));
        let ferry = ferry.env("FERRY_TOKEN", &place.user.token).folder(project.root());
        Self { project, place, ferry }
    }

    /// Deploys with these arguments.
    pub(super) fn deploy(&self, arguments: &[&str]) -> ferry_testkit::command::Output {
        self.ferry.run(&[&["deploy", "--database", "app"], arguments].concat())
    }

    #[track_caller]
    pub(super) fn ok(&self, arguments: &[&str]) -> String {
        self.ferry.ok(arguments)
    }

    #[track_caller]
    pub(super) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        self.ferry.fails(code, arguments)
    }

    pub(super) fn output(&self, arguments: &[&str]) -> ferry_testkit::command::Output {
        self.ferry.run(arguments)
    }

    pub(super) fn spawn(&self, arguments: &[&str]) -> std::process::Child {
        self.ferry.spawn(arguments)
    }

    pub(super) fn run(&self, function: &str, args: &Value) -> Value {
        let text = self.ok(&["run", function, &args.to_string(), "--database", "app"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The migration files.
    pub(super) fn files(&self) -> Vec<String> {
        let folder = self.project.file("migrations");
        if folder.exists() { ferry_testkit::command::names(&folder) } else { Vec::new() }
    }
}

// Verifies: FUN-60, FUN-65, FUN-72, CLI-01
#[test]
fn a_project_is_deployed_and_changed_with_migration_files() {
    let deployed = Deployed::new();
    let first = deployed.deploy(&[]);
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);
    assert!(first.stdout.contains("written: ferry/migrations/") && first.stdout.contains("3 functions"));
    let files = deployed.files();
    assert!(files.len() == 1 && files[0].ends_with("_create_todos.sql"), "{files:?}");
    let text = deployed.project.read(&format!("migrations/{}", files[0]));
    assert!(text.contains("-- parent: none") && text.contains("CREATE TABLE"), "{text}");
    assert_eq!(deployed.run("addTodo", &json!({ "title": "kept" }))["title"], "kept");
    // The same again writes nothing.
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    assert_eq!(deployed.files().len(), 1);
    // A name that changes is a question; without a terminal it ends with 6, and nothing is written.
    let renamed = SCHEMA.replace("title: text(\"title\")", "title: text(\"heading\")");
    deployed.project.write("schema.ts", &renamed);
    let asked = deployed.deploy(&[]);
    assert_eq!(asked.code, Some(6), "{}{}", asked.stdout, asked.stderr);
    assert!(asked.stderr.contains("--rename todos.title=todos.heading"), "{}", asked.stderr);
    assert!(asked.stderr.contains("--drop todos.title"), "{}", asked.stderr);
    let as_json = deployed.deploy(&["--json"]);
    let told: Value = serde_json::from_str(&as_json.stderr).unwrap();
    assert!(told["error"]["message"].as_str().unwrap().contains("--rename"), "{told}");
    assert_eq!(deployed.files().len(), 1);
    // On a copy nothing is changed either.
    let dry = deployed.deploy(&["--rename", "todos.title=todos.heading", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert!(dry.stdout.contains("nothing is changed"), "{}", dry.stdout);
    assert_eq!(deployed.files().len(), 1);
    let done = deployed.deploy(&["--rename", "todos.title=todos.heading", "--json"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let done: Value = serde_json::from_str(&done.stdout).unwrap();
    let file = format!("migrations/{}.sql", done["migration"].as_str().unwrap());
    assert!(
        deployed.project.read(&file).contains("\"todos.title\":\"todos.heading\""),
        "the answer is recorded"
    );
    assert_eq!(deployed.run("listTodos", &json!({}))[0]["title"], "kept");
}

// Verifies: FUN-63, FUN-64, FUN-67
#[test]
fn what_would_lose_rows_ends_with_six_and_a_backup_is_made_before_it_is_done() {
    let deployed = Deployed::new();
    deployed.project.write("schema.ts", &SCHEMA.replace("\n});", "\n  note: text(\"note\"),\n});"));
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    deployed.ok(&["run", "addTodo", r#"{"title":"one"}"#, "--database", "app"]);
    // A required column needs a value for the row that is there.
    let required =
        SCHEMA.replace("\n});", "\n  note: text(\"note\"),\n  rank: integer(\"rank\").notNull(),\n});");
    deployed.project.write("schema.ts", &required);
    let asked = deployed.deploy(&[]);
    assert!(asked.code == Some(6) && asked.stderr.contains("--backfill todos.rank="), "{}", asked.stderr);
    let done = deployed.deploy(&["--backfill", "todos.rank=7"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("backup of before: "), "{}", done.stdout);
    // A table that goes.
    let other = SCHEMA
        .replace("todos = table(\"todos\"", "todos = table(\"other\"")
        .replace("title: text", "name: text");
    deployed.project.write(
        "schema.ts",
        &other.replace("integer(\"id\")", "text(\"key\")").replace("{ autoIncrement: true }", ""),
    );
    let dropped = deployed.deploy(&["--drop", "todos"]);
    assert_eq!(dropped.code, Some(6), "{}{}", dropped.stdout, dropped.stderr);
    assert!(
        dropped.stderr.contains("--allow-destructive") && dropped.stderr.contains("1 row"),
        "{}",
        dropped.stderr
    );
    let done = deployed.deploy(&["--allow-destructive"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let backup =
        done.stdout.split("backup of before: ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let info = deployed.ok(&["info", "--database", "app"]);
    assert!(info.contains(&backup) && info.contains("function    addTodo (mutation)"), "{info}");
    let restored = deployed.ok(&["migrations", "restore", &backup, "--database", "app"]);
    assert!(restored.contains("restored"), "{restored}");
    let rows = deployed.run("listTodos", &json!({}));
    assert_eq!((&rows[0]["title"], &rows[0]["rank"]), (&json!("one"), &json!(7)));
    let missing = deployed.fails(5, &["migrations", "restore", "nothing", "--database", "app"]);
    assert!(missing.contains("nothing"), "{missing}");
}

// Verifies: FUN-60, FUN-80
#[test]
fn collections_need_no_file() {
    let deployed = Deployed::new();
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    let shown = "import { collection, integer, table, text } from \"@ferry/server/schema\";\n\
        export const tasks = collection(\"tasks\", { app: \"todo\", title: text(\"title\") });\n";
    deployed.project.write(
        "schema.ts",
        &format!(
            "{shown}{}",
            SCHEMA.replace("import { integer, table, text } from \"@ferry/server/schema\";", "")
        ),
    );
    let done = deployed.deploy(&[]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert_eq!(deployed.files().len(), 1);
    // Nor do they stand in the way of the next one.
    deployed.project.write(
        "schema.ts",
        &deployed.project.read("schema.ts").replace("\n});", "\n  note: text(\"note\"),\n});"),
    );
    let done = deployed.deploy(&[]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert_eq!(deployed.files().len(), 2);
}

// Verifies: FUN-68, FUN-72
#[test]
fn a_file_that_fails_is_told_with_its_statement() {
    let deployed = Deployed::new();
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    let first = deployed.files()[0].trim_end_matches(".sql").to_owned();
    let wrong = format!("-- parent: {first}\n\nUPDATE todos\n  SET titel = 'x';\n");
    deployed.project.write("migrations/29990101T000000_00000000_wrong.sql", &wrong);
    let told = deployed.deploy(&[]);
    assert_eq!(told.code, Some(9), "{}{}", told.stdout, told.stderr);
    assert!(told.stderr.contains("line 3") && told.stderr.contains("titel"), "{}", told.stderr);
}

// Verifies: FUN-73
#[test]
fn types_are_fetched_from_a_hub_without_the_sources() {
    let deployed = Deployed::new();
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    let elsewhere = Ferry::new(FERRY, "");
    let key = crate::functions::key(&deployed.place);
    let url = format!("http://{}", deployed.place.hub.address());
    let told = elsewhere.ok(&["codegen", "--server", &url, "--key", &key, "--dir", "src/api"]);
    assert!(told.contains("npm install ./src/api/packages/ferry-client-"), "{told}");
    let types = fs::read_to_string(elsewhere.file("src/api/.generated/api.d.ts")).unwrap();
    assert!(types.contains("addTodo") && types.contains("interface Register"), "{types}");
    let client = fs::read_to_string(elsewhere.file("src/api/client.ts")).unwrap();
    assert!(client.contains(&url) && client.contains(&key), "{client}");
    assert!(!elsewhere.file("src/api/schema.ts").exists());
    let wrong = elsewhere.run(&["codegen", "--server", &url, "--key", "fy_pk_wrong"]);
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
    let rpc = http::send(deployed.place.hub.address(), "POST", "/rpc/version", &[("Ferry-Key", &key)], b"{}");
    assert_eq!(rpc.unwrap().json()["data"], 1);
}
