//! Fault points: named places where a test makes the process die, fail or wait. They exist only in builds with
//! debug assertions; a release build has none.
//!
//! `FERRY_FAULT` lists `name=action` pairs, separated by commas. Actions: `kill` (SIGKILL to itself),
//! `panic`, `full` (the disk is full) and `wait:<path>` (make the file, go on once it is gone). `clock=<ms>` sets the
//! hub's clock so far ahead, or behind, and `clock=file:<path>` as far as the file says at that moment; `sync=off` makes SQLite commit without syncing, so that tests of power cuts can
//! show that they notice.

use crate::Result;

/// The place called `name`: does nothing unless a test asks for it.
///
/// # Errors
/// With action `full`, what a full disk would give.
#[cfg(debug_assertions)]
pub fn point(name: &str) -> Result<()> {
    #[cfg(test)]
    hook::call(name)?;
    for (_, action) in PLAN.iter().filter(|(planned, _)| planned == name) {
        act(name, action)?;
    }
    Ok(())
}

/// What the environment asks for.
#[cfg(debug_assertions)]
static PLAN: std::sync::LazyLock<Vec<(String, String)>> = std::sync::LazyLock::new(|| {
    let plan = std::env::var("FERRY_FAULT").unwrap_or_default();
    let pairs = plan.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, action)| (name.to_owned(), action.to_owned())).collect()
});

/// How many milliseconds a test sets the clock ahead.
#[cfg(debug_assertions)]
#[must_use]
pub fn clock_ahead_ms() -> i64 {
    let Some((_, action)) = PLAN.iter().find(|(planned, _)| planned == "clock") else { return 0 };
    let content = action.strip_prefix("file:").map(|path| std::fs::read_to_string(path).unwrap_or_default());
    content.as_deref().unwrap_or(action).trim().parse().unwrap_or(0)
}

/// How many milliseconds a test sets the clock ahead: none, in release builds.
#[cfg(not(debug_assertions))]
#[must_use]
#[inline(always)]
pub const fn clock_ahead_ms() -> i64 {
    0
}

/// Whether commits are synced: unless a test asks for `sync=off`.
#[cfg(debug_assertions)]
#[must_use]
pub fn synced() -> bool {
    !PLAN.iter().any(|(planned, action)| planned == "sync" && action == "off")
}

/// Whether commits are synced: always, in release builds.
#[cfg(not(debug_assertions))]
#[must_use]
#[inline(always)]
pub const fn synced() -> bool {
    true
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

/// Unit tests look at the files, or fail, where a process would be killed: a function per thread sees every
/// point that the thread reaches.
#[cfg(test)]
pub(crate) mod hook {
    use std::cell::RefCell;

    use crate::Result;

    type Hook = Box<dyn FnMut(&str) -> Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Runs `work` while `hook` sees every point that this thread reaches.
    pub(crate) fn with<T>(hook: impl FnMut(&str) -> Result<()> + 'static, work: impl FnOnce() -> T) -> T {
        HOOK.set(Some(Box::new(hook)));
        let result = work();
        HOOK.set(None);
        result
    }

    pub(super) fn call(name: &str) -> Result<()> {
        // Taken out meanwhile: the hook may itself reach points.
        let Some(mut hook) = HOOK.take() else { return Ok(()) };
        let result = hook(name);
        HOOK.set(Some(hook));
        result
    }
}
