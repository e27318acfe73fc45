//! Links between pages lead somewhere, and the book has all pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use crate::packaging::{run, tool};

/// What stands before the path of a file that is in the checkout, and in no book.
const REPOSITORY: &str = "https://github.com/ferry-sync/ferry/blob/main/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// Every page that readers are led to, by its path in the checkout.
fn pages() -> BTreeMap<String, String> {
    let mut names: Vec<String> = fs::read_dir(root())
        .expect("the checkout is readable")
        .map(|entry| entry.expect("the checkout is readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".md"))
        .collect();
    for folder in ["docs", "docs/functions"] {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        let names_there = entries.map(|entry| entry.expect("the folder is readable").file_name());
        names.extend(names_there.map(|name| format!("{folder}/{}", name.to_string_lossy())));
    }
    let pages = names.into_iter().filter(|name| name.ends_with(".md"));
    pages.map(|name| (name.clone(), fs::read_to_string(root().join(&name)).expect("a page"))).collect()
}

/// Where the links of a page lead, code left out.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2).flat_map(|text| text.split('`').step_by(2));
    let targets = prose.flat_map(|text| text.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets.collect()
}

/// A heading's name in links: lower case, blanks as dashes, nothing else but letters and digits.
fn anchor(heading: &str) -> String {
    let plain = heading.trim().to_lowercase().replace(' ', "-");
    plain.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// `path` without `.` and `..`; nothing if it leads out.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if plain.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(plain)
}

// Verifies: OPR-76
#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut findings = Vec::new();
    let mut count = 0;
    for (name, text) in &pages {
        for link in links(text) {
            let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
            let (path, fragment) = match link.strip_prefix(REPOSITORY) {
                Some(path) => (Path::new(path).to_owned(), None),
                None if is_elsewhere => continue,
                None => {
                    let (path, fragment) =
                        link.split_once('#').map_or((link, None), |(path, end)| (path, Some(end)));
                    let folder = Path::new(name).parent().expect("a page lies in a folder");
                    let path = if path.is_empty() { Path::new(name).to_owned() } else { folder.join(path) };
                    (path, fragment)
                }
            };
            count += 1;
            let Some(path) = normal(&path).filter(|path| root().join(path).exists()) else {
                findings.push(format!("{name}: {link}: no such file"));
                continue;
            };
            // The book holds docs/ alone.
            if name.starts_with("docs/") && !path.starts_with("docs") && !link.starts_with(REPOSITORY) {
                findings.push(format!("{name}: {link}: write it as {REPOSITORY}{}", path.display()));
            }
            let page = path.to_str().and_then(|path| pages.get(path));
            if let (Some(fragment), Some(page)) = (fragment, page)
                && !anchors(page).contains(fragment)
            {
                findings.push(format!("{name}: {link}: no such heading"));
            }
        }
    }
    assert!(count > 60, "{count} links are few");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

// Verifies: OPR-76
#[test]
fn the_book_has_every_page_once() {
    let pages = pages();
    let mut listed: Vec<String> =
        links(&pages["docs/SUMMARY.md"]).into_iter().map(|link| format!("docs/{link}")).collect();
    listed.sort();
    let there: Vec<&String> =
        pages.keys().filter(|name| name.starts_with("docs/") && *name != "docs/SUMMARY.md").collect();
    assert_eq!(listed.iter().collect::<Vec<_>>(), there);
    for page in listed {
        assert!(pages[&page].starts_with("# "), "{page} begins with its title");
    }
}

// Verifies: OPR-76
#[test]
fn the_book_is_made_without_a_warning() {
    let Some(mdbook) = tool("MDBOOK_BIN", "mdbook") else { return };
    let book = tempfile::tempdir().unwrap();
    let told =
        run(Command::new(mdbook).args(["build", "--dest-dir"]).arg(book.path()).arg(root().join("docs")));
    assert!(!told.contains("WARN") && !told.contains("ERROR"), "{told}");
    for page in ["index.html", "watch.html", "functions/tutorial.html"] {
        assert!(book.path().join(page).is_file(), "{page} is missing");
    }
}
