//! Closed, killed, copied back, deleted: index and main.db agree afterwards.

use super::*;

/// The files as a killed process leaves them.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn with_rows(dir: &Path) -> Hub {
    let mut hub = Hub::new(dir);
    hub.run("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)");
    hub.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO t SELECT i, hex(randomblob(20)) FROM n",
    );
    hub
}

/// Whether the version is there still, and as it was.
fn is_kept(replica: &Arc<Replica>, (info, image): &(VersionInfo, Vec<Vec<u8>>)) -> bool {
    let Some(pinned) = replica.pin_at(At::Tag(info.tag())).unwrap() else { return false };
    assert!(served(&pinned) == *image, "version {} is another", info.version);
    true
}

#[test]
fn closed_and_opened_again_nothing_is_read() {
    // Verifies: PAG-47
    let dir = tempfile::tempdir().unwrap();
    let mut hub = with_rows(dir.path());
    let replica = hub.replica();
    let first = (replica.current(), image_of(&hub.main()));
    drop(replica);
    for n in 0..5 {
        hub.run(&format!("UPDATE t SET text = {n} WHERE id = {}", n * 100 + 1));
        hub.close();
        assert!(!hub.slot.is_open(), "closed with the writer");
        hub.open();
        assert!(hub.slot.is_open(), "opened with the writer: no scan was needed");
    }
    let replica = hub.replica();
    assert_eq!(replica.current().version, 7);
    assert!(is_kept(&replica, &first));
    assert_eq!(replica.versions(None, 100).unwrap().len(), 6, "each close captured what was left");
}

#[test]
fn what_was_committed_uncaptured_before_a_kill_is_captured_from_the_wal() {
    // Verifies: PAG-47
    for is_checkpointed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut hub = with_rows(&dir.path().join("a"));
        let replica = hub.replica();
        if is_checkpointed {
            hub.run("UPDATE t SET text = hex(randomblob(2000))");
            hub.checkpoint();
        }
        hub.run("UPDATE t SET text = 'captured' WHERE id < 500");
        replica.capture().unwrap();
        let known = (replica.current(), image_of(&hub.main()));
        hub.run("UPDATE t SET text = 'not captured' WHERE id % 300 = 0");
        hub.run("INSERT INTO t(text) VALUES (zeroblob(50000))");
        let newest = image_of(&hub.main());
        let copy = dir.path().join("b");
        copy_dir(&hub.dir, &copy);
        drop(replica);
        hub.kill();
        hub.open();
        assert!(hub.slot.is_open(), "the WAL tells what is new");
        let replica = hub.replica();
        assert!(served(&replica.pin()) == newest);
        assert!(is_kept(&replica, &known), "history goes on");
        // Times and inode differ in a copy.
        let moved = Hub { dir: copy, writer: None, slot: Arc::default() };
        assert!(served(&moved.replica().pin()) == newest, "a copy is scanned");
    }
}

#[test]
fn killed_at_any_point_it_is_whole() {
    // Verifies: PAG-41, PAG-42, PAG-47
    type Seen = Vec<(String, Vec<Vec<u8>>)>;
    let dir = tempfile::tempdir().unwrap();
    let mut hub = with_rows(&dir.path().join("db"));
    let replica = hub.replica();
    let first = (replica.current(), image_of(&hub.main()));
    let points = Arc::new(Mutex::new(Seen::new()));
    let (seen, from, to) = (Arc::clone(&points), hub.dir.clone(), dir.path().to_owned());
    let copy = move |point: &str| {
        let mut seen = seen.lock().unwrap();
        copy_dir(&from, &to.join(seen.len().to_string()));
        seen.push((point.to_owned(), image_of(&from.join("main.db"))));
        Ok(())
    };
    drop(replica);
    hook::with(copy, || {
        hub.run("UPDATE t SET text = 'a' WHERE id % 100 = 0");
        hub.replica().capture().unwrap();
        hub.run("UPDATE t SET text = hex(randomblob(4000))");
        hub.checkpoint();
        hub.run("DELETE FROM t WHERE id > 200");
        hub.close();
    });
    let points = points.lock().unwrap();
    let names: Vec<&str> = points.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["begin", "images", "index", "published"].map(|name| format!("capture.{name}")) {
        assert!(names.contains(&&*name), "{name} is never reached: {names:?}");
    }
    assert!(names.contains(&"checkpoint.captured") && names.contains(&"checkpoint.done"), "{names:?}");
    for (n, (point, image)) in points.iter().enumerate() {
        let mut hub = Hub { dir: dir.path().join(n.to_string()), writer: None, slot: Arc::default() };
        hub.open();
        let replica = hub.replica();
        assert!(served(&replica.pin()) == *image, "killed at {point} ({n})");
        is_kept(&replica, &first);
        assert_leads(&replica, &first.0, &first.1);
        hub.run("UPDATE t SET text = 'after' WHERE id = 1");
        replica.capture().unwrap();
        assert!(served(&replica.pin()) == image_of(&hub.main()), "after {point}");
    }
}

