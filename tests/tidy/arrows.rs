//! Rules over who uses whom inside a crate. Between crates Cargo keeps the arrows straight; inside one nothing would.
//!
//! What a file uses is read from its `use` lines and its paths that begin with `crate`, `super` or `self`, followed through
//! re-exports to the file that has the item, as far as names are not made by macros. Test modules are left out: they may reach for anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Text, report, texts};

/// The rooms of the hub from the bottom up. A file uses what stands on a lower line, or in its own room. What the list of
/// models names (`hub/models.rs`) is no arrow: by that list alone lower rooms hold what models keep.
const HUB: &[&[&str]] = &[
    &[
        "api_document",
        "clock",
        "descriptors",
        "fanout",
        "mail",
        "memory",
        "metric_help",
        "models",
        "monotonic",
        "process_metrics",
        "rights_end",
        "series",
        "written_page",
    ],
    &["rights"],
    &["config"],
    &["doctor"],
    &["data_dir", "static_files", "tls", "traces"],
    &["http"],
    &["listener"],
    &["database"],
    &["connections", "console", "database_host", "lineage"],
    &["hub"],
    &["entry", "shell"],
    &["events", "oauth", "ops", "pages", "records"],
    &["functions"],
    &["backup"],
    &["rpc"],
    &["shells"],
    &["dashboard", "health", "openapi", "reach"],
    &["routes"],
    &["server"],
];

/// A path as written: `crate::a::{b, c as d}` is two of them.
type Path = Vec<String>;

/// A module of a crate: the names from its root.
type Module = Vec<String>;

/// One file of a crate, and what it names.
#[derive(Default)]
struct Source {
    /// Paths of the checkout.
    file: String,
    /// What it uses.
    uses: Vec<Path>,
    /// What it passes on under a name of its own.
    exports: BTreeMap<String, Path>,
}

/// The files of a crate by their modules.
struct Crate(BTreeMap<Module, Source>);

impl Crate {
    /// The crate in this folder; none if it has no sources.
    fn of(folder: &str, texts: &[Text]) -> Self {
        let root = format!("{folder}/src/");
        let sources = texts.iter().filter(|text| text.is_rust() && !text.is_for_tests());
        let sources = sources.filter_map(|text| {
            let below = text.path.strip_prefix(&root)?.strip_suffix(".rs")?;
            let mut module: Module = below.split('/').map(str::to_owned).collect();
            module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
            Some((module, Source::of(text)))
        });
        Self(sources.collect())
    }

    /// The file that has what `from` calls `path`, if it is of this crate.
    fn home(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Module::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            _ => {
                let child = [from.as_slice(), &path[..1]].concat();
                self.0.contains_key(&child).then_some(child)?
            }
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                module.pop()?;
            } else {
                let child = [module.as_slice(), &rest[..1]].concat();
                if !self.0.contains_key(&child) {
                    break;
                }
                module = child;
            }
            rest = after;
        }
        let source = self.0.get(&module)?;
        // A name that is passed on from elsewhere; a circle of such names would be no program.
        let passed_on = rest.first().and_then(|name| source.exports.get(name)).filter(|_| depth < 8);
        passed_on.and_then(|path| self.home(&module, path, depth + 1)).or(Some(module))
    }

    /// Which files each file uses, but for a file and the modules inside its own: those belong together.
    fn arrows(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let arrows = self.0.iter().map(|(module, source)| {
            let homes = source.uses.iter().filter_map(|path| self.home(module, path, 0));
            let apart = |other: &Module| !other.starts_with(module) && !module.starts_with(other);
            (module, homes.filter(apart).collect())
        });
        arrows.collect()
    }

    fn file(&self, module: &Module) -> &str {
        &self.0[module].file
    }
}

impl Source {
    fn of(text: &Text) -> Self {
        let code: Vec<&str> =
            text.code().filter(|(_, in_tests, _)| !in_tests).map(|(_, _, code)| code).collect();
        let mut source = Self { file: text.path.clone(), ..Self::default() };
        let mut rest = String::new();
        let mut lines = code.into_iter();
        while let Some(line) = lines.next() {
            let Some(is_public) = use_line(line) else {
                rest.push_str(line);
                rest.push('\n');
                continue;
            };
            let mut whole = line.to_owned();
            while !whole.contains(';') {
                whole.push_str(lines.next().expect("BUG: every use ends"));
            }
            let tree = whole.split_once("use ").expect("BUG: it is a use").1;
            let paths = tree_paths(tree.split(';').next().unwrap_or(""));
            for (path, name) in paths {
                if is_public {
                    source.exports.insert(name, path.clone());
                }
                source.uses.push(path);
            }
        }
        source.uses.extend(inline_paths(&rest));
        source
    }
}

/// Whether a line begins a `use`, and one that others see.
fn use_line(line: &str) -> Option<bool> {
    let line = line.trim_start();
    if line.starts_with("use ") {
        return Some(false);
    }
    let after = line.strip_prefix("pub")?;
    let after =
        after.strip_prefix('(').map_or(after, |scope| scope.split_once(')').map_or("", |(_, after)| after));
    after.trim_start().starts_with("use ").then_some(true)
}

