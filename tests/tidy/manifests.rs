//! Rules over the manifests and the dependency tree. `deny.toml` states the same policy for cargo-deny.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;

use super::{report, root, spdx};

/// Which rooms a room may use; the order is the architecture's: downwards only.
const ROOMS: &[(&str, &[&str])] = &[
    ("ferry-types", &[]),
    ("ferry-protocol", &["ferry-types"]),
    ("ferry-auth", &["ferry-types", "ferry-protocol"]),
    ("ferry-core", &["ferry-types", "ferry-protocol"]),
    ("ferry-trace", &[]),
    ("ferry-http-client", &["ferry-trace"]),
    ("ferry-sqlite", &["ferry-types", "ferry-protocol", "ferry-core"]),
    ("ferry-backup", &["ferry-types", "ferry-protocol", "ferry-core", "ferry-http-client", "ferry-sqlite"]),
    ("ferry-database", &["ferry-types", "ferry-core", "ferry-sqlite", "ferry-trace"]),
    (
        "ferry-control",
        &[
            "ferry-types",
            "ferry-protocol",
            "ferry-auth",
            "ferry-core",
            "ferry-http-client",
            "ferry-sqlite",
            "ferry-trace",
            "ferry-database",
        ],
    ),
    (
        "ferry-hub",
        &[
            "ferry-types",
            "ferry-protocol",
            "ferry-auth",
            "ferry-core",
            "ferry-http-client",
            "ferry-sqlite",
            "ferry-trace",
            "ferry-backup",
            "ferry-database",
            "ferry-functions",
            "ferry-control",
        ],
    ),
    ("ferry-functions", &["ferry-types", "ferry-core"]),
    ("ferry-client", &["ferry-types", "ferry-protocol", "ferry-core", "ferry-sqlite"]),
    (
        "ferry",
        &[
            "ferry-types",
            "ferry-protocol",
            "ferry-auth",
            "ferry-core",
            "ferry-http-client",
            "ferry-sqlite",
            "ferry-backup",
            "ferry-functions",
            "ferry-hub",
            "ferry-client",
        ],
    ),
    ("ferry-testkit", &["ferry-types", "ferry-protocol", "ferry-core", "ferry-functions"]),
    (
        "ferry-bench",
        &[
            "ferry-types",
            "ferry-protocol",
            "ferry-auth",
            "ferry-core",
            "ferry-sqlite",
            "ferry-database",
            "ferry-control",
            "ferry-hub",
            "ferry-testkit",
        ],
    ),
];

/// Licences whose terms a binary distribution of Ferry can meet.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that may stand in the tree in several versions, each with the reason; one helper for one job holds for
/// everything else.
const DUPLICATES: &[(&str, &str)] = &[
    ("base64", "0.23 of oxc's source maps beside everybody else's 0.22"),
    ("block-buffer", "sha2 0.10 (libmacaroon) beside digest 0.11 (argon2)"),
    ("cpufeatures", "sha2 0.10 (libmacaroon) beside digest 0.11 (argon2)"),
    ("crypto-common", "sha2 0.10 (libmacaroon) beside digest 0.11 (argon2)"),
    ("digest", "sha2 0.10 (libmacaroon) beside digest 0.11 (argon2)"),
    ("embedded-io", "both in one release of postcard, which oxc's tables of browsers are packed with"),
    ("foldhash", "follows hashbrown"),
    ("getrandom", "0.2 of ring and jsonwebtoken, 0.3 ours, 0.4 of libmacaroon, argon2 and tempfile"),
    ("hashbrown", "buffa, metrics-util and indexmap move at different times"),
    ("itertools", "0.15 of oxc beside prost's 0.14"),
    ("rand", "0.8 of jsonwebtoken's RSA beside tungstenite and proptest"),
    ("rand_chacha", "follows rand"),
    ("rand_core", "follows rand"),
    ("syn", "derive macros move from 2 to 3 at different times"),
    ("unicode-width", "miette of protox (build only) beside indicatif's"),
    ("zstd", "async-compression of tower-http beside ours, until both name the same one"),
    ("zstd-safe", "follows zstd"),
];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Only what this platform builds: what others need may not be on this machine.
    let version = Command::new(&cargo).arg("-vV").output().expect("cargo runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo -vV names the host");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata answers JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

