//! Backups taken, listed, verified and pruned.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use ferry_testkit::{Hub, dump, sample::Shape, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Backed, lineage::metric, objects, operator, settings};
use crate::{
    records::insert,
    support::{hub, options},
};

fn count(file: &std::path::Path, sql: &str) -> i64 {
    Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

// Verifies: OPR-01, OPR-10
#[test]
fn a_backup_of_every_model_is_listed_verified_and_restored_as_it_was() {
    let backed = Backed::new();
    backed.write(0);
    let user = &backed.records.place.user;
    let replica = user.create_database("files");
    let empty = user.create_database("empty");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    Shape::default().create(&source, 2_000, 1);
    let push = user.sync_token(&replica, ferry_testkit::Direction::Push);
    ferry_testkit::edgereplica::push(backed.records.address(), &push, &source).unwrap();
    let (id, new_bytes) = backed.back_up();
    assert!(new_bytes > 10_000, "{new_bytes}");
    let listed = backed.operator().ok(&["backup", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let one = &listed["backups"][0];
    assert_eq!((one["id"].as_str(), one["scope"].as_str()), (Some(&*id), Some("hub")), "{listed}");
    assert_eq!((one["state"].as_str(), one["databases"].as_str()), (Some("complete"), Some("4")), "{listed}");
    // Through the hub and without it.
    let url = backed.url();
    for at in [&["--target", &*url][..], &[]] {
        let verified = backed.operator().ok(&[&["backup", "verify"], at].concat());
        let mut names: Vec<&str> = verified.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
        names.sort_unstable();
        let mut all = vec!["control", &backed.records.place.database, &replica, &empty];
        all.sort_unstable();
        assert_eq!(names, all, "{verified}");
        assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
        backed.operator().ok(&[&["backup", "verify", &id, "--quick"], at].concat());
    }
    let restored = backed.restore_file(&id, "files", "files.db");
    dump::assert_equal(&source, &restored);
    let app = backed.restore_file(&id, "app", "app.db");
    let mut backed = backed;
    backed.records.place.hub.stop();
    let main = backed.records.place.hub.database_dir(&backed.records.place.database).join("main.db");
    dump::assert_equal(&main, &app);
    // Nothing of it can be written over.
    let again = backed.operator();
    fs::write(again.file("there.db"), b"mine").unwrap();
    let (file, target) = (again.file("there.db"), backed.url());
    let restore =
        ["backup", "restore", "--target", &target, "--database", "app", "--out", file.to_str().unwrap()];
    again.fails(6, &restore);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    again.fails(5, &["backup", "restore", "--target", &target, "--database", "nobody", "--out", "x.db"]);
}

// Verifies: OPR-04
#[test]
fn what_did_not_change_is_neither_read_nor_stored_again() {
    let backed = Backed::new();
    backed.write(0);
    let user = &backed.records.place.user;
    let others: Vec<String> = (0..40).map(|n| user.create_database(&format!("db{n}"))).collect();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    Shape::default().create(&source, 20_000, 1);
    let push = |database: &str| {
        let token = user.sync_token(database, ferry_testkit::Direction::Push);
        ferry_testkit::edgereplica::push(backed.records.address(), &token, &source).unwrap();
    };
    push(&others[0]);
    let (_, first) = backed.back_up();
    let bytes = fs::metadata(&source).unwrap().len();
    assert!(first > bytes / 10, "{first} of {bytes}");
    // Files that were written a moment ago are read again; what they hold is known all the same.
    let (_, second) = backed.back_up();
    assert!(second < 100 << 10, "{second}");
    Connection::open(&source)
        .unwrap()
        .execute("UPDATE item SET price = price + 1 WHERE id = 77", [])
        .unwrap();
    push(&others[0]);
    let (third_id, third) = backed.back_up();
    assert!(third < 100 << 10, "{third}: pages, not chunks");
    let restored = backed.restore_file(&third_id, &others[0], "third.db");
    dump::assert_equal(&source, &restored);
    let verified = backed.operator().ok(&["backup", "verify", &third_id]);
    assert_eq!(verified.lines().count(), 42, "{verified}");
}

// Verifies: OPR-04
#[test]
fn files_that_nobody_wrote_are_not_opened() {
    let backed = Backed::new();
    backed.write(0);
    let read = || metric(&backed.records.place.hub, "ferry_backup_databases_read_total");
    // What was written a moment ago is read once more; reading must not look like writing.
    wait::until("nothing is read", || {
        let before = read();
        backed.back_up();
        (read() == before).then_some(())
    });
    let before = read();
    backed.write(1);
    backed.back_up();
    assert!(read() > before, "what was written is read");
}

// Verifies: OPR-02, OPR-03
#[test]
fn backups_beside_writers_are_each_of_one_moment() {
    let backed = Backed::new();
    backed.write(0);
    let (is_over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let taken = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let n = written.fetch_add(1, Ordering::Relaxed);
                // Two records in one push: none is without the other.
                let both = [insert("tasks", &format!("a{n}"), "x"), insert("tasks", &format!("b{n}"), "x")];
                backed.records.push("maker", "", &json!(both));
            }
        });
        let taken: Vec<String> = (0..5)
            .map(|_| {
                let before = written.load(Ordering::Relaxed);
                wait::until("a further write", || (written.load(Ordering::Relaxed) > before).then_some(()));
                backed.back_up().0
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        taken
    });
    let mut last = 0;
    for (n, id) in taken.iter().enumerate() {
        let file = backed.restore_file(id, "app", &format!("{n}.db"));
        let of = |prefix: &str| {
            count(
                &file,
                &format!("SELECT count(DISTINCT id) FROM records_todo__tasks WHERE id LIKE '{prefix}%'"),
            )
        };
        assert_eq!(of("a"), of("b"), "{id}");
        assert!(of("a") >= last, "{id}");
        last = of("a");
        assert_eq!(ferry_testkit::sample::integrity(&Connection::open(&file).unwrap()), "ok");
    }
    assert!(last > 0);
}

// Verifies: OPR-09
#[test]
fn what_is_no_longer_kept_is_removed_and_the_rest_restores() {
    let backed = Backed::with(|options| options.arg("--backup-keep=last=2"));
    let mut taken = Vec::new();
    for n in 0..4 {
        backed.write(n);
        taken.push(backed.back_up().0);
    }
    let dry = backed.operator().ok(&["backup", "prune", "--dry-run"]);
    assert_eq!(dry.lines().filter(|line| line.starts_with("removed ")).count(), 2, "{dry}");
    assert_eq!(backed.operator().ok(&["backup", "list"]).lines().count(), 4);
    let pruned = backed.operator().ok(&["backup", "prune"]);
    let removed: Vec<&str> = pruned.lines().filter_map(|line| line.strip_prefix("removed ")).collect();
    assert_eq!(removed, taken[..2], "{pruned}");
    for id in &taken[2..] {
        backed.operator().ok(&["backup", "verify", id]);
    }
    backed.operator().fails(5, &["backup", "verify", &taken[0]]);
    // A day later what only those needed goes too.
    let packs = |backed: &Backed| {
        objects(backed.target.path()).iter().filter(|path| path.starts_with("packs/")).count()
    };
    let before = packs(&backed);
    let day_ms = 25 * 3600 * 1000;
    let backed = backed.restarted_with(|options| options.fault(format!("clock={day_ms}")));
    backed.operator().ok(&["backup", "prune"]);
    assert!(packs(&backed) <= before);
    let verified = backed.operator().ok(&["backup", "verify", &taken[3], "--target", &backed.url()]);
    assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
    backed.back_up();
}

// A disk that is not mounted: its folder took a new backup, and the schedule was content.
// Verifies: OPR-07
#[test]
fn a_target_that_is_empty_all_of_a_sudden_is_not_begun_anew() {
    let backed = Backed::new();
    backed.write(0);
    let (id, _) = backed.back_up();
    let away = backed.target.path().with_extension("away");
    fs::rename(backed.target.path(), &away).unwrap();
    fs::create_dir(backed.target.path()).unwrap();
    let refused = backed.operator().fails(9, &["backup", "create"]);
    assert!(refused.contains("mounted"), "{refused}");
    backed.operator().fails(12, &["backup", "schedule"]);
    let backed = backed.restarted_with(|options| options);
    backed.operator().fails(9, &["backup", "create"]);
    assert!(objects(backed.target.path()).is_empty());
    fs::remove_dir(backed.target.path()).unwrap();
    fs::rename(&away, backed.target.path()).unwrap();
    backed.back_up();
    assert!(backed.operator().ok(&["backup", "list"]).contains(&id));
    // On purpose.
    fs::remove_dir_all(backed.target.path()).unwrap();
    fs::remove_file(backed.records.place.hub.data_dir().join("backup/known-targets.json")).unwrap();
    backed.back_up();
}

// Verifies: OPR-12
#[test]
fn a_target_is_one_hubs() {
    let backed = Backed::new();
    backed.back_up();
    let other = settings(options(), backed.target.path()).start();
    let refused = operator(&other).fails(6, &["backup", "create"]);
    assert!(refused.contains("another hub"), "{refused}");
    let warned = |hub: &Hub, words: &[&str]| {
        let line = wait::until("the warning", || {
            hub.log().lines().find(|line| line.starts_with("warning: ")).map(str::to_owned)
        });
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    };
    // It serves all the same, and says so where it says that it listens; so does one that has been started before.
    warned(&other, &["another hub", &backed.url(), "--backup-target", "ferry backup schedule"]);
    warned(&other.restart(), &["another hub", &backed.url()]);
    // Nor can a folder be made in one that is not there.
    let nowhere = std::path::Path::new("/nowhere/at/all");
    let lost = settings(options(), nowhere).start();
    warned(&lost, &["file:///nowhere/at/all", "ferry backup check-target"]);
    let well = backed.restarted_with(|options| options);
    assert!(!well.records.place.hub.log().contains("warning: "), "{}", well.records.place.hub.log());
    // Without a target there is nothing to do, and it is said what to do.
    let none = hub();
    let refused = operator(&none).fails(6, &["backup", "create"]);
    assert!(refused.contains("--backup-target"), "{refused}");
    operator(&none).ok(&["backup", "schedule"]);
}

// Verifies: OPR-09
#[test]
fn a_schedule_takes_verifies_and_prunes_by_itself() {
    let target = tempfile::tempdir().unwrap();
    let options = options()
        .arg(format!("--backup-target=file://{}", target.path().display()))
        .arg("--backup-every=1s")
        .arg("--backup-keep=last=2")
        .arg("--backup-verify-every=1s");
    let hub = options.start();
    let operator = operator(&hub);
    wait::until("snapshots, verified and pruned", || {
        let log = hub.log();
        let done = |kind: &str| log.matches(&format!("\"kind\":\"{kind}\"")).count();
        (done("create") >= 4 && done("prune") >= 4 && done("verify") >= 1).then_some(())
    });
    let listed = operator.ok(&["backup", "list"]);
    assert!((2..=4).contains(&listed.lines().count()), "{listed}");
    let status = operator.ok(&["backup", "schedule"]);
    assert!(status.contains("\tok\t"), "{status}");
    let metrics = ferry_testkit::http::get(hub.address(), "/metrics").unwrap().text();
    assert!(metrics.contains("ferry_backup_last_success_seconds{kind=\"verify\"}"), "{metrics}");
    assert!(metrics.contains("ferry_backup_target_ok{target=\"1\"} 1\n"), "{metrics}");
    assert!(metrics.contains("ferry_backup_lag_seconds{target=\"1\"} "), "{metrics}");
    let ready = ferry_testkit::http::get(hub.address(), "/readyz").unwrap();
    assert_eq!((ready.status, &ready.json()["checks"]["backup"]), (200, &json!("ok")));
}

// Verifies: OPR-07
#[test]
fn a_target_that_cannot_be_written_is_told_and_keeps_nobody_from_working() {
    let folder = tempfile::tempdir().unwrap();
    let (target, whole) = (folder.path().join("file"), folder.path().join("whole"));
    fs::write(&target, b"in the way").unwrap();
    let targets = format!("--backup-target=file://{},file://{}", target.display(), whole.display());
    let hub = options().arg(targets).start();
    let operator = operator(&hub);
    let state = || {
        let ready = ferry_testkit::http::get(hub.address(), "/readyz").unwrap();
        assert_eq!(ready.status, 200, "{}", ready.text());
        ready.json()["checks"]["backup"].clone()
    };
    wait::until("the first try", || (state() == "unreachable").then_some(()));
    // The other target has its backup all the same.
    wait::until("a backup", || {
        let metrics = ferry_testkit::http::get(hub.address(), "/metrics").unwrap().text();
        assert!(metrics.contains("ferry_backup_target_ok{target=\"1\"} 0\n"), "{metrics}");
        metrics.contains("ferry_backup_lag_seconds{target=\"2\"} ").then_some(())
    });
    let said = operator.fails(12, &["backup", "schedule"]);
    assert!(said.contains("unreachable"), "{said}");
    // What is mended is noticed.
    fs::remove_file(&target).unwrap();
    operator.ok(&["backup", "create"]);
    wait::until("all is well", || (state() == "ok").then_some(()));
}
