//! The machine: room, file system, disk, open files, clock.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Duration,
};

use ferry_hub::config::Config;
use rustix::{
    fs::{statfs, statvfs},
    process::{Resource, getrlimit},
};

use super::{Findings, Level};
use crate::{output, system::Stopwatch};

/// Room below which somebody should make more.
const FREE_MIN_BYTES: u64 = 1 << 30;
/// The same as a part of the disk; and of its files.
const FREE_MIN_PERCENT: u64 = 10;
/// Writes by which the disk is measured, and their length.
const SYNCS: usize = 200;
const SYNC_BYTES: usize = 4 << 10;
/// No disk keeps anything in less.
const SYNC_LEAST: Duration = Duration::from_micros(30);
/// So long every acknowledged write waits.
const SYNC_SLOW: Duration = Duration::from_millis(20);
/// Open files below which sockets and databases get in each other's way.
const FILES_MIN: u64 = 4096;

/// File systems on which SQLite's locks, or its fsync, are not what they should be (statfs(2)).
const DOUBTFUL: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x6573_5546, "FUSE"),
    (0x794c_7630, "overlay, which goes with the container"),
    (0x0102_1994, "memory, which goes with the machine"),
];

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let dir = existing(&config.process.data_dir);
    space(dir, findings);
    file_system(dir, findings);
    disk(dir, findings);
    open_files(findings);
    clock(findings);
}

/// The folder, or the nearest above it that is there.
fn existing(dir: &Path) -> &Path {
    let there = dir.ancestors().find(|dir| dir.is_dir());
    there.unwrap_or(Path::new("."))
}

fn space(dir: &Path, findings: &mut Findings) {
    let Ok(stat) = statvfs(dir) else {
        return findings.add(Level::Warn, "space", format!("{}: the system does not tell", dir.display()));
    };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    room((bytes(stat.f_bavail), bytes(stat.f_blocks)), (stat.f_favail, stat.f_files), findings);
}

/// Judges how many bytes and files are free, each with how many there are in all.
fn room((free, all): (u64, u64), (files_free, files): (u64, u64), findings: &mut Findings) {
    let text = format!("{} of {} are free", output::bytes(free), output::bytes(all));
    match free < FREE_MIN_BYTES || is_short(free, all) {
        true => findings.add(Level::Warn, "space", format!("{text}: make room, or take a larger disk")),
        false => findings.add(Level::Ok, "space", text),
    }
    // Some file systems make inodes as they need them, and count none.
    if files > 0 && is_short(files_free, files) {
        let text = format!("{files_free} of {files} files can still be made: remove many small ones");
        findings.add(Level::Warn, "space", text);
    }
}

const fn is_short(free: u64, all: u64) -> bool {
    free < all / 100 * FREE_MIN_PERCENT
}

fn file_system(dir: &Path, findings: &mut Findings) {
    let Ok(stat) = statfs(dir) else { return };
    // A bit pattern that the system declares as signed.
    of_kind(stat.f_type as u64 & 0xffff_ffff, dir, findings);
}

/// Judges the kind of a file system.
fn of_kind(kind: u64, dir: &Path, findings: &mut Findings) {
    match DOUBTFUL.iter().find(|(magic, _)| *magic == kind) {
        None => findings.add(Level::Ok, "file system", "a local one"),
        Some((_, name)) => findings.add(
            Level::Warn,
            "file system",
            format!("{} lies on {name}: put the data on a local disk", dir.display()),
        ),
    }
}

/// How long it takes until what was written is kept.
fn disk(dir: &Path, findings: &mut Findings) {
    match median_sync(dir) {
        Err(error) => findings.add(
            Level::Warn,
            "disk",
            format!("{}: cannot be written ({error}): run this as the user of the hub", dir.display()),
        ),
        Ok(median) => kept_after(median, findings),
    }
}

/// Judges how long it takes until what was written is kept.
fn kept_after(median: Duration, findings: &mut Findings) {
    let text = format!("an fsync takes {median:?}");
    let doubt = if median < SYNC_LEAST {
        ": the device may not keep what it acknowledges when the power goes"
    } else if median > SYNC_SLOW {
        ", and so does every acknowledged write: take a faster disk"
    } else {
        return findings.add(Level::Ok, "disk", text);
    };
    findings.add(Level::Warn, "disk", text + doubt);
}

