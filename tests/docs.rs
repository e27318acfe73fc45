//! Documentation that promises to work does.

use std::path::Path;

use ferry_testkit::{command::Ferry, sample::Shape};

use crate::support::{FERRY, hub};

/// The shell blocks of a page, in order.
fn shell_blocks(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page is there");
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

// Verifies: TOK-01, TOK-12, CLI-08
#[test]
fn the_examples_of_attenuated_tokens_work() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    Shape::default().create(&ferry.file("notes.db"), 50, 1);
    Shape::default().create(&ferry.file("changed.db"), 60, 2);
    let folder = Path::new(FERRY).parent().expect("the binary lies in a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let script = format!("set -eu\n{}", shell_blocks("attenuated-tokens.md"));
    let promised: Vec<&str> =
        script.split("|| echo \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(promised.len() >= 4, "{promised:?}");
    let shell = ferry.clone().program("bash").env("PATH", &path);
    let output = shell.run(&["-c", script.as_str()]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let told: Vec<&str> = output.stdout.lines().filter(|line| line.starts_with("refused: ")).collect();
    assert_eq!(told, promised, "{output:?}");
    let sizes = ["notes.db", "copy.db", "backup.db"].map(|name| ferry.file(name).metadata().unwrap().len());
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    assert!(!ferry.file("stolen.db").exists());
}
