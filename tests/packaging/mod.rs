//! What operators are given beside the binary: the archive and its installer, the image, the unit, alert rules, manual
//! pages. Where a tool that judges them is installed it is asked, and else loudly not.

mod archive;
mod image;
mod man;
mod rules;
mod unit;

pub(crate) use archive::made_archive;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A file of deploy/.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// The text of a file of deploy/.
pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).expect("the file is there")
}

/// The program that `variable` names, else the one in PATH; loudly none.
pub(crate) fn tool(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named
        .or_else(|| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()));
    if found.is_none() {
        // Not through a macro, whose output is shown for failed tests only.
        let reply = format!("SKIPPED: what {name} judges: install it, or set {variable} to its path.\n");
        std::io::stderr().write_all(reply.as_bytes()).expect("standard error is open");
    }
    found
}

/// Runs a program that must succeed; gives what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let told = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{told}");
    told
}
