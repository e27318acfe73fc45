//! Versions: pins, conflicts, refusals, retention, and changes from outside.

use super::*;

#[test]
fn a_pinned_version_stays_whatever_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 800);
    let mut pinned = Vec::new();
    for step in 0..8 {
        source.run(match step % 4 {
            0 => "UPDATE t SET text = 'changed' WHERE id % 90 = 0",
            1 => "DELETE FROM t WHERE id % 3 = 0; VACUUM",
            2 => "INSERT INTO t(text) SELECT text || 'more' FROM t",
            _ => "UPDATE t SET text = text || 'y'",
        });
        let pages = source.pages();
        push(&replica, &pages).unwrap();
        pinned.push((replica.pin(), served(&pages)));
        for (pin, image) in &pinned {
            assert!(whole(pin) == *image, "version {} after step {step}", pin.info().version);
            let count = pin.info().page_count.0;
            let mut leaves = std::collections::VecDeque::new();
            pin.leaves(PageNo::FIRST, count + 1, &mut leaves).unwrap();
            let mut room = Vec::new();
            let page = |n| PageNo::new(n).unwrap();
            let truth = (1..=count)
                .map(|n| tree::leaf_of(page(n), PageCount(count), &image[n as usize - 1], &mut room));
            assert!(truth.eq(leaves), "leaves of version {}", pin.info().version);
        }
    }
}

#[test]
fn of_two_pushes_on_one_base_the_second_is_told_and_keeps_its_stage() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 300);
    push(&replica, &source.pages()).unwrap();
    source.run("UPDATE t SET text = 'a'");
    let first = source.pages();
    source.run("UPDATE t SET text = 'b' || text");
    let second = source.pages();
    let mut files = PushFiles::new(replica.pin()).unwrap();
    let mut session = PushSession::new(files.pinned().info().image(), LIMIT);
    let sent = send_push(&mut session, &mut files, &second).unwrap();
    assert!(sent > 2);
    let Some(PushOutcome::Changed(plan)) = session.outcome().unwrap() else { panic!("nothing changed") };
    let prepared = prepare(files, *plan).unwrap();
    push(&replica, &first).unwrap();
    let lost = replica.commit_push(prepared).unwrap_err();
    assert!(matches!(lost, PushError::Conflict { current: 2 }), "{lost}");
    assert!(whole(&replica.pin()) == served(&first));
    let (info, resent) = push(&replica, &second).unwrap();
    assert_eq!((info.version, resent), (3, 1), "only page 1 travels again");
    assert!(whole(&replica.pin()) == served(&second));
    assert_eq!(replica.stage().unwrap().bytes(), 0, "what is committed is no longer staged");
}

#[test]
fn a_torn_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 2000);
    let whole_image = source.pages();
    push(&replica, &whole_image).unwrap();
    let mut torn = whole_image.clone();
    let (left, right) = (torn[4].clone(), torn[9].clone());
    torn[3] = left;
    torn[5] = right;
    let refused = push(&replica, &torn).unwrap_err();
    assert!(matches!(refused, Failed::Push(PushError::Torn { .. })), "{refused:?}");
    assert_eq!(replica.current().version, 1);
    assert!(whole(&replica.pin()) == served(&whole_image));
}

#[test]
fn volatile_bytes_alone_make_a_version_with_the_same_root() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 100);
    let rollback = source.pages();
    let (first, _) = push(&replica, &rollback).unwrap();
    source.run("PRAGMA journal_mode=WAL");
    let wal = source.pages();
    assert_ne!(rollback[0], wal[0]);
    let (second, sent) = push(&replica, &wal).unwrap();
    assert_eq!((second.version, second.root, sent), (2, first.root, 1));
    assert!(whole(&replica.pin()) == served(&wal));
}

#[test]
fn history_is_cut_at_its_budget_but_not_under_a_pin() {
    let dir = tempfile::tempdir().unwrap();
    let config = ReplicaConfig { history_ratio: 0.0, ..ReplicaConfig::default() };
    let replica = Replica::open(dir.path(), config, Arc::new(FixedClock), Box::new(())).unwrap();
    let source = Source::new("CREATE TABLE big(id INTEGER PRIMARY KEY, noise BLOB)", 10);
    source.run("INSERT INTO big VALUES (1, randomblob(5000000))");
    let first = source.pages();
    push(&replica, &first).unwrap();
    let pinned = replica.pin();
    let history = || replica.segments.list().unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>();
    for _ in 0..6 {
        source.run("UPDATE big SET noise = randomblob(5000000)");
        push(&replica, &source.pages()).unwrap();
    }
    assert!(history() > 25 << 20, "all of it leads back to the pin");
    assert!(whole(&pinned) == served(&first));
    drop(pinned);
    source.run("UPDATE big SET noise = randomblob(5000000)");
    push(&replica, &source.pages()).unwrap();
    assert!(history() <= 22 << 20, "kept {} bytes", history());
    assert!(whole(&replica.pin()) == served(&source.pages()));
}

#[test]
fn a_change_from_outside_becomes_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    push(&replica, &Source::new("", 300).pages()).unwrap();
    let before = replica.current();
    drop(replica);
    {
        let connection = Connection::open(dir.path().join("main.db")).unwrap();
        connection.execute_batch("UPDATE t SET text = 'from outside' WHERE id = 5").unwrap();
    }
    let replica = open(dir.path());
    let after = replica.current();
    assert_eq!(after.version, before.version + 1);
    assert_ne!(after.root, before.root);
    let image = whole(&replica.pin());
    check_integrity(&image, dir.path());
    drop(replica);
    // Touched, but not changed: no version.
    Connection::open(dir.path().join("main.db"))
        .unwrap()
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let replica = open(dir.path());
    assert_eq!(replica.current(), after);
    let source = Source::new("", 350);
    push(&replica, &source.pages()).unwrap();
    assert!(whole(&replica.pin()) == served(&source.pages()));
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt_and_numbers_grow() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let pages = Source::new("", 300).pages();
    push(&replica, &pages).unwrap();
    let root = replica.current().root;
    let image = whole(&replica.pin());
    drop(replica);
    std::fs::remove_dir_all(dir.path().join("pages")).unwrap();
    let replica = open(dir.path());
    let rebuilt = replica.current();
    assert_eq!((rebuilt.version, rebuilt.root), (1_700_000_000_000, root));
    assert_eq!(whole(&replica.pin())[1..], image[1..]);
    drop(replica);
    std::fs::write(dir.path().join("pages/index.db"), b"not an index at all, but long enough to be read")
        .unwrap();
    let _ = std::fs::remove_file(dir.path().join("pages/index.db-wal"));
    let replica = open(dir.path());
    assert_eq!(replica.current().root, root);
    assert!(replica.current().version >= rebuilt.version);
}

/// A database shown while its first session was opening it answered an internal error: the index's file was there, its
/// tables not yet.
#[test]
fn an_index_without_tables_is_no_version_yet() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(peek_version(dir.path()).unwrap(), None);
    std::fs::create_dir(dir.path().join("pages")).unwrap();
    std::fs::write(dir.path().join("pages/index.db"), b"").unwrap();
    assert_eq!(peek_version(dir.path()).unwrap(), None);
}
