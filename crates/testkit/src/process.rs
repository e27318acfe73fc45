//! Measures of a running process (Linux).

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

/// The usage of process `pid` and of all that descend from it, added up; of those that are gone, nothing counts.
#[must_use]
pub fn tree_usage(pid: u32) -> Option<Usage> {
    let mut total = usage(pid)?;
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![pid];
    while let Some(member) = family.pop() {
        for (child, _) in parents.iter().filter(|(_, parent)| *parent == member) {
            family.push(*child);
            let Some(usage) = usage(*child) else { continue };
            total.cpu_ms += usage.cpu_ms;
            total.resident_bytes += usage.resident_bytes;
            total.peak_bytes += usage.peak_bytes;
        }
    }
    Some(total)
}

/// The processes whose parent is `pid`.
///
/// # Panics
/// If this is not Linux.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("a system with /proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The files that process `pid` has open, as paths; sockets and the like by their names in brackets.
///
/// # Panics
/// If it is gone or this is not Linux.
#[must_use]
pub fn open_files(pid: u32) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs, on a system with /proc");
    // One may be closed between the two looks.
    entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
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

/// SIGHUP.
///
/// # Panics
/// If there is no such process.
pub fn hang_up(pid: u32) {
    signal_id(pid, rustix::process::Signal::HUP);
}

/// `kill -9`.
///
/// # Panics
/// If there is no such process.
pub fn kill(pid: u32) {
    signal_id(pid, rustix::process::Signal::KILL);
}

fn signal_id(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("our own child can be signalled");
}

/// Stops a process where it is, until [`resume`].
///
/// # Panics
/// If the process cannot be signalled.
pub fn pause(child: &Child) {
    signal(child, rustix::process::Signal::STOP);
}

/// Lets a stopped process go on.
///
/// # Panics
/// If the process cannot be signalled.
pub fn resume(child: &Child) {
    signal(child, rustix::process::Signal::CONT);
}

/// Raises the limit of open files of this process to its hard value, for tests that open many connections.
pub fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A test that needs more than it gets says so itself.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal)
        .expect("our own child can be signalled");
}
