//! npm, which installs what a project needs.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use crate::{failure::Failure, output};

/// Lines of npm's own words that are shown when it fails.
const LINES_SHOWN: usize = 20;

fn npm() -> Command {
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

/// Whether it is there; before anything is written.
pub(super) fn check() -> Result<(), Failure> {
    let found =
        npm().arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Failure::other(format!("npm --version ended with {status}: mend npm, or give --no-install")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::other(
            "npm is not found: install Node.js 20.19 or newer (https://nodejs.org), or give --no-install and run npm \
             install later",
        )),
        Err(error) => Err(Failure::other(format!("npm: {error}; mend it, or give --no-install"))),
    }
}

/// Installs: these packages into an application, or what `package.json` names.
pub(super) fn install(root: &Path, packages: &[String], json: bool) -> Result<(), Failure> {
    if !json {
        output::note("npm installs the packages ...");
    }
    let mut command = npm();
    command
        .args(["install", "--no-audit", "--no-fund"])
        .args(packages)
        .current_dir(root)
        .stdin(Stdio::null());
    let output = command.output().map_err(|error| Failure::other(format!("npm: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = words.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].iter().for_each(output::note);
    Err(Failure::other(format!(
        "npm install failed in {} ({}): the files are written; once it works, go on with ferry dev",
        root.display(),
        output.status
    )))
}
