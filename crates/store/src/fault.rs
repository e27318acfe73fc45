//! Fault points: named places where a test makes the process die, fail or wait. They exist only in builds with
//! debug assertions; a release build has none.
//!
//! `FERRY_FAULT` lists `name=action` pairs, separated by commas. Actions: `kill` (SIGKILL to itself),
//! `panic`, `full` (the disk is full) and `wait:<path>` (make the file, go on once it is gone).

use crate::Result;

/// The place called `name`: does nothing unless a test asks for it.
///
/// # Errors
/// With action `full`, what a full disk would give.
#[cfg(debug_assertions)]
pub fn point(name: &str) -> Result<()> {
    use std::sync::LazyLock;

    static PLAN: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let plan = std::env::var("FERRY_FAULT").unwrap_or_default();
        plan.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(n, a)| (n.to_owned(), a.to_owned()))
            .collect()
    });
    for (_, action) in PLAN.iter().filter(|(planned, _)| planned == name) {
        act(name, action)?;
    }
    Ok(())
}

#[cfg(debug_assertions)]
#[expect(clippy::panic_in_result_fn, reason = "panicking is what the test asked for")]
fn act(name: &str, action: &str) -> Result<()> {
    match action {
        "kill" => {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL).map_err(std::io::Error::from)?;
            loop {
                std::thread::park();
            }
        }
        "panic" => panic!("fault point {name}"),
        "full" => Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()),
        other => {
            if let Some(path) = other.strip_prefix("wait:") {
                std::fs::write(path, name)?;
                while std::path::Path::new(path).exists() {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
            Ok(())
        }
    }
}

/// The place called `name`: nothing, in release builds.
///
/// # Errors
/// Never.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn point(_name: &str) -> Result<()> {
    Ok(())
}
