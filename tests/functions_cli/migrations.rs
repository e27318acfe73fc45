//! `ferry migrations`: files written offline, and branches that are merged (FUN-60).

use ferry_testkit::command::{Output, names};
use serde_json::json;

use super::{SCHEMA, deploy::Deployed, written};

fn with(column: &str) -> String {
    SCHEMA.replace("\n});", &format!("\n  {column}: text(\"{column}\"),\n}});"))
}

fn both() -> String {
    SCHEMA.replace("\n});", "\n  a: text(\"a\"),\n  b: text(\"b\"),\n});")
}

fn files(project: &ferry_testkit::dev::DevProject) -> Vec<String> {
    names(&project.file("migrations"))
}

// Verifies: FUN-60, FUN-65
#[test]
fn files_are_written_without_a_hub() {
    let project = written();
    let ferry = project.ferry.clone().folder(project.root());
    let told = ferry.ok(&["migrations", "first steps"]);
    assert!(told.contains("_first_steps.sql"), "{told}");
    let told = ferry.ok(&["migrations"]);
    assert!(told.contains("nothing to write: 1 file leads to the schema"), "{told}");
    project.write("schema.ts", &SCHEMA.replace("text(\"title\")", "text(\"heading\")"));
    let Output { code, stderr, .. } = ferry.run(&["migrations"]);
    assert!(code == Some(6) && stderr.contains("--rename todos.title=todos.heading"), "{stderr}");
    ferry.ok(&["migrations", "--rename", "todos.title=todos.heading"]);
    let all = files(&project);
    // Files of one second are in no order by name: each names its parent.
    let [first, second] = &all[..] else { panic!("{all:?}") };
    let (first, second) = if first.contains("_first_steps") { (first, second) } else { (second, first) };
    let text = project.read(&format!("migrations/{second}"));
    assert!(text.contains(&format!("-- parent: {}", first.trim_end_matches(".sql"))), "{text}");
    assert!(text.contains("RENAME COLUMN \"title\" TO \"heading\""), "{text}");
}

// Verifies: FUN-60
#[test]
fn two_branches_stop_a_deployment_until_they_are_merged() {
    let deployed = Deployed::new();
    let project = &deployed.project;
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    deployed.run("addTodo", &json!({ "title": "kept" }));
    let first = files(project);
    // One developer adds a, another one b, both behind the same file.
    project.write("schema.ts", &with("a"));
    deployed.ok(&["migrations"]);
    let of_a: Vec<String> = files(project).into_iter().filter(|file| !first.contains(file)).collect();
    let text_of_a = project.read(&format!("migrations/{}", of_a[0]));
    std::fs::remove_file(project.file(&format!("migrations/{}", of_a[0]))).unwrap();
    project.write("schema.ts", &with("b"));
    deployed.ok(&["migrations"]);
    project.write(&format!("migrations/{}", of_a[0]), &text_of_a);
    project.write("schema.ts", &both());
    let refused = deployed.deploy(&[]);
    assert_eq!(refused.code, Some(6), "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("run ferry migrations merge"), "{}", refused.stderr);
    let told = deployed.ok(&["migrations", "merge"]);
    assert!(told.contains("moved behind the other branch"), "{told}");
    let told = deployed.ok(&["migrations", "merge"]);
    assert!(told.contains("nothing to merge"), "{told}");
    let done = deployed.deploy(&[]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let rows = deployed.run("listTodos", &json!({}));
    assert_eq!(
        (&rows[0]["title"], &rows[0]["a"], &rows[0]["b"]),
        (&json!("kept"), &json!(null), &json!(null))
    );
}

// Verifies: FUN-60
#[test]
fn a_branch_that_would_undo_the_other_one_is_written_anew() {
    let deployed = Deployed::new();
    let project = &deployed.project;
    deployed.ok(&["migrations"]);
    let first = files(project);
    project.write("schema.ts", &with("a"));
    deployed.ok(&["migrations", "a"]);
    let of_a: Vec<String> = files(project).into_iter().filter(|file| !first.contains(file)).collect();
    let text_of_a = project.read(&format!("migrations/{}", of_a[0]));
    std::fs::remove_file(project.file(&format!("migrations/{}", of_a[0]))).unwrap();
    // The other one copies the table as it knows it.
    let copied = SCHEMA.replace("text(\"title\").notNull()", "text(\"title\").notNull().default(\"x\")");
    project.write("schema.ts", &copied);
    deployed.ok(&["migrations", "copied"]);
    project.write(&format!("migrations/{}", of_a[0]), &text_of_a);
    project.write("schema.ts", &copied.replace("\n});", "\n  a: text(\"a\"),\n});"));
    let first = of_a[0].trim_end_matches(".sql");
    let told = deployed.ok(&["migrations", "merge", "--first", first]);
    assert!(told.contains("removed: ") && told.contains("written, in place of"), "{told}");
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    assert_eq!(files(project).len(), 3);
}
