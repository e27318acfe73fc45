//! How much memory the process may take.

use std::fs;

/// What is taken for granted where the system does not tell.
const ASSUMED_BYTES: u64 = 1 << 30;

/// Memory of the machine, or of the control group that the process runs in, if that has less.
pub(crate) fn available_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    // Version 2 and version 1 of control groups, as seen from inside of a container.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min();
    machine.into_iter().chain(group).min().unwrap_or(ASSUMED_BYTES)
}

/// Memory that the process has in use, as `/proc/self/statm` tells; `None` where the system does not.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:   24684044 kB\n"), Some(24_684_044 << 10));
        assert_eq!(total("nothing"), None);
        assert!(available_bytes() > 0);
        assert!(resident_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }
}