/// The paths of a `use`, each with the name that it gives.
fn tree_paths(tree: &str) -> Vec<(Path, String)> {
    let tree = tree.trim();
    let Some((prefix, list)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let mut path: Path = path.split("::").map(|part| part.trim().to_owned()).collect();
        let own = path.last().cloned().unwrap_or_default();
        if own == "self" {
            path.pop();
        }
        let last = path.last().cloned().unwrap_or_default();
        return vec![(path, name.map_or(last, |name| name.trim().to_owned()))];
    };
    let list = &list[..list.rfind('}').unwrap_or(list.len())];
    let mut depth = 0;
    let items = list.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    let items = items.filter(|item| !item.trim().is_empty());
    items.flat_map(|item| tree_paths(&format!("{}{}", prefix.trim(), item.trim()))).collect()
}

/// Paths in code that begin at the crate or at the module itself.
fn inline_paths(code: &str) -> Vec<Path> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let words = code.split(|c: char| !is_name(c) && c != ':');
    words
        .filter(|word| ["crate::", "super::", "self::"].iter().any(|start| word.starts_with(start)))
        .map(|word| word.split("::").map(str::to_owned).filter(|part| !part.is_empty()).collect())
        .collect()
}

/// The folders of all crates.
fn crates(texts: &[Text]) -> BTreeSet<String> {
    let manifests = texts.iter().filter_map(|text| text.path.strip_suffix("/Cargo.toml"));
    manifests.map(str::to_owned).collect()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let texts = texts();
    let mut findings = Vec::new();
    for folder in crates(&texts) {
        let sources = Crate::of(&folder, &texts);
        let arrows = sources.arrows();
        for circle in circles(&arrows) {
            let files: Vec<&str> = circle.iter().map(|module| sources.file(module)).collect();
            findings.push(files.join(" → "));
        }
    }
    report(
        "files that use each other in a circle: move what both need into a file of its own (a mod.rs and the files below \
         it may use each other)",
        &findings,
    );
}

/// A shortest circle through each file that stands in one, each circle once.
fn circles(arrows: &BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<Vec<Module>> {
    let mut found = BTreeSet::new();
    for start in arrows.keys() {
        // Breadth first, so that the way back is as short as can be.
        let mut ways: Vec<Vec<Module>> = vec![vec![(*start).clone()]];
        let mut seen: BTreeSet<Module> = BTreeSet::new();
        'search: while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let last = way.last().expect("BUG: a way has a start");
                for next in arrows.get(last).into_iter().flatten() {
                    if next == *start {
                        let smallest = (0..way.len()).min_by_key(|at| &way[*at]).unwrap_or(0);
                        let mut circle = way.clone();
                        circle.rotate_left(smallest);
                        found.insert(circle);
                        break 'search;
                    }
                    if seen.insert(next.clone()) {
                        longer.push([way.as_slice(), std::slice::from_ref(next)].concat());
                    }
                }
            }
            ways = longer;
        }
    }
    found
}

#[test]
fn no_arrow_of_the_hub_runs_up() {
    let texts = texts();
    let hub = Crate::of("crates/hub", &texts);
    let level = |room: &str| HUB.iter().position(|rooms| rooms.contains(&room));
    let mut findings = Vec::new();
    let rooms: BTreeSet<&str> =
        hub.0.keys().filter_map(|module| module.first()).map(String::as_str).collect();
    for room in &rooms {
        if level(room).is_none() {
            findings.push(format!("{room}: stands on no line of HUB in tests/tidy/arrows.rs"));
        }
    }
    for (module, used) in hub.arrows() {
        // The root of the crate declares the rooms.
        let Some(room) = module.first() else { continue };
        for other in used {
            let Some(below) = other.first().filter(|other| *other != room) else { continue };
            if level(below) >= level(room) {
                findings.push(format!("{} uses {}", hub.file(module), hub.file(&other)));
            }
        }
    }
    report(
        "arrows that run up, or across: who is used stands below (HUB in tests/tidy/arrows.rs)",
        &findings,
    );
}

#[test]
fn paths_are_followed_through_re_exports() {
    let text = |path: &str, content: &str| Text { path: path.to_owned(), content: content.to_owned() };
    let texts = [
        text("c/src/lib.rs", "mod a;\nmod b;\n"),
        text("c/src/a/mod.rs", "mod inner;\npub(crate) use inner::{Item, Other as Another};\n"),
        text("c/src/a/inner.rs", "use super::Item;\nfn f() { crate::b::g() }\n"),
        text("c/src/b.rs", "use crate::{\n    a::{self, Another},\n};\n#[cfg(test)]\nuse crate::a::inner;\n"),
    ];
    let sources = Crate::of("c", &texts);
    let arrows = sources.arrows();
    let module = |path: &str| -> Module { path.split("::").map(str::to_owned).collect() };
    assert_eq!(arrows[&module("b")], BTreeSet::from([module("a"), module("a::inner")]));
    assert_eq!(arrows[&module("a::inner")], BTreeSet::from([module("b")]));
    assert_eq!(circles(&arrows), BTreeSet::from([vec![module("a::inner"), module("b")]]));
}