#[test]
fn failing_at_any_point_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = with_rows(dir.path());
    let points =
        ["capture.begin", "capture.images", "capture.index", "checkpoint.captured", "checkpoint.done"];
    for point in points {
        drop(hub.replica());
        hub.run("UPDATE t SET text = hex(randomblob(4000))");
        let fails = move |at: &str| {
            let full = || std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            if at == point { Err(full()) } else { Ok(()) }
        };
        hook::with(fails, || {
            let _ = hub.replica().capture();
            hub.run("DELETE FROM t WHERE id % 7 = 0");
            let _ = hub.writer.as_mut().unwrap().checkpoint_if_due(|| false);
        });
        let replica = hub.replica();
        replica.capture().unwrap();
        assert!(served(&replica.pin()) == image_of(&hub.main()), "{point}");
    }
}

#[test]
fn deleted_page_files_are_made_anew() {
    // Verifies: PAG-48
    let dir = tempfile::tempdir().unwrap();
    let mut hub = with_rows(dir.path());
    let old = hub.replica().current();
    hub.close();
    std::fs::remove_dir_all(dir.path().join("pages")).unwrap();
    hub.open();
    assert_eq!(hub.replica().current().tag(), old.tag(), "the same commit, the same image");
    hub.close();
    std::fs::write(dir.path().join("pages").join("index.db"), [7; 4096]).unwrap();
    hub.open();
    assert_eq!(hub.replica().current().tag(), old.tag(), "a damaged index is no index");
}

#[test]
fn an_older_file_that_is_put_back_ends_the_newer_history() {
    // Verifies: PAG-47, PAG-22
    let dir = tempfile::tempdir().unwrap();
    let mut hub = with_rows(dir.path());
    drop(hub.replica());
    hub.close();
    let backup = std::fs::read(hub.main()).unwrap();
    hub.open();
    for n in 0..5 {
        hub.run(&format!("UPDATE t SET text = 'lost {n}'"));
    }
    let replica = hub.replica();
    replica.capture().unwrap();
    let lost = replica.current();
    drop(replica);
    hub.close();
    std::fs::write(hub.main(), backup).unwrap();
    hub.open();
    for n in 0..5 {
        let replica = hub.replica();
        replica.capture().unwrap();
        assert!(served(&replica.pin()) == image_of(&hub.main()));
        let found = replica.find_base(&replica.current(), &Since::Tag(lost.tag())).unwrap();
        assert!(matches!(found, BaseFound::Unknown), "commit {n}: that version was never here");
        drop(replica);
        hub.run(&format!("UPDATE t SET text = 'again {n}'"));
    }
}

#[test]
fn a_file_replaced_while_it_is_open_is_noticed() {
    // Verifies: PAG-47
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut hub = with_rows(dir.path());
    let replica = hub.replica();
    let mut newer = with_rows(other.path());
    newer.run("UPDATE t SET text = 'other'");
    newer.close();
    hub.writer = None;
    std::fs::rename(newer.main(), hub.main()).unwrap();
    assert!(replica.capture().is_err() && replica.is_broken());
    drop(replica);
    let _ = std::fs::remove_file(dir.path().join("main.db-wal"));
    assert!(served(&hub.replica().pin()) == image_of(&hub.main()));
}

#[test]
fn commits_of_somebody_else_become_part_of_the_next_version() {
    // Verifies: PAG-47
    let dir = tempfile::tempdir().unwrap();
    let mut hub = with_rows(dir.path());
    let replica = hub.replica();
    let shell = Connection::open(hub.main()).unwrap();
    shell.execute_batch("PRAGMA busy_timeout=0; UPDATE t SET text = 'by hand'").unwrap();
    assert_eq!(replica.capture().unwrap(), None, "it has no number");
    hub.run("UPDATE t SET text = 'by a model' WHERE id = 7");
    replica.capture().unwrap();
    assert!(served(&replica.pin()) == image_of(&hub.main()));
    let checkpoint = || shell.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, Value>(0));
    checkpoint().unwrap();
    shell.execute_batch("DELETE FROM t WHERE id > 100").unwrap();
    checkpoint().unwrap();
    hub.run("UPDATE t SET text = 'again' WHERE id = 7");
    replica.capture().unwrap();
    assert!(served(&replica.pin()) == image_of(&hub.main()));
}

#[test]
fn a_fork_has_the_image_of_its_version_and_a_commit_of_its_own() {
    // Verifies: PAG-31
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut hub = with_rows(dir.path());
    let replica = hub.replica();
    let old = replica.current();
    hub.run("DELETE FROM t");
    replica.capture().unwrap();
    let pinned = replica.pin_at(At::Tag(old.tag())).unwrap().unwrap();
    let remint = |sql: &NativeSql<'_>, seq: ferry_types::Seq| {
        assert_eq!(seq.0, old.version + 1);
        Ok(sql.0.execute_batch("UPDATE t SET text = 'minted' WHERE id = 1")?)
    };
    let (config, clock) = (ReplicaConfig::default(), Arc::new(FixedClock));
    let info = make_captured_fork(other.path(), &pinned, config, clock, remint).unwrap();
    assert_eq!(info.version, old.version + 1);
    let mut fork = Hub { dir: other.path().to_owned(), writer: None, slot: Arc::default() };
    fork.open();
    assert!(fork.slot.is_open(), "its index is made");
    assert_eq!(fork.replica().current().tag(), info.tag());
    let rows = |text: &str| {
        let connection = Connection::open(fork.main()).unwrap();
        connection.query_row(text, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!(rows("SELECT count(*) FROM t"), 3000);
    assert_eq!(rows("SELECT count(*) FROM t WHERE text = 'minted'"), 1);
}
