//! Rules over `tests/requirements.txt`, the list of requirement IDs, and the `// Verifies:` comments of the tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Text, report, texts};

/// Whether a requirement is offered by this version.
#[derive(PartialEq)]
enum Scope {
    /// A test must verify it.
    Now,
    /// Not offered yet.
    Later,
}

fn listed() -> BTreeMap<String, Scope> {
    let list = include_str!("../requirements.txt");
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let id = words.next().unwrap_or("").to_owned();
            assert!(is_id(&id), "tests/requirements.txt: {line:?} does not begin with an ID such as PAG-04");
            let scope = match words.next() {
                Some("now") => Scope::Now,
                Some("later") => Scope::Later,
                _ => panic!("tests/requirements.txt: {line:?} says neither now nor later"),
            };
            (id, scope)
        })
        .collect()
}

/// Two or three capitals, a dash, two digits.
fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(area, number)| {
        (2..=3).contains(&area.len())
            && area.bytes().all(|b| b.is_ascii_uppercase())
            && number.len() == 2
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Where each ID is cited.
fn cited() -> BTreeMap<String, Vec<String>> {
    let marker = concat!("// Veri", "fies: ");
    let mut cited: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let cites = |file: &&Text| {
        let in_node = ["tests/livestore/", "tests/oidc/"].iter().any(|folder| file.path.starts_with(folder));
        file.is_rust() || file.is_typescript_test() || in_node
    };
    for file in texts().iter().filter(cites) {
        for (place, line) in file.content.lines().enumerate() {
            let Some((_, ids)) = line.split_once(marker) else { continue };
            for id in ids.split([',', ' ']).filter(|word| !word.is_empty()) {
                cited.entry(id.to_owned()).or_default().push(format!("{}:{}", file.path, place + 1));
            }
        }
    }
    cited
}

#[test]
fn every_cited_requirement_exists() {
    let listed = listed();
    let unknown: Vec<String> = cited()
        .into_iter()
        .filter(|(id, _)| !listed.contains_key(id))
        .map(|(id, places)| format!("{id}: {}", places.join(", ")))
        .collect();
    report("tests cite requirements that tests/requirements.txt does not list", &unknown);
}

#[test]
fn every_requirement_in_scope_has_a_test() {
    let cited: BTreeSet<String> = cited().into_keys().collect();
    let missing: Vec<String> = listed()
        .into_iter()
        .filter(|(id, scope)| *scope == Scope::Now && !cited.contains(id))
        .map(|(id, _)| id)
        .collect();
    report("requirements in scope that no test verifies", &missing);
}