fn median_sync(dir: &Path) -> std::io::Result<Duration> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let block = [0x5a; SYNC_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.seek(SeekFrom::Start(0))?;
        let watch = Stopwatch::start();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(watch.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

fn open_files(findings: &mut Findings) {
    // The hub raises its limit to the highest that it is let.
    let most = getrlimit(Resource::Nofile).maximum;
    match most {
        Some(most) if most < FILES_MIN => findings.add(
            Level::Warn,
            "open files",
            format!(
                "{most} at most: raise the limit (LimitNOFILE, ulimit -n), sockets and databases share it"
            ),
        ),
        Some(most) => findings.add(Level::Ok, "open files", format!("{most} at most")),
        None => findings.add(Level::Ok, "open files", "without a limit"),
    }
}

/// Whether the system keeps its clock right, as far as systemd tells.
fn clock(findings: &mut Findings) {
    if !Path::new("/run/systemd/system").exists() {
        return findings.add(Level::Ok, "clock", "who keeps it right is not told here");
    }
    let asked = std::process::Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output();
    kept_right(&asked.map(|told| told.stdout).unwrap_or_default(), findings);
}

/// Judges what `timedatectl` says of the clock.
fn kept_right(told: &[u8], findings: &mut Findings) {
    match told {
        [b'y', ..] => findings.add(Level::Ok, "clock", "synchronised"),
        [b'n', ..] => findings.add(
            Level::Warn,
            "clock",
            "not synchronised: turn on systemd-timesyncd or chrony; tokens end by it, and records are merged by the devices' clocks within its bounds",
        ),
        _ => findings.add(Level::Ok, "clock", "who keeps it right is not told here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one judgement finds, as `level text`.
    fn found(judge: impl FnOnce(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        judge(&mut findings);
        findings.0.into_iter().map(|one| format!("{} {}", one.level.as_str(), one.text)).collect()
    }

    // Verifies: OPR-88
    #[test]
    fn little_room_is_told() {
        const GIB: u64 = 1 << 30;
        let bytes = |free, all| found(|findings| room((free, all), (0, 0), findings)).remove(0);
        assert!(bytes(50 * GIB, 100 * GIB).starts_with("ok "));
        assert!(bytes(9 * GIB, 100 * GIB).contains("warn 9.7 GB of 107 GB are free: make room"));
        assert!(bytes(GIB - 1, 4 * GIB).starts_with("warn "), "a quarter, but less than a GiB");
        let files = |free, all| found(|findings| room((50 * GIB, 100 * GIB), (free, all), findings));
        assert_eq!((files(200, 1_000).len(), files(0, 0).len()), (1, 1));
        assert_eq!(files(9, 1_000)[1], "warn 9 of 1000 files can still be made: remove many small ones");
    }

    // Verifies: OPR-88
    #[test]
    fn doubtful_file_systems_are_told() {
        let of = |kind| found(|findings| of_kind(kind, Path::new("/data"), findings)).remove(0);
        assert_eq!(of(0xef53), "ok a local one");
        for (kind, name) in DOUBTFUL {
            assert_eq!(of(*kind), format!("warn /data lies on {name}: put the data on a local disk"));
        }
    }

    // Verifies: OPR-88
    #[test]
    fn disks_that_are_too_fast_or_too_slow_are_told() {
        let after = |micros| found(|findings| kept_after(Duration::from_micros(micros), findings)).remove(0);
        assert!(after(29).contains("warn an fsync takes 29µs: the device may not keep"), "{}", after(29));
        assert!(after(30).starts_with("ok ") && after(20_000).starts_with("ok "));
        assert!(after(20_001).contains("take a faster disk"));
    }

    // Verifies: OPR-88
    #[test]
    fn a_clock_that_nobody_keeps_right_is_told() {
        let told = |text: &str| found(|findings| kept_right(text.as_bytes(), findings)).remove(0);
        assert!(told("yes\n").starts_with("ok ") && told("").starts_with("ok "));
        assert!(told("no\n").contains("warn not synchronised: turn on systemd-timesyncd or chrony"));
    }
}
