//! How often a small push waits for the disk, as the system sees it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use ferry_testkit::{process, wait};

use super::http_push::Writer;

// Verifies: PAG-43
#[test]
fn a_push_of_one_row_waits_for_the_disk_four_times_at_most() {
    let writer = Writer::new(20_000);
    let mut known = writer.push_file(None);
    writer.run("UPDATE t SET amount = 1 WHERE id = 7");
    known = writer.push_file(Some(&known));
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o"])
        .arg(&trace)
        .args(["-p", &writer.place.hub.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut traced) = traced else {
        eprintln!("SKIPPED: counting syncs needs strace");
        return;
    };
    let mut told = BufReader::new(traced.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    if !line.contains("attached") {
        eprintln!("SKIPPED: counting syncs needs the right to trace: {line}");
        let _ = traced.wait();
        return;
    }
    const PUSHES: usize = 5;
    for n in 0..PUSHES {
        writer.run(&format!("UPDATE t SET amount = {n} WHERE id = 9"));
        known = writer.push_file(Some(&known));
    }
    process::terminate(&traced);
    wait::until("strace ends", || traced.try_wait().unwrap());
    let text = fs::read_to_string(&trace).unwrap();
    let syncs = text.lines().filter(|line| line.contains("sync(")).count();
    assert!((PUSHES..=4 * PUSHES).contains(&syncs), "{syncs} syncs in {PUSHES} pushes:\n{text}");
    assert_eq!(known.version, 2 + PUSHES as u64);
}