fn packages(metadata: &Value) -> &Vec<Value> {
    metadata["packages"].as_array().expect("packages is a list")
}

#[test]
fn dependencies_point_downwards() {
    let metadata = metadata();
    let mut findings = Vec::new();
    let ours: Vec<&Value> =
        packages(&metadata).iter().filter(|package| package["source"].is_null()).collect();
    let names: BTreeSet<&str> = ours.iter().map(|package| text(package, "name")).collect();
    for package in ours {
        let name = text(package, "name");
        let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            findings.push(format!("{name}: a room without a place in ROOMS"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies is a list") {
            let used = text(dependency, "name");
            let is_for_tests = text(dependency, "kind") == "dev";
            if names.contains(used) && !is_for_tests && !allowed.contains(&used) {
                findings.push(format!("{name} uses {used}"));
            }
        }
    }
    report("rooms may only use the rooms below them", &findings);
}

#[test]
fn every_version_stands_in_the_workspace() {
    let mut findings = Vec::new();
    let manifest: toml::Table = read_manifest("Cargo.toml");
    let shared =
        manifest["workspace"]["dependencies"].as_table().expect("[workspace.dependencies] is a table");
    let mut used = BTreeSet::new();
    let crates = fs::read_dir(root().join("crates")).expect("crates/ is readable");
    let mut members: Vec<String> = crates
        .map(|entry| entry.expect("crates/ is readable").file_name().to_string_lossy().into_owned())
        .map(|name| format!("crates/{name}/Cargo.toml"))
        .collect();
    members.push("bench/Cargo.toml".into());
    for path in &members {
        for (name, value) in dependencies(&read_manifest(path)) {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                findings.push(format!("{path}: {name} has a version of its own"));
            }
            used.insert(name);
        }
    }
    findings.extend(
        shared
            .keys()
            .filter(|name| !used.contains(*name))
            .map(|name| format!("Cargo.toml: nobody uses {name}")),
    );
    report("versions stand once, in [workspace.dependencies]", &findings);
}

fn read_manifest(path: &str) -> toml::Table {
    let text = fs::read_to_string(root().join(path)).expect("the manifest is readable");
    text.parse().expect("the manifest is TOML")
}

/// Every dependency of a manifest, whatever its kind or target.
fn dependencies(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut found = Vec::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        if let Some(table) = manifest.get(kind).and_then(toml::Value::as_table) {
            found.extend(table.clone());
        }
    }
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        found.extend(targets.values().filter_map(toml::Value::as_table).flat_map(dependencies));
    }
    found
}

#[test]
fn licences_and_sources_are_on_the_list() {
    let metadata = metadata();
    let mut findings = Vec::new();
    for package in packages(&metadata) {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        if !spdx::satisfied(licence, LICENCES) {
            findings.push(format!("{name}: licence {licence:?}"));
        }
        let source = text(package, "source");
        if !source.is_empty() && !source.ends_with("github.com/rust-lang/crates.io-index") {
            findings.push(format!("{name}: comes from {source}"));
        }
    }
    report("dependencies come from crates.io under a licence of the list", &findings);
}

#[test]
fn a_crate_stands_in_one_version() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    let twice: BTreeMap<_, _> = versions.into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    let listed = |name: &str| DUPLICATES.iter().any(|(listed, _)| *listed == name);
    let mut findings: Vec<String> = twice
        .iter()
        .filter(|(name, _)| !listed(name))
        .map(|(name, versions)| format!("{name}: {versions:?}"))
        .collect();
    for (name, _) in DUPLICATES {
        if !twice.contains_key(name) {
            findings.push(format!("{name}: stands once now, take it off the list"));
        }
    }
    report("crates in several versions: agree on one, or list them in DUPLICATES with the reason", &findings);
}
