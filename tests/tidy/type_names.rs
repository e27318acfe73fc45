//! Rules over the names of types.

use std::collections::BTreeMap;

use super::{Text, report, texts};

/// Names that several types may have, each with its reason.
const SHARED: &[(&str, &str)] = &[
    ("ConnectionGuard", "the hub's alias: that of `crates/database`, over the hub's own models"),
    ("Database", "the hub's alias: that of `crates/database`, over the hub's own models"),
    ("Databases", "the hub's alias: that of `crates/database`, over the hub's own models"),
    ("Error", "the error of a crate, where it has one: written with the crate's name outside of it"),
    (
        "Replica",
        "a client's copy that follows a hub, and a hub's database that clients push: the specification's word for both",
    ),
    ("Result", "the alias that goes with a crate's error"),
];

/// Whose types are not asked about: the command line has one `Args` or `Command` per file of a command, which nothing
/// but its own file and the grammar names; helpers of tests imitate what they test.
const LEFT_OUT: [&str; 2] = ["crates/cli/src/commands/", "crates/testkit/"];

/// Two types of one name in two modules make every reader ask which one is meant.
#[test]
fn a_type_name_has_one_meaning() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let asked = |file: &&Text| {
        file.path.starts_with("crates/") && !LEFT_OUT.iter().any(|folder| file.path.starts_with(folder))
    };
    for file in texts().iter().filter(|file| file.is_rust()).filter(asked) {
        for (number, _, code) in file.code().filter(|(_, in_tests, _)| !in_tests) {
            if let Some(name) = visible_type(code) {
                found.entry(name.to_owned()).or_default().push(format!("{}:{number}", file.path));
            }
        }
    }
    let is_shared = |name: &str| SHARED.iter().any(|(shared, reason)| *shared == name && !reason.is_empty());
    let mut findings: Vec<String> = found
        .iter()
        .filter(|(name, lines)| lines.len() > 1 && !is_shared(name))
        .map(|(name, lines)| format!("{name}: {}", lines.join(", ")))
        .collect();
    for name in SHARED.iter().map(|(name, _)| name) {
        if found.get(*name).is_none_or(|lines| lines.len() < 2) {
            findings.push(format!("{name}: has one meaning, take it off the list"));
        }
    }
    report("types of one name: give each its own, or list the name in SHARED with the reason", &findings);
}

/// The type that a line declares, if other files can name it.
fn visible_type(code: &str) -> Option<&str> {
    let declared = code
        .strip_prefix("pub ")
        .or_else(|| code.strip_prefix("pub(")?.split_once(") ").map(|(_, rest)| rest))?;
    let (kind, rest) = declared.split_once(' ')?;
    if !["struct", "enum", "trait", "type", "union"].contains(&kind) {
        return None;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

#[test]
fn declarations_of_types_are_found() {
    for (code, name) in [
        ("pub struct Seq(u64);", Some("Seq")),
        ("pub(crate) enum Kind {", Some("Kind")),
        ("pub(super) type Bytes<'a> = &'a [u8];", Some("Bytes")),
        ("struct Private;", None),
        ("    pub struct Inner;", None),
        ("pub fn structure() {", None),
    ] {
        assert_eq!(visible_type(code), name, "{code}");
    }
}
