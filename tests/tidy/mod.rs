//! Checks of the sources' text and of the dependency tree.

mod arrows;
mod manifests;
mod requirements;
mod sources;
mod spdx;
mod type_names;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One text file of the checkout.
struct Text {
    /// Path from the root of the checkout, with `/`.
    path: String,
    content: String,
}

/// Names that hold no text of ours; in a second work tree `.git` is a file.
const SKIPPED: [&str; 7] =
    ["target", ".git", "node_modules", "dist", "ferry-data", ".ferry-dev", "proptest-regressions"];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::canonicalize(&root).expect("the workspace stands two folders above crates/cli")
}

/// Every text file of the checkout but the lock file, sorted by path.
fn texts() -> Vec<Text> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout is readable") {
            let entry = entry.expect("a folder of the checkout is readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("the file has a type");
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && name != "Cargo.lock" {
                // Binary files are not text to check.
                if let Ok(content) = fs::read_to_string(entry.path()) {
                    let path = entry.path();
                    let path = path.strip_prefix(&root).expect("BUG: the walk stays below the root");
                    found.push(Text { path: path.to_string_lossy().replace('\\', "/"), content });
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file holds tests in TypeScript.
    fn is_typescript_test(&self) -> bool {
        self.path.ends_with(".test.ts")
    }

    /// Whether the whole file serves tests or benchmarks.
    fn is_for_tests(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.starts_with("bench/")
            || self.path.starts_with("crates/testkit/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
    }

    /// Lines of code with their number from 1 and whether they belong to tests; what stands behind `//` is cut.
    /// Test modules stand last in their file.
    fn code(&self) -> impl Iterator<Item = (usize, bool, &str)> {
        let mut in_tests = self.is_for_tests();
        self.content.lines().enumerate().map(move |(place, line)| {
            in_tests |= line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
            (place + 1, in_tests, line.split("//").next().unwrap_or(""))
        })
    }
}

/// Fails with one line per finding.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}
