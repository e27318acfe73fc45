//! The release archive: made by its command, checked, installed, used and removed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use ferry_testkit::hub::listing;
use serde_json::Value;
use tempfile::TempDir;

use super::{deploy, run, tool};
use crate::support::FERRY;

/// The folder in which the archive of the tested binary lies, with its sums and its installer, made once; none without Node
/// and the tools of GNU.
pub(crate) fn made_archive() -> Option<&'static Path> {
    static MADE: OnceLock<Option<TempDir>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        tool("NODE_BIN", "node")?;
        let folder = tempfile::tempdir().unwrap();
        // A debug build is ten times as large with its symbols.
        let binary = folder.path().join("ferry");
        match tool("STRIP_BIN", "strip") {
            Some(strip) => drop(run(Command::new(strip).arg("-o").arg(&binary).arg(FERRY))),
            None => drop(fs::copy(FERRY, &binary).unwrap()),
        }
        run(Command::new(deploy("release"))
            .arg("--binary")
            .arg(&binary)
            .arg("--out")
            .arg(folder.path().join("made")));
        fs::remove_file(binary).unwrap();
        Some(folder)
    });
    made.as_ref().map(TempDir::path)
}

/// The name of the archive without its ending.
fn name(made: &Path) -> String {
    let names = ferry_testkit::command::names(&made.join("made"));
    let name = names.iter().find_map(|name| name.strip_suffix(".tar.gz")).expect("there is an archive");
    assert_eq!(names.len(), 3, "{names:?}");
    name.to_owned()
}

/// A copy of what was made, to be harmed.
fn copied(made: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for name in ferry_testkit::command::names(&made.join("made")) {
        fs::copy(made.join("made").join(&name), folder.path().join(&name)).unwrap();
    }
    let installer = folder.path().join("install.sh");
    (folder, installer)
}

// Verifies: OPR-73
#[test]
fn the_archive_holds_what_an_operator_needs() {
    let Some(made) = made_archive() else { return };
    let name = name(made);
    let unpacked = tempfile::tempdir().unwrap();
    run(Command::new("tar")
        .arg("-xzf")
        .arg(made.join(format!("made/{name}.tar.gz")))
        .arg("-C")
        .arg(unpacked.path()));
    let root = unpacked.path().join(&name);
    let version = run(Command::new(root.join("bin/ferry")).arg("--version"));
    assert!(
        name.starts_with(&format!("ferry-{}-", version.trim().trim_start_matches("ferry "))),
        "{name}: {version}"
    );
    let files: BTreeSet<String> = listing(&root).into_iter().map(|(file, _)| file).collect();
    for file in [
        "share/man/man1/ferry.1",
        "share/man/man1/ferry-serve.1",
        "share/completions/ferry.bash",
        "share/completions/ferry.zsh",
        "share/completions/ferry.fish",
        "deploy/ferry.service",
        "deploy/Caddyfile",
        "deploy/nginx.conf",
        "deploy/compose.yaml",
        "deploy/Dockerfile",
        "deploy/alerts.yml",
        "SBOM.cdx.json",
        "LICENSE",
        "README.md",
    ] {
        assert!(files.contains(file), "{file} is missing: {files:?}");
    }
    the_parts_are_listed(&fs::read(root.join("SBOM.cdx.json")).unwrap());
}

/// What is compiled in has a name, a version, a licence and a sum; what only tests need is not there.
fn the_parts_are_listed(document: &[u8]) {
    let document: Value = serde_json::from_slice(document).unwrap();
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(document["metadata"]["component"]["name"], "ferry");
    let components = document["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|one| one["name"] == name);
    let sqlite = named("libsqlite3-sys").expect("SQLite is compiled in");
    assert!(sqlite["hashes"][0]["content"].as_str().is_some_and(|sum| sum.len() == 64), "{sqlite}");
    for one in components {
        assert!(one["licenses"][0]["expression"].is_string() && one["purl"].is_string(), "{one}");
    }
    for absent in ["ferry-testkit", "proptest", "connectrpc-build"] {
        assert!(named(absent).is_none(), "{absent} is not compiled in");
    }
    let references: BTreeSet<&str> = components.iter().filter_map(|one| one["bom-ref"].as_str()).collect();
    for one in document["dependencies"].as_array().unwrap() {
        for on in one["dependsOn"].as_array().unwrap() {
            assert!(references.contains(on.as_str().unwrap()), "{on} of {} is not listed", one["ref"]);
        }
    }
}

// Verifies: OPR-73
#[test]
fn the_archive_is_installed_and_taken_away_again() {
    let Some(made) = made_archive() else { return };
    let (_folder, installer) = copied(made);
    let prefix = tempfile::tempdir().unwrap();
    let others = prefix.path().join("bin/other");
    fs::create_dir_all(others.parent().unwrap()).unwrap();
    fs::write(&others, "of somebody else").unwrap();
    let install = || run(Command::new(&installer).arg("--prefix").arg(prefix.path()));
    for told in [install(), install()] {
        assert!(told.contains("add it to your PATH"), "{told}");
    }
    for file in [
        "bin/ferry",
        "share/man/man1/ferry-serve.1",
        "share/bash-completion/completions/ferry",
        "share/zsh/site-functions/_ferry",
    ] {
        assert!(prefix.path().join(file).is_file(), "{file}");
    }
    let unit = fs::read_to_string(prefix.path().join("share/ferry/deploy/ferry.service")).unwrap();
    assert!(unit.contains(&format!("ExecStart={}/bin/ferry serve", prefix.path().display())), "{unit}");
    run(Command::new(prefix.path().join("bin/ferry")).arg("--version"));
    run(Command::new(&installer).arg("--uninstall").arg("--prefix").arg(prefix.path()));
    let left: Vec<String> = listing(prefix.path()).into_iter().map(|(file, _)| file).collect();
    assert_eq!(left, ["bin/other"]);
    let again =
        Command::new(&installer).arg("--uninstall").arg("--prefix").arg(prefix.path()).output().unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("nothing of ferry"));
}

// Verifies: OPR-73
#[test]
fn an_archive_that_was_changed_is_not_installed() {
    let Some(made) = made_archive() else { return };
    let archive = format!("{}.tar.gz", name(made));
    type Harm<'a> = &'a dyn Fn(&Path);
    let harms: [(&str, Harm<'_>); 3] = [
        ("is not what SHA256SUMS says", &|folder| {
            let mut bytes = fs::read(folder.join(&archive)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(folder.join(&archive), bytes).unwrap();
        }),
        ("SHA256SUMS does not name", &|folder| fs::write(folder.join("SHA256SUMS"), "").unwrap()),
        ("SHA256SUMS is missing", &|folder| fs::remove_file(folder.join("SHA256SUMS")).unwrap()),
    ];
    for (word, harm) in harms {
        let (folder, installer) = copied(made);
        harm(folder.path());
        let prefix = tempfile::tempdir().unwrap();
        let refused = Command::new(&installer).arg("--prefix").arg(prefix.path()).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && told.contains(word), "{told}");
        assert_eq!(listing(prefix.path()), [], "nothing is installed");
    }
}
