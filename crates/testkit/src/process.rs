//! What the operating system tells of a running process (Linux).

use std::{fs, process::Child};

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, in milliseconds.
    pub cpu_ms: u64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Most resident memory so far, in bytes.
    pub peak_bytes: u64,
}

/// Ticks per second in `/proc/<pid>/stat`: USER_HZ is 100 on every Linux that Rust supports.
const TICK_MS: u64 = 10;

/// The usage of process `pid`; `None` if it is gone or this is not Linux.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the fields after it are counted from field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Usage {
        cpu_ms: ticks * TICK_MS,
        resident_bytes: kib("VmRSS:")? << 10,
        peak_bytes: kib("VmHWM:")? << 10,
    })
}

/// Sends SIGTERM.
///
/// # Panics
/// If the process cannot be signalled.
pub fn terminate(child: &Child) {
    signal(child, rustix::process::Signal::TERM);
}

/// Sends SIGINT, as Ctrl-C does.
///
/// # Panics
/// If the process cannot be signalled.
pub fn interrupt(child: &Child) {
    signal(child, rustix::process::Signal::INT);
}

/// `kill -9`.
///
/// # Panics
/// If there is no such process.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        .expect("our own child can be signalled");
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal)
        .expect("our own child can be signalled");
}
