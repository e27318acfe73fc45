//! Memory, descriptors and time of the process, under the names that Prometheus' own clients give them. They are written
//! here, since the recorder's counters are whole numbers and CPU seconds are not.

use std::{fmt::Write as _, fs};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// The families as text; those that the system does not tell are left out.
pub(crate) fn render() -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let stat = Stat::read();
    let of = |value: fn(&Stat) -> f64| stat.as_ref().map(value);
    family("process_cpu_seconds_total", "counter", "User and system CPU time.", of(|stat| stat.cpu_seconds));
    family("process_resident_memory_bytes", "gauge", "Memory in use.", of(|stat| stat.resident_bytes));
    family("process_virtual_memory_bytes", "gauge", "Address space in use.", of(|stat| stat.virtual_bytes));
    family("process_threads", "gauge", "Threads.", of(|stat| stat.threads));
    let started = stat.as_ref().and_then(|stat| Some(boot_seconds()? + stat.started_after_boot_seconds));
    family("process_start_time_seconds", "gauge", "When the process began, Unix seconds.", started);
    family("process_open_fds", "gauge", "Open files, sockets included.", open_fds());
    let most = getrlimit(Resource::Nofile).current.map(|most| most as f64);
    family("process_max_fds", "gauge", "The limit of open files.", most);
    text
}

/// What `/proc/self/stat` tells (proc_pid_stat(5)).
struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    started_after_boot_seconds: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets, and may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_after_boot_seconds: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as f64,
        })
    }
}

/// When the machine began, Unix seconds.
fn boot_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn open_fds() -> Option<f64> {
    // The look itself opens one.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let rest = (3..=30).map(|field| (field * 100).to_string()).collect::<Vec<_>>().join(" ");
        let stat = Stat::parse(&format!("1 (a) 9 (b c) {rest}")).unwrap();
        assert!((stat.threads - 2000.0).abs() < 0.5);
        assert!((stat.virtual_bytes - 2300.0).abs() < 0.5);
        assert!(Stat::parse("1 (a").is_none());
    }
}
