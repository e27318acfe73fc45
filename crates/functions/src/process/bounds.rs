//! What a child process may not do, whatever its engine is brought to: it has what it was started with, and nothing more.

use std::{fs, io::Read as _, process, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::call::RunLimits;

/// Address space beside the heaps: buffers of the messages, arenas of the allocator.
const OVERHEAD_BYTES: u64 = 256 << 20;

/// Ends the process as soon as the hub is gone: standard input ends then. A call that runs cannot see that.
pub(super) fn follow_the_hub() {
    thread::spawn(|| {
        let mut byte = [0];
        // The hub writes nothing to it.
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        process::exit(0);
    });
}

/// Takes away what this process does not need: files, sockets, processes, more memory than its heap. Without effect where
/// the system has no such limit.
pub(super) fn close(limits: &RunLimits) {
    // Where memory runs out, it is this process that the system ends.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let heap = u64::try_from(limits.heap_bytes).unwrap_or(u64::MAX);
    if let Some(now) = address_space() {
        let most = now.saturating_add(heap.saturating_mul(2)).saturating_add(OVERHEAD_BYTES);
        lower(Resource::As, most);
    }
    lower(Resource::Core, 0);
    lower(Resource::Fsize, 0);
    lower(Resource::Nproc, 0);
    // Last: nothing can be opened any more.
    lower(Resource::Nofile, 0);
}

/// Gives the process so much more CPU, in whole seconds and one. The hub looks at the call's limit; this is what ends an
/// engine that nobody looks at.
pub(super) fn allow_cpu(used_us: u64, cpu_ms: u64) {
    let most = (used_us / 1_000_000).saturating_add(cpu_ms / 1000).saturating_add(2);
    let Rlimit { maximum, .. } = getrlimit(Resource::Cpu);
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(most), maximum });
}

/// CPU of this process, microseconds.
pub(super) fn process_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

fn lower(resource: Resource, most: u64) {
    let Rlimit { maximum, .. } = getrlimit(resource);
    let most = Some(maximum.map_or(most, |maximum| most.min(maximum)));
    let _ = setrlimit(resource, Rlimit { current: most, maximum: most });
}

/// Bytes of address space, where the system tells.
fn address_space() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().next()?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
