//! `--detach`: the same command once more, as a process of its own that outlives the terminal; this one ends as soon as
//! that one listens.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{failure::Failure, output};

/// The flag, which the process of its own is started without.
const FLAG: &str = "--detach";
/// What the last line begins with that it prints when it listens: of a spoke, of a hub, of a hub that is asked for JSON.
const READY: &[&str] = &["ops in ", "data in ", "{"];
/// As much of what it says before it ends as is shown.
const TOLD_MAX_BYTES: u64 = 64 << 10;

/// Starts the process, whose log goes to `log`, and waits until it listens.
///
/// # Errors
/// When it cannot be started. If it ends instead of listening this process ends as it did.
pub(crate) fn run(log: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::other(format!("{}: {error}", log.display()));
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).read(true).mode(0o600).open(log).map_err(failed)?;
    let begin = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::other(format!("the program's own file is not found: {error}")))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1).filter(|argument| argument != OsStr::new(FLAG)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file.try_clone().map_err(failed)?);
    // Ctrl-C is for what runs in front.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| Failure::other(format!("cannot start: {error}")))?;
    if !is_ready(&mut child)? {
        end_as(&mut child, file, begin)?;
    }
    output::line(format_args!("it runs in the background, and logs to {}", log.display()))?;
    output::line(format_args!("stop it with: kill {}", child.id()))
}

/// Shows what the child says until it listens; false if it ends before.
fn is_ready(child: &mut Child) -> Result<bool, Failure> {
    let Some(stdout) = child.stdout.take() else { return Ok(false) };
    let failed = |error: std::io::Error| Failure::other(format!("the started process: {error}"));
    let (mut said, mut line) = (BufReader::new(stdout), String::new());
    while said.read_line(&mut line).map_err(failed)? > 0 {
        output::line(line.trim_end_matches('\n'))?;
        if READY.iter().any(|ready| line.starts_with(ready)) {
            // What it said in one piece with that: where its dashboard is, above all.
            let rest = String::from_utf8_lossy(said.buffer()).into_owned();
            rest.lines().try_for_each(output::line)?;
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

/// Says what the child said, and ends as it did.
fn end_as(child: &mut Child, mut log: File, begin: u64) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::other(format!("the started process: {error}"));
    let status = child.wait().map_err(failed)?;
    let mut told = Vec::new();
    log.seek(SeekFrom::Start(begin)).map_err(failed)?;
    log.take(TOLD_MAX_BYTES).read_to_end(&mut told).map_err(failed)?;
    String::from_utf8_lossy(&told).lines().for_each(output::note);
    std::process::exit(status.code().unwrap_or(1))
}
