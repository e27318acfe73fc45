//! `ferry dev`: break and mend (acceptance scenario 14).

use std::fs;

use serde_json::{Value, json};

use super::{FUNCTIONS, SCHEMA, written};

fn titles(answer: &ferry_testkit::http::Response) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let rows = json["data"].as_array().unwrap_or_else(|| panic!("{json}")).iter();
    rows.map(|row| row["title"].as_str().unwrap().to_owned()).collect()
}

fn version(dev: &ferry_testkit::dev::DevProcess) -> Value {
    let answer = dev.call("version", &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

// Verifies: FUN-71
#[test]
fn functions_are_swapped_and_the_last_good_ones_serve_on() {
    let project = written();
    let mut dev = project.dev(&[]);
    let shown = dev.shows("deployed in");
    assert!(shown.contains("create table todos") && shown.contains("3 functions"), "{shown}");
    assert_eq!(dev.call("addTodo", &json!({ "title": "one" })).status, 200);
    assert_eq!(version(&dev), 1);
    // A change of the functions.
    project.write("functions/index.ts", &FUNCTIONS.replace("=> 1)", "=> 2)"));
    let shown = dev.shows("swapped in");
    assert!(shown.contains("functions/index.ts"), "{shown}");
    assert_eq!(version(&dev), 2);
    // A mistake: told with its line, and the old ones go on.
    dev.clear_log();
    project
        .write("functions/index.ts", &format!("{FUNCTIONS}\nexport const broken = query(async () => {{ ;\n"));
    let shown = dev.shows("not swapped");
    assert!(shown.contains("functions/index.ts:") && shown.contains('^'), "{shown}");
    assert_eq!(version(&dev), 2);
    // One that throws when it is loaded.
    dev.clear_log();
    project.write("functions/index.ts", &format!("{FUNCTIONS}\nthrow new Error('at the top');\n"));
    let shown = dev.shows("not swapped");
    assert!(shown.contains("at the top") && shown.contains("throw new Error"), "{shown}");
    assert_eq!(version(&dev), 2);
    // Mended; rows are there still.
    dev.clear_log();
    project.write("functions/index.ts", &FUNCTIONS.replace("=> 1)", "=> 3)"));
    dev.shows("swapped in");
    assert_eq!(version(&dev), 3);
    assert_eq!(titles(&dev.call("listTodos", &json!({}))), ["one"]);
    assert!(project.read(".generated/api.d.ts").contains("addTodo"));
    assert_eq!(dev.interrupt(), Some(0), "{}", dev.log());
    assert!(!project.root().join(".ferry/dev.json").exists());
}

// Verifies: FUN-71
#[test]
fn files_that_are_imported_are_watched_too() {
    let project = written();
    let uses = FUNCTIONS.replace("async () => 1", "async () => number");
    project.write("lib/number.ts", "export const number = 10;\n");
    project.write("functions/index.ts", &format!("import {{ number }} from \"../lib/number\";\n{uses}"));
    let dev = project.dev(&[]);
    dev.shows("deployed in");
    assert_eq!(version(&dev), 10);
    project.write("lib/number.ts", "export const number = 11;\n");
    dev.shows("swapped in");
    assert_eq!(version(&dev), 11);
    dev.clear_log();
    fs::remove_file(project.file("lib/number.ts")).unwrap();
    let shown = dev.shows("not swapped");
    assert!(shown.contains("There is no file \"../lib/number\""), "{shown}");
    assert_eq!(version(&dev), 11);
    dev.clear_log();
    project.write("lib/number/index.ts", "export const number = 12;\n");
    dev.shows("swapped in");
    assert_eq!(version(&dev), 12);
}

// Verifies: FUN-63, FUN-64, FUN-65, FUN-71
#[test]
fn what_would_lose_rows_is_refused_with_the_flag_that_allows_it() {
    let project = written();
    let mut dev = project.dev(&[]);
    dev.shows("deployed in");
    assert_eq!(dev.call("addTodo", &json!({ "title": "kept" })).status, 200);
    let renamed = SCHEMA.replace("title: text(\"title\")", "title: text(\"heading\")");
    project.write("schema.ts", &renamed);
    let shown = dev.shows("not swapped");
    assert!(shown.contains("--rename todos.title=todos.heading"), "{shown}");
    assert_eq!(titles(&dev.call("listTodos", &json!({}))), ["kept"]);
    // What only adds is done at once.
    dev.clear_log();
    project.write("schema.ts", &SCHEMA.replace("\n});", "\n  note: text(\"note\"),\n});"));
    let shown = dev.shows("swapped in");
    assert!(shown.contains("add column todos.note"), "{shown}");
    assert_eq!(dev.interrupt(), Some(0));
    project.write("schema.ts", &renamed.replace("\n});", "\n  note: text(\"note\"),\n});"));
    let dev = project.dev(&["--rename", "todos.title=todos.heading"]);
    let shown = dev.shows("swapped in");
    assert!(shown.contains("rename column todos.title"), "{shown}");
    assert_eq!(titles(&dev.call("listTodos", &json!({}))), ["kept"]);
}

// Verifies: FUN-71
#[test]
fn a_second_one_and_a_taken_port_are_told_what_to_do() {
    let project = written();
    let dev = project.dev(&[]);
    let refused = project.ferry.fails(1, &["dev", "app", "--port", "0"]);
    let url = dev.ready["url"].as_str().unwrap();
    assert!(refused.contains("already") && refused.contains(url), "{refused}");
    let other = written();
    let port = dev.address.port().to_string();
    let refused = other.ferry.fails(1, &["dev", "app", "--port", &port]);
    assert!(refused.contains(&port) && refused.contains("--port 0"), "{refused}");
}

// Verifies: FUN-45, FUN-71
#[test]
fn what_functions_write_to_the_console_is_shown() {
    let project = written();
    let uses =
        FUNCTIONS.replace("async () => 1", "async () => { console.log('counted', 7); return missing(); }");
    project.write("functions/index.ts", &uses);
    let dev = project.dev(&[]);
    dev.shows("deployed in");
    let answer = dev.call("version", &json!({}));
    assert_eq!(answer.status, 500);
    let shown = dev.shows("functions/index.ts:6:");
    let id = answer.header("x-request-id").unwrap();
    assert!(shown.contains(&format!("info  version: counted 7  ({id})")), "{shown}");
    assert!(shown.contains("error version: ReferenceError: missing is not defined"), "{shown}");
}

// Verifies: FUN-71
#[test]
fn a_kill_amid_a_change_leaves_the_old_or_the_new_whole() {
    let project = written();
    for round in 0..4 {
        let mut dev = project.dev(&[]);
        dev.shows(if round == 0 { "deployed in" } else { "swapped in" });
        assert_eq!(dev.call("addTodo", &json!({ "title": "kept" })).status, 200);
        let column = format!("\n  c{round}: text(\"c{round}\"),\n}});");
        project.write("schema.ts", &project.read("schema.ts").replace("\n});", &column));
        // Sooner or later after the change was seen.
        ferry_testkit::wait::within(std::time::Duration::from_millis(60 + 40 * round), || None::<()>);
        dev.kill();
    }
    let dev = project.dev(&[]);
    dev.shows(" in ");
    let rows = dev.call("listTodos", &json!({})).json()["data"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 4, "{rows}");
}

// Verifies: FUN-71
#[test]
fn secrets_and_settings_reach_the_functions() {
    let project = written();
    let uses = FUNCTIONS.replace("async () => 1", "async (ctx) => ctx.env.GREETING ?? null");
    project.write("functions/index.ts", &uses);
    project.write(".env", "GREETING=hello\n");
    let dev = project.dev(&[]);
    dev.shows("deployed in");
    assert_eq!(version(&dev), "hello");
    project.write(".env", "GREETING=\n");
    dev.shows("swapped in");
    assert_eq!(version(&dev), "");
    dev.clear_log();
    project.write(".env", "nonsense\n");
    let shown = dev.shows("not swapped");
    assert!(shown.contains(".env: line 1") && !shown.contains("nonsense"), "{shown}");
    dev.clear_log();
    project.write(".env", "");
    dev.shows("swapped in");
    assert_eq!(version(&dev), Value::Null);
}
